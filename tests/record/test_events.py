"""The models of log lines: one for each event, which accepts exactly what is logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from fsm_orchestrator.model.unmeasured import own_failure
from fsm_orchestrator.record.events import (
    AttemptInterrupted,
    EventLine,
    RunEnded,
    RunWarning,
    StageEnded,
    StageSkipped,
    StageStarted,
    parse_event,
)
from fsm_orchestrator.record.failure_events import RunRefused
from fsm_orchestrator.vocabulary import EventName, Operation, Outcome, StageStatus
from tests.support.command import CHECKPOINT, EVENTS, ORCHESTRATOR_PID, PASSING, orchestrate, stages

ENVELOPE: dict[str, Any] = {
    "seq": 1,
    "at": "2026-01-31T09:05:00.250Z",
    "event": "run.refused",
    "level": "error",
    "run_id": "a",
    "schema_version": 1,
    "error": "no",
    "operation": "checkpoint.load",
    "execution_mode": "resume",
    "execution": own_failure(
        "a", Operation.CHECKPOINT_LOAD, error="no", at="2026-01-31T09:05:00.250Z"
    ).model_dump(mode="json"),
    "origin": None,
}


def parsed(output: Path) -> list[EventLine]:
    """Return every line of the log in an output directory."""
    return [parse_event(line) for line in (output / EVENTS).read_bytes().splitlines()]


def test_each_event_has_one_model() -> None:
    """The models of the union and the names in the vocabulary are the same set."""
    models = get_args(get_args(EventLine)[0])
    names = [get_args(model.model_fields["event"].annotation) for model in models]
    assert sorted(names) == sorted((name,) for name in EventName)


def test_lines_of_a_run_tell_its_story(tmp_path: Path) -> None:
    """A log that is read line by line says what each stage did, over two invocations."""
    once = "test -e once || { touch once; exit 1; }"
    orchestrate("./out", *PASSING, *stages(executor=once), cwd=tmp_path)
    orchestrate("./out", "--resume", cwd=tmp_path)
    lines = parsed(tmp_path / "out")
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    told = [
        (type(line), line.stage, line.attempt)
        for line in lines
        if isinstance(line, StageStarted | StageEnded | StageSkipped)
    ]
    assert told == [
        (StageStarted, "manager", 1),
        (StageEnded, "manager", 1),
        (StageStarted, "executor", 1),
        (StageEnded, "executor", 1),
        (StageSkipped, "manager", 1),
        (StageStarted, "executor", 2),
        (StageEnded, "executor", 2),
    ]
    ends = [line.execution.status for line in lines if isinstance(line, StageEnded)]
    assert ends == [StageStatus.SUCCESS, StageStatus.FAILED, StageStatus.SUCCESS]
    outcomes = [(line.outcome, line.exit_code) for line in lines if isinstance(line, RunEnded)]
    assert outcomes == [(Outcome.FAILED, 1), (Outcome.DONE, 0)]


def test_lines_after_a_kill_and_a_refusal(tmp_path: Path) -> None:
    """The log records a killed attempt, a stage without a binary and a refused resume."""
    killing = f"test -e once || {{ touch once; kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"
    manager = ("--manager-bin", "/bin/sh", "--manager-arg", "-c", "--manager-arg", killing)
    orchestrate("./out", *PASSING, *manager, cwd=tmp_path)
    orchestrate("./out", "--resume", cwd=tmp_path)
    (tmp_path / "out" / CHECKPOINT).unlink()
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 1
    lines = parsed(tmp_path / "out")
    (interrupted,) = (line for line in lines if isinstance(line, AttemptInterrupted))
    assert (interrupted.stage, interrupted.attempt) == ("manager", 1)
    assert [line.stage for line in lines if isinstance(line, RunWarning)] == ["executor"]
    assert isinstance(lines[-1], RunRefused)
    assert CHECKPOINT in lines[-1].error


@pytest.mark.parametrize("value", ["transition", "stage.ended", "manager", "governed_run"])
def test_value_that_is_a_word_of_ours_spoils_no_line(value: str, tmp_path: Path) -> None:
    """Masking a secret never changes the event, state or stage that a line names."""
    options = (*PASSING, *stages("echo $X"), "--manager-env", f"X={value}", "--log-format", "text")
    assert orchestrate("./out", *options, cwd=tmp_path).code == 0
    assert isinstance(parsed(tmp_path / "out")[-1], RunEnded)


@pytest.mark.parametrize(
    "changes",
    [
        {"event": "run.forged"},
        {"event": None},
        {"level": "info"},
        {"seq": 0},
        {"seq": "1"},
        {"at": "2026-01-31T09:05:00Z"},
        {"run_id": ""},
        {"schema_version": 2},
        {"state": "done"},
        {"unknown": 1},
    ],
)
def test_line_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    """A line with another shape than the program writes is refused."""
    assert isinstance(parse_event(json.dumps(ENVELOPE).encode()), RunRefused)
    with pytest.raises(ValidationError):
        parse_event(json.dumps({**ENVELOPE, **changes}).encode())


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b'{"seq": 1', b"\xff"])
def test_line_that_is_none_is_refused(line: bytes) -> None:
    """A torn line, or a line that is not a JSON object, is refused."""
    with pytest.raises(ValidationError):
        parse_event(line)
