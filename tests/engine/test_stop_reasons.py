"""The reason for a request to end: it is recorded, and decides how the run ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import Interrupts, Report, RunConfig, StageGiven, StopReason, resume, run
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.record import recorder
from fsm_orchestrator.record.events import parse_event
from fsm_orchestrator.record.redo import Redo
from fsm_orchestrator.stages import attempt, attempt_record
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.vocabulary import Ending, Gate
from tests.command.test_finally import TIDY
from tests.support.command import EVENTS, checkpoint_of, events_of, orchestrate, report_of
from tests.support.patience import PATIENCE_SECONDS, wait_until

GATES: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
DEAF: Final = "trap '' TERM; touch deaf; while :; do sleep 0.02; done"
ENDS: Final = {
    StopReason.SIGNAL: (143, Ending.INTERRUPTED, "received SIGTERM"),
    StopReason.REQUESTED: (143, Ending.INTERRUPTED, "was asked to end, as by SIGTERM"),
    StopReason.CANCELLED: (143, Ending.INTERRUPTED, "was cancelled"),
    StopReason.SHUTDOWN: (
        143,
        Ending.INTERRUPTED,
        "was asked to end, because its worker shuts down",
    ),
    StopReason.LEASE_LOST: (75, Ending.LEASE_LOST, "lost its lease"),
    StopReason.FENCED: (75, Ending.LEASE_LOST, "was overtaken by a later epoch"),
}
LOST: Final = (StopReason.LEASE_LOST, StopReason.FENCED)


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a run's private state below the test's directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(name="interrupts")
def requests() -> Iterator[Interrupts]:
    """Yield requests that a test delivers itself."""
    with Interrupts() as interrupts:
        yield interrupts


def config(place: Path, script: str, **given: Any) -> RunConfig:
    """Return a run whose first stage is a script."""
    stage = StageGiven(bin="/bin/sh", args=("-c", script), cwd=str(place), **given)
    stages = {"manager": stage, "executor": StageGiven(bin="/bin/true")}
    return RunConfig(output_directory=place / "out", gates=GATES, stages=stages)


def ended_by(
    interrupts: Interrupts, config: RunConfig, *reasons: StopReason, event: str = "stage.started"
) -> Report:
    """Return the report of a run that is asked to end, for those reasons, while its stage works."""

    def asked(told: Mapping[str, Any]) -> None:
        if told["event"] == event and not interrupts.count:
            for reason in reasons:
                interrupts.deliver(signal.SIGTERM, reason)

    return run(config, interrupts=interrupts, listener=asked)


@pytest.mark.parametrize("reason", ENDS)
def test_record_says_why_a_run_was_asked_to_end(
    tmp_path: Path, interrupts: Interrupts, reason: StopReason
) -> None:
    """Report, checkpoint and event have the reason; exit code and text follow it."""
    code, ending, words = ENDS[reason]
    report = ended_by(interrupts, config(tmp_path, "exec sleep 600"), reason)
    assert (report.exit_code, report.stop_reason, report.terminal_state) == (code, reason, "failed")
    assert report.was_asked_to_end
    (execution,) = report.stage_executions
    assert (execution.status, execution.ending) == ("interrupted", ending)
    assert execution.error == f"interrupted: the run {words}"
    assert report_of(tmp_path / "out")["stop_reason"] == reason
    assert checkpoint_of(tmp_path / "out")["invocations"][-1]["stop_reason"] == reason
    assert events_of(tmp_path / "out")[-1]["stop_reason"] == reason
    said = orchestrate("explain", "out", cwd=tmp_path).stdout
    assert "nothing is broken" in said
    again = resume(config(tmp_path, "exit 0"))
    assert (again.exit_code, again.stop_reason) == (0, None)
    assert again.earlier_invocations[0].stop_reason is reason


def test_record_of_a_run_that_nobody_asks_to_end_does_not_speak_of_it(tmp_path: Path) -> None:
    """A run that nobody asks to end has no reason in any file."""
    assert run(config(tmp_path, "exit 0")).stop_reason is None
    for file in (tmp_path / "out").iterdir():
        assert not file.is_file() or b"stop_reason" not in file.read_bytes()


@pytest.mark.parametrize("reason", LOST)
def test_lost_run_gives_its_stage_no_grace(
    tmp_path: Path, interrupts: Interrupts, reason: StopReason
) -> None:
    """The stage of a lost run gets no grace, because another worker may be at the same work."""
    began = time.monotonic()
    deaf = config(tmp_path, DEAF, kill_grace_ms=int(PATIENCE_SECONDS * 1000))
    report = ended_by(interrupts, deaf, reason)
    assert time.monotonic() - began < PATIENCE_SECONDS / 2
    assert report.stop_reason is reason


@pytest.mark.parametrize("reason", LOST)
def test_that_a_run_is_lost_comes_before_what_was_asked_first(
    tmp_path: Path, interrupts: Interrupts, reason: StopReason
) -> None:
    """The loss of a run ends the grace of an earlier request, and becomes the reason."""
    deaf = config(tmp_path, DEAF, kill_grace_ms=int(PATIENCE_SECONDS * 1000))

    def ask() -> None:
        wait_until((tmp_path / "deaf").exists)
        interrupts.deliver(signal.SIGTERM, StopReason.REQUESTED)
        time.sleep(0.1)  # the grace of the request has begun
        interrupts.deliver(signal.SIGTERM, reason)

    asking = threading.Thread(target=ask)
    asking.start()
    report = run(deaf, interrupts=interrupts)
    asking.join()
    assert (report.exit_code, report.stop_reason) == (75, reason)
    assert report.stage_executions[0].ending is Ending.LEASE_LOST


def test_first_reason_counts_of_others(tmp_path: Path, interrupts: Interrupts) -> None:
    """Of other reasons the first counts, as of signals."""
    both = StopReason.CANCELLED, StopReason.SHUTDOWN
    report = ended_by(interrupts, config(tmp_path, "exec sleep 600"), *both)
    assert (report.exit_code, report.stop_reason) == (143, StopReason.CANCELLED)


@pytest.mark.parametrize("reason", LOST)
@pytest.mark.parametrize("script", ["exit 0", "exit 7"])
def test_lost_run_goes_nowhere_but_to_its_end(
    tmp_path: Path, interrupts: Interrupts, reason: StopReason, script: str
) -> None:
    """A lost run is aborted, without a success, another end or a retry of its stage."""
    retry = RetryPolicy(max_attempts=3, exit_codes=(7,), backoff_ms=1)
    given = config(tmp_path, f"echo ran >>ran; {script}", retry=retry)
    with pytest.MonkeyPatch.context() as patched:
        at_record(patched, lambda: interrupts.deliver(signal.SIGTERM, reason))
        report = run(given, interrupts=interrupts)
    assert (report.exit_code, report.stop_reason) == (75, reason)
    assert report.transitions[-1].trigger == "run_aborted"
    assert (tmp_path / "ran").read_text().split() == ["ran"]


def test_lost_run_is_not_ended_by_a_failure_that_is_not_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: Interrupts
) -> None:
    """A failure that is not recorded before the run is lost does not decide its end."""

    def staging(self: recorder.Recorder, told: Any) -> Any:
        executions = self.draft.invocation.stage_executions
        if executions and not interrupts.count:
            interrupts.deliver(signal.SIGTERM, StopReason.FENCED)
        return real(self, told)

    real = recorder.Recorder._stage_report
    monkeypatch.setattr(recorder.Recorder, "_stage_report", staging)
    report = run(config(tmp_path, "exit 7"), interrupts=interrupts)
    assert (report.exit_code, report.stop_reason) == (75, StopReason.FENCED)
    assert report.transitions[-1].trigger == "run_aborted"
    assert report.stage_executions[0].ending is Ending.EXITED


@pytest.mark.parametrize(
    ("reason", "outcomes"),
    [
        (StopReason.LEASE_LOST, []),
        (StopReason.FENCED, []),
        (StopReason.CANCELLED, ["failed"]),
    ],
)
def test_stage_that_always_runs_does_not_where_the_run_goes_on_elsewhere(
    tmp_path: Path, interrupts: Interrupts, reason: StopReason, outcomes: list[str]
) -> None:
    """A stage that always runs is left to the worker that continues the lost run."""
    given = tidying(tmp_path, "exec sleep 600", 'echo "$ORCHESTRATOR_OUTCOME" >>tidied')
    ended_by(interrupts, given, reason)
    tidied = tmp_path / "tidied"
    assert (tidied.read_text().split() if tidied.exists() else []) == outcomes
    again = tidying(tmp_path, "exit 0", 'echo "$ORCHESTRATOR_OUTCOME" >>tidied')
    assert resume(again).exit_code == 0
    assert tidied.read_text().split() == [*outcomes, "done"]


@pytest.mark.parametrize("script", ["exit 0", "exit 7"])
def test_run_that_is_lost_in_its_last_stage_is_left_to_others(
    tmp_path: Path, interrupts: Interrupts, script: str
) -> None:
    """The last stage of a run that is lost in it runs again elsewhere, whatever its result."""
    given = tidying(tmp_path, script, DEAF)

    def asked(told: Mapping[str, Any]) -> None:
        if told["event"] == "stage.started" and told["stage"] == "cleanup":
            interrupts.deliver(signal.SIGTERM, StopReason.LEASE_LOST)

    report = run(given, interrupts=interrupts, listener=asked)
    assert (report.exit_code, report.stop_reason) == (75, StopReason.LEASE_LOST)
    assert report.stage_executions[-1].ending is Ending.LEASE_LOST
    assert resume(tidying(tmp_path, "exit 0", "exit 0")).exit_code == 0


def test_verification_is_cut_short_where_the_run_is_lost(
    tmp_path: Path, interrupts: Interrupts
) -> None:
    """A lost run cuts its verification short and begins no other."""
    verify = (("/bin/sh", "-c", "exec sleep 600"), ("/bin/sh", "-c", "echo no >>verified"))
    given = config(tmp_path, "exit 0", verify=verify)
    report = ended_by(interrupts, given, StopReason.LEASE_LOST, event="verification.started")
    (execution,) = report.stage_executions
    assert (execution.status, execution.ending) == ("interrupted", Ending.LEASE_LOST)
    assert [one.ending for one in execution.verifications] == [Ending.LEASE_LOST]
    assert not (tmp_path / "verified").exists()


def test_reason_is_made_again_from_the_events(tmp_path: Path, interrupts: Interrupts) -> None:
    """The events restore the reason when a power cut took the checkpoint."""
    ended_by(interrupts, config(tmp_path, "exec sleep 600"), StopReason.SHUTDOWN)
    told = Redo(None)
    for line in (tmp_path / "out" / EVENTS).read_bytes().splitlines():
        told.follow(parse_event(line), sha256_of(line))
    assert told.kept is not None
    assert told.kept.invocation.stop_reason is StopReason.SHUTDOWN


def at_record(patched: pytest.MonkeyPatch, happen: Callable[[], None]) -> None:
    """Call something when the record of an attempt is made."""
    real = attempt_record.record_of

    def first(*args: Any) -> Any:
        happen()
        return real(*args)

    patched.setattr(attempt, "record_of", first)


def tidying(place: Path, script: str, cleanup: str) -> RunConfig:
    """Return a run whose first stage is a script, with a stage that always runs."""
    stage = StageGiven(bin="/bin/sh", args=("-c", cleanup), cwd=str(place))
    given = config(place, script)
    stages = {**(given.stages or {}), "cleanup": stage}
    (place / "tidy.toml").write_text(TIDY)
    return given.model_copy(update={"stages": stages, "lifecycle": str(place / "tidy.toml")})
