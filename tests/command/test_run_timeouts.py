"""The time of an invocation and of a whole run: it ends stages, waits and gates as a timeout."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.command.budget_cases import last_execution
from tests.command.stage_cases import run
from tests.command.test_wait import config
from tests.gates.evidence_cases import config_with
from tests.support.command import (
    ORCHESTRATOR_PID,
    PASSING,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
    start,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

TIMEOUT: Final = 124
HASTES_MS: Final = (1200, 8000)
"""The times of a run; the second is for a machine that is too busy for the first."""


def assert_timed_out(directory: Path) -> dict[str, Any]:
    """Check that the run timed out; return its last stage execution."""
    report = report_of(directory / "out")
    assert report["terminal_state"] == "timeout"
    assert report["exit_code"] == TIMEOUT
    last = report["transitions"][-1]
    assert (last["trigger"], last["dest"]) == ("run_timed_out", "timeout")
    return last_execution(directory)


def test_stage_gets_what_is_left_of_the_time_of_the_run(tmp_path: Path) -> None:
    """The stage gets SIGTERM, grace and SIGKILL; the record names the run's time; no retry."""
    script = "trap ': > asked' TERM; while :; do sleep 100 & wait; done"
    for haste_ms in HASTES_MS:
        options = (
            *("--run-timeout", f"{haste_ms}ms", "--manager-kill-grace", "200ms"),
            *("--manager-max-attempts", "3", "--manager-retry-timeouts"),
        )
        ended = run(tmp_path, *stages(script), *options)
        assert ended.code == TIMEOUT
        if report_of(tmp_path / "out")["stage_executions"][0]["stage"] == "manager":
            break
    assert (tmp_path / "asked").exists()
    execution = assert_timed_out(tmp_path)
    assert statuses(report_of(tmp_path / "out")) == [("manager", "timeout")]
    stop = {"kind": "time", "limit": "run_timeout_ms", "allowed_ms": haste_ms}
    assert execution["metering"] == {"metered": [], "stopped_by": stop}
    assert "the rest of the time of this invocation (--run-timeout" in execution["error"]
    assert execution["problem"]["details"][0] == "ignored SIGTERM and was killed"
    (begun,) = (one for one in events_of(tmp_path / "out") if one["event"] == "stage.started")
    assert begun["timeout_ms"] < haste_ms
    explained = orchestrate("explain", "./out", cwd=tmp_path).stdout
    assert "next  fsm-orchestrator ./out --resume\n" in explained
    assert "give the run more time only if that is justified" in explained


def test_stage_with_less_time_of_its_own_has_that(tmp_path: Path) -> None:
    """The stage has timed out then, as it does without a time of the run."""
    options = ("--run-timeout", "1h", "--manager-timeout", "100ms")
    assert run(tmp_path, *stages("sleep 100"), *options).code == TIMEOUT
    execution = last_execution(tmp_path)
    assert execution["problem"]["cause"] == "timed out after 100ms"
    assert "metering" not in execution
    assert report_of(tmp_path / "out")["transitions"][-1]["trigger"] == "stage_timed_out"


def test_wait_for_a_retry_ends_with_it(tmp_path: Path) -> None:
    """Between attempts no stage can be ended: the program's own entry records the timeout."""
    for haste_ms in HASTES_MS:
        options = (
            *("--run-timeout", f"{haste_ms}ms", "--manager-backoff-wait", "1h"),
            *("--manager-max-attempts", "3", "--manager-retry-exit-code", "75"),
            *("--manager-backoff-max", "1h"),
        )
        assert run(tmp_path, *stages("exit 75"), *options).code == TIMEOUT
        if report_of(tmp_path / "out")["stage_executions"][0]["exit_code"] == 75:
            break
    entry = assert_timed_out(tmp_path)
    assert (entry["command"], entry["attempt"]) == ("run.timeout", 0)
    assert (entry["ending"], entry["status"]) == ("timed_out", "timeout")
    assert entry["error"].startswith("the time of this invocation (--run-timeout")
    assert [one["event"] for one in events_of(tmp_path / "out")].count("budget.spent") == 1
    more = (*shell("manager", "exit 0"), "--run-timeout", "1h")
    assert orchestrate("out", "--resume", *more, cwd=tmp_path).code == 0


@pytest.mark.parametrize(
    ("source", "more"),
    [
        ("command = ['sleep', '100']\ntimeout = '1h'", ""),
        ("junit = ['none/*.xml']\nwait = '1h'", ""),
    ],
    ids=["command", "wait"],
)
def test_gate_that_is_asked_ends_with_it(tmp_path: Path, source: str, more: str) -> None:
    """Its command is ended and its wait is over; no stage starts, and a resume asks again."""
    config_with(tmp_path, source, more=more)
    given = ("--config", "run.toml", "--run-timeout", "700ms")
    assert orchestrate("run", "./out", *given, cwd=tmp_path).code == TIMEOUT
    entry = assert_timed_out(tmp_path)
    assert entry["command"] == "run.timeout"
    last = report_of(tmp_path / "out")["transitions"][-1]
    assert last["source"] in {"gating", "pending"}
    assert statuses(report_of(tmp_path / "out")) == [("run", "timeout")]
    assert not [
        one
        for one in psutil.process_iter(["name"])  # the name is None once the process is gone
        if one.info["name"] == "sleep" and is_of(one, tmp_path)
    ]
    page = orchestrate("report", "./out", "--html", "page.html", cwd=tmp_path)
    assert page.code == 0
    assert "run_timed_out" in (tmp_path / "page.html").read_text()


