"""The output of stages in the logs, whatever a stage or a kill does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import (
    COMMAND,
    PASSING,
    checkpoint_of,
    environment,
    orchestrate,
    report_of,
    shell,
    stages,
    start,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

STDOUT_LOG = "logs/manager.1.stdout.log"
LOG = f"$ORCHESTRATOR_OUTPUT_DIR/{STDOUT_LOG}"
FILE_BYTES_MAX = 65536
LIMITED = (
    "import os, resource, sys;"
    f"resource.setrlimit(resource.RLIMIT_FSIZE, ({FILE_BYTES_MAX}, {FILE_BYTES_MAX}));"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Runs a command whose files may not grow: for the command, the disk is full."""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/fd")
def test_log_holds_what_was_printed_before_it_was_reopened(tmp_path: Path) -> None:
    """Each output is complete, even if a stage writes to it by name or from one to the other."""
    script = "echo one; echo x > /dev/stdout; echo two | tee /dev/stderr; echo y > /dev/stderr"
    ended = orchestrate("out", *PASSING, *stages(script), cwd=tmp_path)
    assert ended.code == 0
    logs = tmp_path / "out" / "logs"
    assert (logs / "manager.1.stdout.log").read_text() == "one\nx\ntwo\n"
    assert (logs / "manager.1.stderr.log").read_text() == "two\ny\n"
    execution = report_of(tmp_path / "out")["stage_executions"][0]
    assert execution["stderr_tail"] == "two\ny"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a keeper")
@pytest.mark.parametrize("is_printing", [True, False])
def test_all_that_was_printed_outlives_the_orchestrator(tmp_path: Path, is_printing: bool) -> None:
    """After SIGKILL of the orchestrator the log ends with the last output of the stage."""
    lines = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; touch printed"
    then = "while :; do echo more; done" if is_printing else "exec sleep 600"
    process = start("out", *PASSING, *stages(f"{lines}; {then}"), cwd=tmp_path)
    try:
        wait_until((tmp_path / "printed").exists, "it has not printed")
        keeper = checkpoint_of(tmp_path / "out")["open_attempts"][0]["keeper_pid"]
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
    wait_until(lambda: not os.path.exists(f"/proc/{keeper}/fd/0"), "the keeper is there")
    told = (tmp_path / "out" / STDOUT_LOG).read_text().splitlines()
    assert told[:3000] == [f"line {number}" for number in range(1, 3001)]
    assert set(told[3000:]) <= ({"more", "mor", "mo", "m"} if is_printing else set())


def test_full_disk_under_a_log_fails_the_run_and_names_the_log(tmp_path: Path) -> None:
    """Output that cannot be kept ends the stage, and the output until then is kept."""
    script = "while :; do echo 0123456789; done"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *COMMAND, "out", *PASSING, *stages(script)],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    log = tmp_path / "out" / STDOUT_LOG
    assert done.returncode == 1
    assert f"cannot write {log}: file too large" in done.stdout + done.stderr
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert log.stat().st_size == FILE_BYTES_MAX
    assert log.read_bytes().startswith(b"0123456789\n0123456789\n")


@pytest.mark.parametrize(
    "spoil",
    [f': > "{LOG}"', f'rm "{LOG}"', f'cp "{LOG}" other; mv other "{LOG}"', f'rm -r "{LOG}"'],
)
def test_log_that_was_spoilt_by_its_name_fails_the_run(tmp_path: Path, spoil: str) -> None:
    """A stage that finds its log in the directory can cut it, but not unnoticed."""
    script = f"echo one; sleep 0.2; {spoil}; echo two"
    ended = orchestrate("out", *PASSING, *stages(script), cwd=tmp_path)
    assert ended.code == 1
    log = tmp_path / "out" / STDOUT_LOG
    assert f"{log} was cut, moved or removed while stage 'manager' was at work" in ended.stderr
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)


def test_no_more_than_the_limit_is_on_disk_after_a_kill(tmp_path: Path) -> None:
    """The limit holds while the orchestrator is stopped, and when it is killed then."""
    script = "echo go; while [ ! -e full ]; do sleep 0.05; done; while :; do echo 0123456789; done"
    options = (*stages(script), "--manager-output-limit", "5000", "--kill-grace-ms", "60000")
    process = start("out", *PASSING, *options, cwd=tmp_path)
    log = tmp_path / "out" / STDOUT_LOG
    try:
        wait_until(lambda: log.exists() and log.stat().st_size > 0, "it has not printed")
        process.send_signal(signal.SIGSTOP)
        (tmp_path / "full").touch()
        wait_until(lambda: log.stat().st_size >= 5000, "it has not printed enough")
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
    assert log.stat().st_size == 5000


def test_follower_shows_each_line_once(tmp_path: Path) -> None:
    """`logs --follow` reads piped output as it comes, reopened outputs included."""
    script = "for i in 1 2 3 4; do echo $i > /dev/stdout; sleep 0.1; done"
    process = start("out", *PASSING, *shell("manager", script), cwd=tmp_path)
    try:
        wait_until((tmp_path / "out" / STDOUT_LOG).exists, "the stage has not begun")
        followed = orchestrate("logs", "out", "--follow", cwd=tmp_path)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
    assert [line[-1] for line in followed.stdout.splitlines() if line[-1:] in "1234"] == list(
        "1234"
    )
    assert statuses(report_of(tmp_path / "out")) == [("manager", "success")]
