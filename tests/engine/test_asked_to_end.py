"""A request to end takes effect until the step that it forbids is durable."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import Report, RunConfig, StageGiven, resume, run
from fsm_orchestrator.engine import enter_stage
from fsm_orchestrator.gates import judging
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record import recorder
from fsm_orchestrator.stages import attempt
from fsm_orchestrator.vocabulary import Gate
from tests.processes import living
from tests.support.command import PASSING, events_of, orchestrate, report_of, start, statuses
from tests.support.patience import PATIENCE_SECONDS, wait_until

GATES = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
BOTH = ("manager", "executor")
LINGERS = 'echo $$ >words; while test ! -e go; do sleep 0.01; done; echo "$0" >>ran; exit 0'
CODES = (("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGQUIT", 131))
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks for a zombie in /proc")


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a run's private state below the test's directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Yield requests that a test delivers itself."""
    interrupts = Interrupts()
    yield interrupts
    interrupts.close()


def config(directory: Path, **stages: StageGiven) -> RunConfig:
    """Return a run whose two stages record that they ran."""
    notes = {
        stage: StageGiven(bin="/bin/sh", args=("-c", f"echo {stage} >>ran"), cwd=str(directory))
        for stage in BOTH
    }
    return RunConfig(output_directory=directory / "out", gates=GATES, stages={**notes, **stages})


def assert_ended(report: Report, directory: Path, code: int = 143) -> None:
    """Assert that the run was asked to end, and that a resume of it ends as done."""
    assert (report.exit_code, report.terminal_state, report.closure_ready) == (
        code,
        "failed",
        False,
    )
    assert "done" not in {one.dest for one in report.transitions}
    assert report.transitions[-1].trigger == "run_aborted"
    assert report_of(directory / "out")["exit_code"] == code
    assert resume(RunConfig(output_directory=directory / "out")).exit_code == 0


# Both are signaled together


@needs_proc
@pytest.mark.parametrize(
    ("stage", "name", "code", "end"),
    [
        *((stage, *one, "exit 0") for stage in BOTH for one in CODES),
        ("executor", "SIGTERM", 143, "exit 7"),
        ("executor", "SIGTERM", 143, "kill -TERM $$"),
    ],
)
def test_stage_that_ends_together_with_the_request_is_interrupted(
    tmp_path: Path, stage: str, name: str, code: int, end: str
) -> None:
    """If the stage ended when the request is seen, the attempt is interrupted and runs again."""
    waits = f"echo $$ >pid; until test -e go; do sleep 0.01; done; {end}"
    once = f'echo {stage} >>ran; test "$ORCHESTRATOR_ATTEMPT" = 1 || exit 0; {waits}'
    words = dict.fromkeys(BOTH, "exit 0") | {stage: once}
    options = [
        word
        for one in BOTH
        for word in (f"--{one}-bin", "/bin/sh", f"--{one}-arg=-c", f"--{one}-arg={words[one]}")
    ]
    process = start("out", *PASSING, *options, cwd=tmp_path)
    try:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        leader = int((tmp_path / "pid").read_text())
        os.kill(process.pid, signal.SIGSTOP)
        process.send_signal(signal.Signals[name])
        (tmp_path / "go").touch()
        wait_until(lambda: living.is_zombie(leader))
        os.kill(process.pid, signal.SIGCONT)
        process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == code
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert statuses(report)[-1] == (stage, "interrupted")
    execution = report["stage_executions"][-1]
    assert name in execution["error"]
    expected = {"exit 0": (0, None), "exit 7": (7, None), "kill -TERM $$": (None, "SIGTERM")}[end]
    assert (execution["exit_code"], execution["signal"]) == expected
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert (tmp_path / "ran").read_text().split() == [stage, stage]


# A request that comes at a moment of its own

Moment = Callable[[pytest.MonkeyPatch, Callable[[], None]], None]


def before(module: Any, name: str) -> Moment:
    """Call something right before a function of a module is called."""

    def patch(monkeypatch: pytest.MonkeyPatch, happen: Callable[[], None]) -> None:
        real = getattr(module, name)

        def first(*args: Any, **named: Any) -> Any:
            happen()
            return real(*args, **named)

        monkeypatch.setattr(module, name, first)

    return patch


MOMENTS: dict[str, tuple[Moment, list[str]]] = {
    "while the gates are judged": (before(judging, "judge"), []),
    "before an attempt": (before(enter_stage.EnterStage, "_run"), ["interrupted"]),
    "while artifacts are judged": (before(attempt, "judge"), ["interrupted"]),
    "when its record is made": (before(attempt, "record_of"), ["interrupted"]),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_request_at_any_moment_of_a_stage_makes_it_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: Interrupts, moment: str
) -> None:
    """Work that is not durable when the request comes runs again in a resume."""
    patch, expected = MOMENTS[moment]
    with monkeypatch.context() as patched:
        patch(patched, lambda: interrupts.deliver(signal.SIGTERM))
        report = run(config(tmp_path), interrupts=interrupts)
    assert [one.status.value for one in report.stage_executions] == expected
    ran = (tmp_path / "ran").read_text().split() if (tmp_path / "ran").exists() else []
    assert_ended(report, tmp_path)
    assert (tmp_path / "ran").read_text().split() == [*ran, *BOTH]


@pytest.mark.parametrize("stage", BOTH)
def test_success_that_is_not_durable_when_the_request_comes_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: Interrupts, stage: str
) -> None:
    """A request counts even when checkpoint and report are about to be put in place."""

    def staging(self: recorder.Recorder, told: Any) -> Any:
        executions = self.draft.invocation.stage_executions
        if executions and executions[-1].stage == stage and not interrupts.count:
            interrupts.deliver(signal.SIGTERM)
        return real(self, told)

    real = recorder.Recorder._stage_report
    with monkeypatch.context() as patched:
        patched.setattr(recorder.Recorder, "_stage_report", staging)
        report = run(config(tmp_path), interrupts=interrupts)
    assert report.stage_executions[-1].stage == stage
    assert report.stage_executions[-1].status == "interrupted"
    assert report.transitions[-1].source == stage
    taken_back = events_of(tmp_path / "out")
    (event,) = (one for one in taken_back if one["event"] == "attempt.interrupted")
    assert event["execution"]["status"] == "interrupted"
    assert_ended(report, tmp_path)
    assert (tmp_path / "ran").read_text().split()[-1] == "executor"
    assert (tmp_path / "ran").read_text().split().count(stage) == 2


def test_run_without_stages_is_not_done_while_a_request_is_pending(
    tmp_path: Path, interrupts: Interrupts
) -> None:
    """A pending request keeps even a run without stages from closing."""
    interrupts.deliver(signal.SIGHUP)
    empty = RunConfig(output_directory=tmp_path / "out", gates=GATES, stages={})
    report = run(empty, interrupts=interrupts)
    assert (report.exit_code, report.terminal_state) == (129, "failed")


def test_stage_that_failed_before_the_request_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: Interrupts
) -> None:
    """A recorded failure does not become an interruption by a later request."""

    def staging(self: recorder.Recorder, told: Any) -> Any:
        if self.draft.invocation.stage_executions:
            interrupts.deliver(signal.SIGTERM)
        return real(self, told)

    real = recorder.Recorder._stage_report
    monkeypatch.setattr(recorder.Recorder, "_stage_report", staging)
    report = run(config(tmp_path, manager=StageGiven(bin="/bin/false")), interrupts=interrupts)
    assert (report.exit_code, report.terminal_state) == (1, "failed")
    assert [one.status.value for one in report.stage_executions] == ["failed"]
