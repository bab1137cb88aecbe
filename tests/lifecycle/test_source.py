"""The facts about a lifecycle that are known before it is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fsm_orchestrator.lifecycle.reading import shipped
from fsm_orchestrator.lifecycle.source import declared_in, shipped_names, shipped_text, text_of

STAGE = '[[state]]\nname = "{}"\nkind = "stage"\n'

NOT_UNDERSTOOD = {
    "nothing": b"",
    "not TOML": b"[[state",
    "not UTF-8": b'state = "\xff"',
    "absurdly nested": b"state = " + b"[" * 100_000,
    "a number without end": b"state = " + b"9" * 5000,
    "no states": b'name = "x"\n',
    "a state that is text": b'state = "x"\n',
    "states that are numbers": b"state = [1, 2]\n",
    "a nameless stage": b'[[state]]\nkind = "stage"\n',
    "a stage named by a list": b'[[state]]\nname = ["x"]\nkind = "stage"\n',
    "a stage name that is no option": STAGE.format("--resume").encode(),
    "a stage name without end": STAGE.format("x" * 65).encode(),
    "two stages of one name": (STAGE.format("x") * 2).encode(),
}


@pytest.mark.parametrize("name", shipped_names())
def test_stage_names_are_those_of_the_loaded_lifecycle(name: str) -> None:
    """Options are made for exactly the stages of the loaded lifecycle."""
    assert declared_in(shipped_text(name)) == (shipped(name).stages, ())


@pytest.mark.parametrize("text", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD.keys())
def test_stage_names_of_a_text_that_is_not_understood_are_none(text: bytes) -> None:
    """The stages of a text that is not understood are none, and asking for them never fails."""
    assert declared_in(text).stages == ()


def test_stage_names_leave_out_other_kinds() -> None:
    """Only states of kind stage get options, in the order of the file."""
    text = STAGE.format("zebra") + '[[state]]\nname = "gating"\nkind = "gate"\n' + STAGE.format("a")
    assert declared_in(text.encode()).stages == ("zebra", "a")


@pytest.mark.parametrize("name", ["nothing_of_that_name", "", "../states/governed_run", "__init__"])
def test_unknown_name_has_no_shipped_text(name: str) -> None:
    """A name is looked up among the built-in lifecycles only, never as a path."""
    with pytest.raises(FileNotFoundError):
        shipped_text(name)


def test_text_is_found_by_name_or_path(tmp_path: Path) -> None:
    """A bare name is a built-in lifecycle even if a file has that name; a path is a file."""
    (tmp_path / "governed_run").write_bytes(b"mine")
    assert text_of("governed_run", tmp_path) == shipped_text("governed_run")
    assert text_of("./governed_run", tmp_path) == b"mine"
    assert text_of(str(tmp_path / "governed_run"), Path("/nowhere")) == b"mine"


def test_names_are_known_without_the_heavy_packages() -> None:
    """Help is built without loading the packages that only a run needs."""
    program = (
        "import sys; from fsm_orchestrator.lifecycle import source as names;"
        "assert names.declared_in(names.shipped_text('governed_run'));"
        "sys.exit(bool({'pydantic', 'transitions', 'structlog'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
