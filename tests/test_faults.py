"""Each durable operation of a run fails once: what is on disk stays true, and a resume mends it."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import RunConfig, StageGiven, checkpoint_file, files, load_report, resume, run
from fsm_orchestrator.errors import CheckpointError, OrchestratorError, ReportError, UsageError
from fsm_orchestrator.report import Report
from fsm_orchestrator.vocabulary import Gate, Outcome, StageStatus
from tests.support import CHECKPOINT

FAULT_POINTS_MAX = 80
PASSED = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
OPERATIONS = ("stage_file", "sync_directory", "write_all", "commit", "open_append", "sync")


class CrashError(BaseException):
    """Stands for the end of the process: nobody handles it, nothing more is written."""


FAULTS: Final[dict[str, Callable[[], BaseException]]] = {
    "full disk": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "read error": lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
    "crash": CrashError,
}


class Fault:
    """Lets the n-th call of one durable operation fail."""

    def __init__(self, patch: pytest.MonkeyPatch, operation: str, number: int, kind: str) -> None:
        self.has_struck = False
        home: Any = files.StagedFile if operation == "commit" else files
        real: Callable[..., Any] = getattr(home, operation)
        calls = itertools.count(1)

        def failing(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == number:
                self.has_struck = True
                struck = FAULTS[kind]()
                raise struck
            return real(*args, **kwargs)

        patch.setattr(home, operation, failing)


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private state of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def config(out: Path, *, executor: str = "exit 0") -> RunConfig:
    """Two stages that note each start beside the output directory."""
    notes = out.with_suffix(".ran")
    stages = {
        stage: StageGiven(bin="/bin/sh", args=("-c", f"echo {stage} >>{notes}; {script}"))
        for stage, script in (("manager", "exit 0"), ("executor", executor))
    }
    return RunConfig(output_directory=out, gates=PASSED, stages=stages)


def starts(out: Path) -> list[str]:
    """The stages that were really started, in order."""
    notes = out.with_suffix(".ran")
    return notes.read_text().split() if notes.exists() else []


def attempted(act: Callable[[], Report]) -> Report | None:
    """The report, or None where the program refused."""
    try:
        return act()
    except (OrchestratorError, CrashError):
        return None


def durable_successes(out: Path) -> set[str]:
    """The stages whose success is in the checkpoint on disk."""
    try:
        return {one.stage for one in checkpoint_file.load(out).completions}
    except CheckpointError:
        return set()


def assert_true(out: Path, returned: Report | None) -> None:
    """What lies on disk parses and does not contradict itself."""
    try:
        told = load_report(out)
    except ReportError:
        told = None
    has_checkpoint = (out / CHECKPOINT).exists()
    kept = checkpoint_file.load(out) if has_checkpoint else None  # a broken one fails here
    if returned is not None and returned.terminal_state is not Outcome.DONE:
        assert kept is None or kept.current_state != "done"
    if told is not None and told.terminal_state is Outcome.DONE:
        assert kept is not None
        assert kept.current_state == "done"
    assert not list(out.glob(".*.tmp"))


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_failing_once_loses_and_repeats_nothing(
    operation: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For n = 1, 2, … until a run passes untouched: the files are true, and a resume is done."""
    for number in range(1, FAULT_POINTS_MAX):
        out = tmp_path / f"out{number}"
        with monkeypatch.context() as patch:
            fault = Fault(patch, operation, number, kind)
            report = attempted(lambda out=out: run(config(out)))  # type: ignore[misc]
        if not fault.has_struck:
            assert report is not None
            assert report.closure_ready
            assert starts(out) == ["manager", "executor"]
            assert number > 1
            return
        assert report is None or not report.closure_ready or operation == "sync"
        assert_true(out, report)
        complete, before = durable_successes(out), starts(out)
        try:
            mended = resume(config(out))
        except (CheckpointError, UsageError):
            mended = run(config(out))
        assert mended.closure_ready, (operation, number)
        again = starts(out)[len(before) :]
        assert complete.isdisjoint(again), (operation, number)
        assert complete | set(again) == {"manager", "executor"}, (operation, number)
    pytest.fail("the sweep does not come to an end")


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("operation", ["stage_file", "sync_directory", "commit"])
def test_failing_once_in_a_resume_keeps_what_was_complete(
    operation: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sweep over the resume of a failed run: the manager is never started again."""
    for number in range(1, FAULT_POINTS_MAX):
        out = tmp_path / f"out{number}"
        assert run(config(out, executor="exit 3")).terminal_state is Outcome.FAILED
        mend = RunConfig(
            output_directory=out, stages={"executor": StageGiven(args=("-c", "exit 0"))}
        )
        with monkeypatch.context() as patch:
            fault = Fault(patch, operation, number, kind)
            report = attempted(lambda mend=mend: resume(mend))  # type: ignore[misc]
        assert_true(out, report)
        done = resume(mend)
        assert done.closure_ready, (operation, number)
        assert starts(out).count("manager") == 1
        manager = [one for one in done.stage_executions if one.stage == "manager"]
        assert [one.status for one in manager] == [StageStatus.SKIPPED]
        if not fault.has_struck:
            assert report is not None
            assert report.closure_ready
            return
    pytest.fail("the sweep does not come to an end")
