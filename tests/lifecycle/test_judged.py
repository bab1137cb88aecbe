"""The lifecycles that were judged when the program was built are exactly the built-in ones."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle import reading, source
from fsm_orchestrator.lifecycle.judged import FILE
from tests.tools.judged_lifecycles import expected_text

STATES = Path(__file__).parents[2] / "states"


@pytest.fixture
def read_anew() -> Iterator[None]:
    """Forget the texts that this test has read, for the sake of other tests."""
    yield
    source.shipped_text.cache_clear()


def test_file_is_what_the_built_in_lifecycles_say_and_prove() -> None:
    """The file has each built-in lifecycle's digest and proof; `make diagrams` writes it again."""
    assert (STATES / FILE).read_text(encoding="utf-8") == expected_text()


@pytest.mark.parametrize("name", source.shipped_names())
def test_built_in_lifecycle_is_read_as_its_text_is(name: str) -> None:
    """The table of a built-in lifecycle and the lifecycle itself are those of its text."""
    text = source.shipped_text(name)
    assert source.is_judged(text)
    assert source.table_in(text) == tomllib.loads(text.decode())
    assert reading.parse(text, "x") == reading.parse(text + b"\n# Another text.\n", "x")


@pytest.mark.usefixtures("read_anew")
@pytest.mark.parametrize("judged", [b"", b"{}\n", None])
def test_text_that_differs_is_judged(
    judged: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A built-in lifecycle that was changed, or has no file of proofs, is judged like any other."""
    text = source.shipped_text("governed_run")
    unguarded = text.replace(b'trigger = "gates_passed"', b'trigger = "start"')
    shipped = (STATES / FILE).read_bytes() if judged is None else judged
    (tmp_path / FILE).write_bytes(shipped)
    (tmp_path / "governed_run.toml").write_bytes(unguarded)
    monkeypatch.setattr(source, "_checkout_folder", lambda: tmp_path)
    source.shipped_text.cache_clear()
    assert unguarded != text
    with pytest.raises(LifecycleError):
        reading.shipped("governed_run")


def test_no_proof_is_asked_for_what_was_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proof is computed again for the bytes of a built-in lifecycle, also in a copy."""

    def ask(*_: Any) -> None:
        raise AssertionError("proved again")

    monkeypatch.setattr(reading, "check", ask)
    reading.parse.cache_clear()
    assert reading.shipped("governed_run").name == "governed_run"
