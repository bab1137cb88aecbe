"""The stage that always runs, in pictures: it has no edges, and is marked once it has run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator.api import load_report
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.rendering.diagram.mermaid import mermaid_text
from fsm_orchestrator.rendering.diagram.picture import Mark, picture_of
from fsm_orchestrator.rendering.diagram.run_marks import marks_of_run
from tests.support.command import PASSING, orchestrate, shell

TIDIED = """\
schema_version = 1
name = "tidied"
title = "Three stages, and one that always runs"
stages = ["plan", "apply", "test", { name = "tidy", finally = true }]
"""


@pytest.fixture(name="folder")
def folder_with_lifecycle(tmp_path: Path) -> Path:
    """Return a directory with that lifecycle."""
    (tmp_path / "tidied.toml").write_text(TIDIED)
    return tmp_path


def test_edges_are_folded_beside_it(folder: Path) -> None:
    """The stage has no edges and does not prevent `every` for the states that have them."""
    text = mermaid_text(picture_of(reading.read("./tidied.toml", folder)))
    assert 'EveryStateButDone -.->|"resume"| gating' in text
    assert 'EveryStateBeforeTheEnd -.->|"run_aborted"| failed' in text
    assert 'EveryStageBeforeTheEnd["every stage before the end"]' in text
    assert 'EveryStageBeforeTheEnd -->|"stage_failed"| failed' in text


@pytest.mark.parametrize(("binary", "is_run"), [("true", True), (None, False)])
def test_it_is_marked_where_it_has_run(folder: Path, binary: str | None, is_run: bool) -> None:
    """The stage is marked by its attempts, because no transition enters it."""
    asked = () if binary is None else ("--tidy-bin", binary)
    run = ("--lifecycle", "./tidied.toml", *PASSING, *shell("plan", "exit 3"), *asked)
    assert orchestrate("out", *run, cwd=folder).code == 1

    marks = marks_of_run(reading.read("./tidied.toml", folder), load_report(folder / "out"))

    assert ("tidy" in marks.states) is is_run
    assert marks.states["plan"] is Mark.TAKEN
    assert "test" not in marks.states