def is_of(process: psutil.Process, directory: Path) -> bool:
    """Return whether a process works in a directory."""
    try:
        return process.cwd() == str(directory)
    except psutil.Error:
        return False


def test_wait_of_the_command_for_its_gates_ends_with_it(tmp_path: Path) -> None:
    """With --wait the command is one invocation, so the waits in between count."""
    given = (*config(tmp_path), "--wait", "1h", "--run-timeout", "1500ms")
    ended = orchestrate("run", "./out", *given, cwd=tmp_path)
    assert ended.code == TIMEOUT
    assert assert_timed_out(tmp_path)["command"] == "run.timeout"
    assert "the time of this invocation (--run-timeout 1.5s) is up" in ended.stdout
    assert "--run-timeout" in orchestrate("explain", "./out", cwd=tmp_path).stdout


def test_time_of_the_whole_run_is_what_its_invocations_have_worked(tmp_path: Path) -> None:
    """The time between them does not count; what is left limits the next, until none is left."""
    script = "sleep 0.3; exit 1"
    assert run(tmp_path, *stages(script), "--total-timeout", "1h").code == 1
    out = tmp_path / "out"
    worked_ms = report_of(out)["budget"]["worked_ms"]
    assert worked_ms >= 300
    time.sleep(0.5)
    again = ("out", "--resume", "--total-timeout", f"{worked_ms + 9000}ms")
    sleeping = shell("manager", "sleep 100")
    began = time.monotonic()
    assert orchestrate(*again, *sleeping, cwd=tmp_path).code == TIMEOUT
    assert time.monotonic() - began >= 8.5
    execution = assert_timed_out(tmp_path)
    assert execution["metering"]["stopped_by"]["limit"] == "total_timeout_ms"
    assert "the rest of the time of the whole run (--total-timeout" in execution["error"]
    assert orchestrate("out", "--resume", cwd=tmp_path).code == TIMEOUT
    entry = assert_timed_out(tmp_path)
    assert entry["command"] == "run.timeout"
    assert entry["error"].startswith("the time of the whole run (--total-timeout")
    explained = orchestrate("explain", "./out", cwd=tmp_path).stdout
    assert "--resume --total-timeout" in explained
    more = ("out", "--resume", "--total-timeout", "1h", *shell("manager", "exit 0"))
    assert orchestrate(*more, cwd=tmp_path).code == 0
    used = [one["used"]["worked_ms"] for one in checkpoint_of(out)["invocations"]]
    assert report_of(out)["budget"]["worked_ms"] == sum(used)


def test_time_of_an_invocation_that_was_killed_counts_as_far_as_it_left_signs(
    tmp_path: Path,
) -> None:
    """The meter file is touched during work, so a stage that prints nothing counts as well."""
    script = f"sleep 2.5; kill -9 {ORCHESTRATOR_PID}; sleep 100"
    assert run(tmp_path, *stages(script), "--total-timeout", "1h").code == -signal.SIGKILL
    assert orchestrate("out", "--resume", *shell("manager", "exit 0"), cwd=tmp_path).code == 0
    first, second = (one["used"] for one in checkpoint_of(tmp_path / "out")["invocations"])
    assert (first["worked_ms"], first["unseen_ms"]) == (None, 0)
    assert second["unseen_ms"] >= 1000
    total_ms = report_of(tmp_path / "out")["budget"]["worked_ms"]
    assert total_ms == second["unseen_ms"] + second["worked_ms"]


def test_time_stands_still_while_the_run_is_suspended(tmp_path: Path) -> None:
    """Ctrl-Z stops the time of the run and that of its stage."""
    script = "echo $$; while [ ! -e go ]; do sleep 0.02; done"
    options = ("--run-timeout", "6s", "--total-timeout", "6s")
    process = start("run", "./out", *PASSING, *stages(script), *options, cwd=tmp_path)
    log = tmp_path / "out" / "logs" / "manager.1.stdout.log"
    wait_until(lambda: log.exists() and log.stat().st_size)
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    time.sleep(6)
    process.send_signal(signal.SIGCONT)
    (tmp_path / "go").touch()
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert report_of(tmp_path / "out")["budget"]["worked_ms"] < 6000


LATE: Final = 'trigger = "stage_timed_out"\nsource = ["manager", "executor"]\ndest = "timeout"'


def test_run_ends_as_a_timeout_wherever_a_stage_that_is_late_would_lead(tmp_path: Path) -> None:
    """A lifecycle may declare a late stage failed; that does not apply to the time of the run."""
    text = orchestrate("lifecycle", "governed_run", cwd=tmp_path).stdout
    assert LATE in text
    why = 'why = "too late"'
    manager = f'trigger = "stage_timed_out"\nsource = "manager"\ndest = "failed"\n{why}'
    executor = 'trigger = "stage_timed_out"\nsource = "executor"\ndest = "timeout"'
    own = text.replace(LATE, f"{manager}\n\n[[transition]]\n{executor}")
    (tmp_path / "own.toml").write_text(own)
    for haste_ms in HASTES_MS:
        options = ("--lifecycle", "./own.toml", "--run-timeout", f"{haste_ms}ms")
        assert run(tmp_path, *stages("sleep 100"), *options).code == TIMEOUT
        if statuses(report_of(tmp_path / "out")) == [("manager", "timeout")]:
            break
    assert_timed_out(tmp_path)
    declared = 'trigger = "run_timed_out"\nsource = "gating"\ndest = "timeout"'
    (tmp_path / "own.toml").write_text(f"{own}\n[[transition]]\n{declared}\n{why}\n")
    refused = orchestrate("verify", "own.toml", cwd=tmp_path)
    assert refused.code == 1
    assert "run_timed_out" in refused.stderr + refused.stdout
