"""An error that the calling program raises through a run ends it, is recorded, and passes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from fsm_orchestrator import RunConfig, StageGiven, load_report, resume, run
from fsm_orchestrator.disk import files
from fsm_orchestrator.engine import enter_gate
from fsm_orchestrator.record import recorder
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import checkpoint_of, events_of

GATES = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
STAYS = 'echo $$ >pid; test "$ORCHESTRATOR_ATTEMPT" = 1 || exit 0; kill -USR1 "$0"; exec sleep 600'


class TheirsError(Exception):
    """An error of the calling program."""


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a run keeps of its environment below the test's directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def on_signal() -> Iterator[Callable[[BaseException], None]]:
    """Make this process raise an error when it gets SIGUSR1, wherever it is by then."""
    before = signal.getsignal(signal.SIGUSR1)

    def install(error: BaseException) -> None:
        def raise_it(*_: object) -> None:
            raise error

        signal.signal(signal.SIGUSR1, raise_it)

    yield install
    signal.signal(signal.SIGUSR1, before)


def config(directory: Path, script: str) -> RunConfig:
    """Return a run of a single stage, a script that gets the pid of this process."""
    words = ("-c", script, str(os.getpid()))
    stage = StageGiven(bin="/bin/sh", args=words, cwd=str(directory))
    return RunConfig(
        output_directory=directory / "out",
        gates=GATES,
        stages={"manager": stage},
        skip_stages=("executor",),
    )


def assert_recorded(directory: Path, error: BaseException, code: int) -> None:
    """Assert that report, checkpoint and events agree, nothing is open, and a resume continues."""
    out, name = directory / "out", type(error).__name__
    report = load_report(out)
    assert (report.exit_code, report.terminal_state, report.closure_ready) == (
        code,
        "failed",
        False,
    )
    assert report.finished_at is not None
    checkpoint = checkpoint_of(out)
    assert (checkpoint["current_state"], checkpoint["open_attempts"]) == ("failed", [])
    last = checkpoint["invocations"][-1]["transitions"][-1]
    assert (last["trigger"], name in last["cause"]) == ("run_aborted", True)
    names = [event["event"] for event in events_of(out)]
    assert names[-1] == "run.ended"
    assert "run.crashed" not in names
    assert resume(RunConfig(output_directory=out)).exit_code == 0


ERRORS = [
    (KeyboardInterrupt(), 130),
    (SystemExit(3), 1),
    (TheirsError("enough"), 1),
    (ValueError("of their handler"), 1),
]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda one: type(one).__name__)
def test_error_raised_while_a_stage_runs_is_an_interruption(
    tmp_path: Path, on_signal: Callable[[BaseException], None], error: BaseException, code: int
) -> None:
    """The same error comes out, the stage is ended, and the record has the reason."""
    on_signal(error)
    with pytest.raises(type(error)) as raised:
        run(config(tmp_path, STAYS))
    assert raised.value is error
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    (execution,) = load_report(tmp_path / "out").stage_executions
    assert (execution.status, type(error).__name__ in (execution.error or "")) == (
        "interrupted",
        True,
    )
    assert_recorded(tmp_path, error, code)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *((recorder.Recorder, one) for one in ("refresh", "keep", "_replace_both")),
        *((recorder.Recorder, one) for one in ("_append", "_commit")),
        (files.StagedFile, "commit"),  # a file is in its place, and nothing has noted that yet
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_error_raised_at_any_step_of_recording_leaves_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """Before or after a step was durable, the record is whole, and has the end of the run."""
    real, calls = getattr(owner, name), 0
    # The first file to take its place is OUT's .gitignore: there is no record yet.
    for moment in range(2, 7) if owner is files.StagedFile else range(1, 4):
        directory = tmp_path / str(moment)
        directory.mkdir()
        calls = 0

        def broken(*args: Any, at: int = moment, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            result = real(*args, **named)
            if calls == at:
                raise KeyboardInterrupt
            return result

        with monkeypatch.context() as patched:
            patched.setattr(owner, name, broken)
            try:
                run(config(directory, "exit 0"))
            except KeyboardInterrupt:
                report = load_report(directory / "out")
                if report.terminal_state == "done":  # it came when that was durable
                    assert (report.exit_code, report.closure_ready) == (0, True)
                    assert resume(RunConfig(output_directory=directory / "out")).exit_code == 0
                else:
                    assert_recorded(directory, KeyboardInterrupt(), 130)
                assert not (directory / "out" / "tampered").exists()
            else:
                assert calls < moment


def test_error_raised_by_a_guard_passes_on(
    tmp_path: Path, on_signal: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that fails counts as refused, but an error of a signal handler in it passes on."""
    error = ValueError("of their handler")
    on_signal(error)
    real = enter_gate.EnterGate.do_hold

    def signaled(self: Any) -> Any:
        os.kill(os.getpid(), signal.SIGUSR1)
        return real(self)

    with monkeypatch.context() as patched:
        patched.setattr(enter_gate.EnterGate, "do_hold", signaled)
        with pytest.raises(ValueError, match="of their handler"):
            run(config(tmp_path, "exit 0"))
    assert_recorded(tmp_path, error, 1)


