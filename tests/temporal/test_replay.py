"""Later versions do not break running workflows: each recorded history is replayed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from fsm_orchestrator.temporal.shapes import ACTIVITY
from fsm_orchestrator.temporal.workflow import GovernedRun
from tests.tools.workflow_histories import COURSES, FOLDER, WORKER, content

HISTORIES: Final = tuple(sorted((Path(__file__).parent / "histories").glob("*/*.json")))
PATH: Final = re.compile(r"/(?:[\w.-]+/)+[\w.-]+")


def replay(text: str) -> None:
    """Replay a history with this version of the workflow.

    Raises:
        NondeterminismError: this version would do something else.
    """
    replayer = Replayer(workflows=[GovernedRun])
    asyncio.run(replayer.replay_workflow(WorkflowHistory.from_json("recorded", text)))


def test_each_course_is_recorded() -> None:
    """The latest directory has every course of the workflow."""
    latest = max(path.parent for path in HISTORIES)
    assert {path.stem for path in latest.iterdir()} == {one.__name__ for one in COURSES}


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recorded_history_is_replayed(path: Path) -> None:
    """This version repeats each recorded history, step by step."""
    replay(path.read_text())


def test_another_course_is_noticed() -> None:
    """A workflow that acts differently does not pass."""
    text = next(path for path in HISTORIES if path.stem == "done_at_once").read_text()
    with pytest.raises(NondeterminismError):
        replay(text.replace(f'"{ACTIVITY}"', '"other"'))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recorded_history_has_nothing_of_its_machine(path: Path) -> None:
    """The paths and names in a recorded history are neutral."""
    for key, value in entries(json.loads(path.read_bytes())):
        assert key != "identity" or value == WORKER, value
        assert "@" not in value
        for found in PATH.findall(value):
            assert found.startswith(FOLDER), f"{key}: {value}"


def entries(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in a document with its key; for a payload, its content."""
    match value:
        case dict():
            for name, one in value.items():
                yield from entries(one, name)
        case list():
            for one in value:
                yield from entries(one, key)
        case str():
            yield key, content(value) if key == "data" else value
        case _:
            pass
