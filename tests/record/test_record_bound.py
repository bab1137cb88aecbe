"""A record that would exceed its reader's limit is not written: the run reports that and ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest

from fsm_orchestrator import RunConfig, StageGiven, load_report, resume, run
from fsm_orchestrator.disk import peek
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.base import Many
from fsm_orchestrator.model.declared import BaseModel
from fsm_orchestrator.model.evidence import EvidenceRecord, Subject, SubjectEntry
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.record import checkpoint_reader, recorder
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.earlier import MovedInvocation
from fsm_orchestrator.record.record_check import record_digest
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Gate, Outcome
from tests.support.command import CHECKPOINT, EVENTS, REPORT, orchestrate

PASSED = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
SMALL = 60_000


def test_run_ends_before_its_record_is_too_large_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last record of such a run stays readable within that limit and says what happened."""
    monkeypatch.setattr(recorder, "BYTES_MAX", SMALL)
    stage = StageGiven(bin="/bin/sh", args=("-c", "echo $$ >&2; exit 1"))
    run(RunConfig(output_directory=tmp_path, gates=PASSED, stages={"manager": stage}))
    for _ in range(40):
        report = resume(RunConfig(output_directory=tmp_path))
        own = [one for one in report.stage_executions if one.attempt == 0]
        if own:
            break
    else:
        pytest.fail("the record has no bound")
    assert report.terminal_state is Outcome.FAILED
    assert "no reader takes more than" in (own[0].error or "")
    monkeypatch.setattr(peek, "RECORD_BYTES_MAX", SMALL + 1024 * 1024)
    assert (tmp_path / CHECKPOINT).stat().st_size <= SMALL + 1024 * 1024
    assert (tmp_path / REPORT).stat().st_size <= SMALL + 1024 * 1024
    assert checkpoint_reader.load(tmp_path).run_id == report.run_id
    told = load_report(tmp_path)
    assert told.terminal_state is Outcome.FAILED
    assert "earlier invocations are left out here" in " ".join(told.warnings)


CROWD = b'{"run_id":"x","warnings":[%s0]}' % (b"0," * peek.RECORD_VALUES_MAX)
"""A document of one megabyte, which would take a hundred times that in memory, or much more."""


@pytest.mark.parametrize("crowded", [(REPORT,), (CHECKPOINT,), (REPORT, CHECKPOINT)])
def test_record_of_too_many_values_is_not_even_taken_apart(
    tmp_path: Path, crowded: tuple[str, ...]
) -> None:
    """Every command that reads such a run reports the problem without parsing the record."""
    out = tmp_path / "out"
    run(RunConfig(output_directory=out, gates=PASSED))
    for name in crowded:
        (out / name).write_bytes(CROWD)
    said = f"more than {peek.RECORD_VALUES_MAX} values, which no run writes"
    looks: list[tuple[str, ...]] = [("status", "out"), ("status", "."), ("explain", "out")]
    looks += [("report", "out")]
    looks += [("report", "out", "--html", "-"), ("diagram", "--run", "out"), ("out", "--resume")]
    told = {argv: orchestrate(*argv, cwd=tmp_path) for argv in [*looks, ("logs", "out")]}
    codes = {argv: ended.code for argv, ended in told.items()}
    assert set(codes.values()) <= {0, 1}, codes
    by_report, by_checkpoint = REPORT in crowded, CHECKPOINT in crowded
    assert said in told["status", "out"].stdout + told["status", "out"].stderr
    assert (said in told["explain", "out"].stdout + told["explain", "out"].stderr) or not by_report
    assert said in told["status", "."].stdout
    assert codes["out", "--resume"] == 1  # the report, at least, was changed
    assert (said in told["out", "--resume"].stderr) == by_checkpoint
    assert (codes["logs", "out"] == 1) == by_checkpoint


def test_crowded_line_of_the_events_is_none_of_ours(tmp_path: Path) -> None:
    """Once accepted, a crowded line in the events is skipped like any line a stage appended."""
    out = tmp_path / "out"
    run(RunConfig(output_directory=out, gates={**PASSED, Gate.REVIEW: "missing"}))
    with (out / EVENTS).open("ab") as events:
        events.write(b'{"seq":99,"at":"","event":"","run_id":"","x":[%s0]}\n' % (b"0," * 500_001))
    given = {"gates": PASSED, "allow_empty": True, "accept_record": record_digest(out)}
    assert resume(RunConfig.model_validate({"output_directory": out, **given})).closure_ready


def test_record_of_too_many_values_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer refuses a record with more values than its reader takes."""
    monkeypatch.setattr(peek, "RECORD_VALUES_MAX", 100)
    report = run(RunConfig(output_directory=tmp_path, gates=PASSED))
    assert report.terminal_state is Outcome.FAILED
    assert "no reader takes more than" in (report.stage_executions[-1].error or "")


def test_wrong_entries_of_a_long_list_are_not_collected() -> None:
    """Validation of anything read from OUT stops at the first wrong model in a long list."""
    seen: set[type[BaseModel]] = set()
    due: list[type[BaseModel]] = [Report, Checkpoint, MovedInvocation, Subject, EvidenceRecord]
    while due:
        model = due.pop()
        if model in seen:
            continue
        seen.add(model)
        for name, field in model.model_fields.items():
            for kind, metadata in spread(field.annotation, field.metadata):
                inner = [one for one in get_args(kind) if is_model(one)]
                due += [one for one in inner if is_model(one)]
                if get_origin(kind) is tuple and inner and Ellipsis in get_args(kind):
                    assert Many in metadata or (model, name) in SHORT, f"{model.__name__}.{name}"
                if is_model(kind):
                    due.append(kind)
    assert {StageExecution, GateDecision, SubjectEntry} <= seen


SHORT = {(Lifecycle, name) for name in ("gate", "state", "transition")}
"""The lists that have a maximum length, beyond which validation does not look."""


def is_model(kind: Any) -> bool:
    """Return True if a part of an annotation is a model."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def spread(kind: Any, metadata: Sequence[Any]) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Yield an annotation and its parts, each with its metadata."""
    if get_origin(kind) is Annotated:
        yield from spread(get_args(kind)[0], [*metadata, *kind.__metadata__])
        return
    yield kind, metadata
    for part in get_args(kind):
        yield from spread(part, [])