# Listeners


@pytest.mark.parametrize("names", [None, {"run.started"}, {"stage.ended"}])
def test_listener_that_raises_decides_nothing(tmp_path: Path, names: set[str] | None) -> None:
    """The run is done as without it; its failure is a warning, and it is not called again."""
    heard = 0

    def listener(event: Mapping[str, Any]) -> None:
        nonlocal heard
        if names is None or event["event"] in names:
            heard += 1
            raise TheirsError("deaf")

    report = run(config(tmp_path, "exit 0"), listener=listener)
    assert (report.exit_code, report.closure_ready, heard) == (0, True, 1)
    told = [one for one in report.warnings if "listener" in one]
    assert told == ["a listener raised TheirsError: deaf; it gets no more events"]
    events = [event for event in events_of(tmp_path / "out") if event["event"] == "run.warning"]
    assert [event["message"] for event in events if "listener" in event["message"]] == told


def test_ctrl_c_that_meets_the_listener_ends_the_run(tmp_path: Path) -> None:
    """Ctrl-C is no failure of the listener: it ends the run wherever it comes."""

    def listener(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.ended":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config(tmp_path, "exit 0"), listener=listener)
    assert_recorded(tmp_path, KeyboardInterrupt(), 130)


class LeavesError(BaseException):
    """An error that no program expects."""


def test_what_was_kept_stays_kept_wherever_a_listener_leaves(tmp_path: Path) -> None:
    """At each event in turn, the record is whole and consistent, and completed work is not redone.

    A stage that was reported as complete is never run again, and a run that is done stays done.
    """
    counts = 'echo x >>"$0.$ORCHESTRATOR_STAGE"'
    told: list[Mapping[str, Any]] = []

    def asked(number: int) -> RunConfig:
        words = ("-c", counts, str(tmp_path / str(number)))
        stage = StageGiven(bin="/bin/sh", args=words)
        return RunConfig(
            output_directory=tmp_path / f"out-{number}",
            gates=GATES,
            stages={"manager": stage, "executor": stage},
        )

    run(asked(0), listener=told.append)
    for number in range(1, 1 + len(told)):
        seen = 0

        def listener(_: Mapping[str, Any], at: int = number) -> None:
            nonlocal seen
            seen += 1
            if seen == at:
                raise LeavesError

        with pytest.raises(LeavesError):
            run(asked(number), listener=listener)
        until, out = told[:number], tmp_path / f"out-{number}"
        steps = [one["transition"]["trigger"] for one in until if one["event"] == "transition"]
        report, complete = load_report(out), [one for one in steps if one == "stage_succeeded"]
        assert report.terminal_state == ("done" if len(complete) == 2 else "failed")
        ends = [one["outcome"] for one in events_of(out) if one["event"] == "run.ended"]
        assert ends == [report.terminal_state]
        assert resume(RunConfig(output_directory=out)).exit_code == 0
        for stage in ("manager", "executor")[: len(complete)]:
            assert (tmp_path / f"{number}.{stage}").read_text() == "x\n", until[-1]
