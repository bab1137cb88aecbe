"""The record of stages side by side: open attempts are a set, and each end is a step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.unseen import attempts_unseen
from tests.record.history_cases import Document, change, encoded, refusal
from tests.support.command import CHECKPOINT, PASSING, checkpoint_of, orchestrate, shell

COMPLETE: Final = '"stage":"lint","cycle":1,"attempt":1,"invocation"'
COPIES: Final = (
    f"until grep -q '{COMPLETE}' out/orchestrator_checkpoint.json; do sleep 0.01; done;"
    " cp out/orchestrator_checkpoint.json at_work.json;"
    " cp out/orchestrator_events.jsonl at_work.jsonl; exit 3"
)
OPTIONS: Final = (
    *("--lifecycle", "checked_run", *PASSING, *shell("executor", "true")),
    *(*shell("lint", "true"), *shell("unit-tests", "sleep 60"), *shell("scan", COPIES)),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a run whose scan failed, and its record while two stages worked."""
    directory = tmp_path_factory.mktemp("beside")
    ended = orchestrate("./out", *OPTIONS, cwd=directory)
    assert ended.code == 1, ended.stderr
    return directory


def at_work(place: Path) -> Document:
    """Return the checkpoint from the time when two stages were at work and one was complete."""
    document: Document = json.loads((place / "at_work.json").read_bytes())
    return document


def test_attempts_in_flight_are_a_set_and_each_end_is_in_the_record(place: Path) -> None:
    """Of three attempts that began together, the ended one is complete and the others are open."""
    document = at_work(place)
    assert refusal(encoded(document)) is None
    assert document["current_state"] == "checks"
    assert [one["stage"] for one in document["open_attempts"]] == ["unit_tests", "scan"]
    assert [one["stage"] for one in document["completions"]] == ["executor", "lint"]
    record = checkpoint_reader.parse(encoded(document), "x")
    settled = attempts_unseen(record)
    assert settled.open_attempts == ()
    assert [one.status.value for one in settled.invocation.stage_executions] == [
        *("success", "success", "interrupted", "interrupted")
    ]


def test_record_that_is_behind_has_the_end_of_one_of_several_again(place: Path) -> None:
    """A record that is behind gets the end of one attempt in a group back, without a transition."""
    lines = (place / "at_work.jsonl").read_text().splitlines(keepends=True)
    begun = next(
        index
        for index, line in enumerate(lines)
        if json.loads(line)["event"] == "stage.ended" and json.loads(line)["stage"] == "lint"
    )
    again = place / "again"
    again.mkdir()
    (again / "orchestrator_events.jsonl").write_text("".join(lines[: begun + 1]))
    (again / CHECKPOINT).write_bytes(b"")
    (again / "orchestrator_run_report.json").write_bytes(
        (place / "out" / "orchestrator_run_report.json").read_bytes()
    )
    saved: Checkpoint = checkpoint_reader.load_saved(again).checkpoint
    assert [one.stage for one in saved.completions] == ["executor", "lint"]
    assert [one.stage for one in saved.open_attempts] == ["unit_tests", "scan"]


GROUP_FACTS: Final[Mapping[str, tuple[Mapping[str, Any], str]]] = {
    "success although one failed": (
        {"current_state": "done", "@0.transitions.3.dest": "done"}
        | {"@0.transitions.3.trigger": "stage_succeeded"},
        "no recorded execution of 'checks' ended like that",
    ),
    "a timeout that none had": (
        {"current_state": "timeout", "@0.transitions.3.dest": "timeout"}
        | {"@0.transitions.3.trigger": "stage_timed_out"},
        "no recorded execution of 'checks' ended like that",
    ),
    "a timeout, where another failed": (
        {"current_state": "timeout", "@0.transitions.3.dest": "timeout"}
        | {"@0.transitions.3.trigger": "stage_timed_out"}
        | {"@0.stage_executions.3.status": "timeout", "@0.stage_executions.3.ending": "timed_out"},
        "no recorded execution of 'checks' ended like that",
    ),
    "a failure that was only another's": (
        {"@0.stage_executions": lambda ran: [one for one in ran if one["stage"] != "scan"]},
        "no recorded execution of 'checks' ended like that",
    ),
    "a lone stage ended by another": (
        {"@0.stage_executions.0.ending": "sibling_failed"},
        "no stage runs side by side with 'executor'",
    ),
    "a stage of a group before it": (
        {"@0.stage_executions": lambda ran: [ran[1], ran[0], *ran[2:]]},
        "no recorded execution of 'executor' ended like that",
    ),
}


@pytest.mark.parametrize("case", GROUP_FACTS)
def test_lie_about_a_group_is_refused(case: str, place: Path) -> None:
    """A record is refused if the result of a group does not follow from its stages."""
    changes, expected = GROUP_FACTS[case]
    document = checkpoint_of(place / "out")
    assert refusal(encoded(document)) is None
    change(document, changes)
    assert expected in (refusal(encoded(document)) or "")


OPEN_LIES: Final[Mapping[str, tuple[Mapping[str, Any], str]]] = {
    "twice": (
        {"open_attempts": lambda found: [found[0], found[0]]},
        "open_attempts: a stage is there twice",
    ),
    "complete": ({"open_attempts.0.stage": "lint"}, "open_attempts[0].attempt: is 1, not 2"),
    "elsewhere": (
        {"open_attempts.1.stage": "executor", "open_attempts.1.attempt": 2},
        "open_attempts[1]: the run is in 'checks'",
    ),
    "out of order": ({"open_attempts.1.attempt": 2}, "open_attempts[1].attempt: is 2, not 1"),
}


@pytest.mark.parametrize("case", OPEN_LIES)
def test_lie_about_what_is_in_flight_is_refused(case: str, place: Path) -> None:
    """Each attempt in flight is checked against the history."""
    changes, expected = OPEN_LIES[case]
    document = at_work(place)
    change(document, changes)
    assert expected in (refusal(encoded(document)) or "")
