"""What was judged when the program was built is what is shipped, and nothing else."""

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
    """Have no other test find the texts that this one has read."""
    yield
    source.shipped_text.cache_clear()


def test_file_is_what_the_built_in_lifecycles_say_and_prove() -> None:
    """Each is proved here, by its own bytes; `make diagrams` writes the file anew."""
    assert (STATES / FILE).read_text(encoding="utf-8") == expected_text()


@pytest.mark.parametrize("name", source.shipped_names())
def test_built_in_lifecycle_is_read_as_its_text_is(name: str) -> None:
    """The table is that of the text, and the lifecycle the one that is read from it."""
    text = source.shipped_text(name)
    assert source.is_judged(text)
    assert source.table_in(text) == tomllib.loads(text.decode())
    assert reading.parse(text, "x") == reading.parse(text + b"\n# Another text.\n", "x")


@pytest.mark.usefixtures("read_anew")
@pytest.mark.parametrize("judged", [b"", b"{}\n", None])
def test_text_that_differs_is_judged(
    judged: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lifecycle that is shipped changed, or without the file, is judged as any other."""
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
    """Nor for a copy of it: the bytes are what was proved."""

    def ask(*_: Any) -> None:
        raise AssertionError("proved again")

    monkeypatch.setattr(reading, "check", ask)
    reading.parse.cache_clear()
    assert reading.shipped("governed_run").name == "governed_run"
