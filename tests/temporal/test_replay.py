"""Workflows that run are not broken by a later version: each recorded history is replayed."""

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
    """Have this version of the workflow do again what a history says.

    Raises:
        NondeterminismError: it would do something else.
    """
    replayer = Replayer(workflows=[GovernedRun])
    asyncio.run(replayer.replay_workflow(WorkflowHistory.from_json("recorded", text)))


def test_each_course_is_recorded() -> None:
    """The latest directory has all that the workflow can do."""
    latest = max(path.parent for path in HISTORIES)
    assert {path.stem for path in latest.iterdir()} == {one.__name__ for one in COURSES}


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recorded_history_is_replayed(path: Path) -> None:
    """This version does the same, step by step."""
    replay(path.read_text())


def test_another_course_is_noticed() -> None:
    """A workflow that did otherwise would not pass."""
    text = next(path for path in HISTORIES if path.stem == "done_at_once").read_text()
    with pytest.raises(NondeterminismError):
        replay(text.replace(f'"{ACTIVITY}"', '"other"'))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recorded_history_has_nothing_of_its_machine(path: Path) -> None:
    """Its paths are neutral ones, and so is everybody in it."""
    for key, value in entries(json.loads(path.read_bytes())):
        assert key != "identity" or value == WORKER, value
        assert "@" not in value
        for found in PATH.findall(value):
            assert found.startswith(FOLDER), f"{key}: {value}"


def entries(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a document with the key it is under; of a payload what it holds."""
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
