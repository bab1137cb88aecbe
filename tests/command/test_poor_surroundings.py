"""Surroundings that lack something: the run works, or fails by a designed error with a report."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.command import (
    COMMAND,
    PASSING,
    Ended,
    environment,
    orchestrate,
    report_of,
    shell,
    stages,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="is about /proc")
LEAVES: Final = "sleep 600 & echo $! >>pids; setsid sleep 600 & echo $! >>pids; exit 0"


def within(prefix: tuple[str, ...], *arguments: str, cwd: Path) -> Ended:
    """Run the command through another one."""
    done = subprocess.run(
        [*prefix, *COMMAND, *arguments],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state")),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


# Few descriptors


LONG_GRACE: Final = ("--kill-grace-ms", "600000")


def limited(number: int) -> tuple[str, ...]:
    """Return a shell that allows only this number of descriptors."""
    return ("/bin/sh", "-c", f'ulimit -n {number}; exec "$@"', "sh")


@pytest.mark.parametrize("number", [8, 10, 20])
def test_too_few_descriptors_are_a_designed_error_with_a_report(
    tmp_path: Path, number: int
) -> None:
    """Nothing is started and the limit is named; with a higher limit the run is done."""
    ended = within(limited(number), "out", *PASSING, *stages("touch ran"), cwd=tmp_path)
    assert ended.code == 1, ended.stderr
    assert "too few files can be opened" in ended.stderr
    assert "ulimit -n" in ended.stderr
    assert "Traceback" not in ended.stderr
    report = report_of(tmp_path / "out")
    assert [one["command"] for one in report["stage_executions"]] == ["descriptors.reserve"]
    assert not (tmp_path / "ran").exists()
    assert orchestrate("out", *PASSING, *stages("touch ran"), cwd=tmp_path).code == 0


@linux_only
@pytest.mark.parametrize("number", [36, 48])
def test_few_descriptors_are_enough(tmp_path: Path, number: int) -> None:
    """A stage may leave more processes behind than there are descriptors."""
    leaves = "for one in $(seq 25); do sleep 600 & done; exit 0"
    options = (*PASSING, *stages(leaves), "--kill-grace-ms", "200")
    ended = within(limited(number), "out", *options, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert report_of(tmp_path / "out")["stage_executions"][0]["leaked_count"] == 25


# Blocked signals


BLOCKED: Final = (
    "import os, signal, sys\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


@pytest.mark.parametrize(
    ("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGQUIT", 131)]
)
def test_signals_that_were_blocked_at_the_start_end_the_run(
    tmp_path: Path, name: str, code: int
) -> None:
    """A caller that blocks all signals does not take away the means to end run and stage."""
    script = "echo $$ >pid; exec sleep 600"
    blocked = (sys.executable, "-I", "-S", "-c", BLOCKED)
    process = subprocess.Popen(
        [*blocked, *COMMAND, "out", *PASSING, *shell("manager", script), *LONG_GRACE],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        process.send_signal(signal.Signals[name])
        assert process.wait(PATIENCE_SECONDS) == code
    finally:
        process.kill()
        process.wait()
    assert statuses(report_of(tmp_path / "out")) == [("manager", "interrupted")]


# Other kinds of /proc


def mounted(command: str) -> tuple[str, ...]:
    """Return a prefix that mounts another /proc; the test is skipped where that is forbidden."""
    unshare, setpriv = shutil.which("unshare"), shutil.which("setpriv")
    if unshare is None or setpriv is None:
        pytest.skip("needs unshare and setpriv")
    # An ordinary user mounts in a namespace in which it is root and sees its own processes.
    world = ("-m",) if os.getuid() == 0 else ("-rmpf", "--kill-child", "--mount-proc")
    prefix = (unshare, *world, "/bin/sh", "-c", f'{command} || exit 99; exec "$@"', "sh")
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no such /proc can be mounted here")
    # A process with the right to trace sees everything: only ordinary users are restricted.
    return (*prefix, setpriv, "--bounding-set=-all", "--inh-caps=-all", "--")


KINDS: Final[Mapping[str, str]] = {
    "subset": "mount -t proc -o subset=pid proc /proc",
    "hidden": "mount -t proc -o hidepid=2 proc /proc",
    "invisible": "mount -t proc -o hidepid=4 proc /proc",
    "none": "mount -t tmpfs none /proc",
}


def ours(directory: Path) -> list[int]:
    """Return the live processes that work in a directory."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd") == str(directory):
                found.append(int(entry))
        except OSError:
            continue
    return found


@linux_only
@pytest.mark.parametrize("kind", KINDS)
def test_run_with_another_proc_ends_what_it_says_that_it_ends(tmp_path: Path, kind: str) -> None:
    """With every kind of /proc a run is done; without one its report names its limits."""
    prefix = mounted(KINDS[kind])
    ended = within(prefix, "out", *PASSING, *stages(LEAVES), cwd=tmp_path)
    try:
        assert ended.code == 0, ended.stderr
        report = report_of(tmp_path / "out")
        assert report["stage_executions"][0]["status"] == "success"
        if kind == "none":
            assert report["containment"] == "process_group"
            assert any("there is no /proc" in one for one in report["warnings"])
            in_group = int((tmp_path / "pids").read_text().split()[0])
            wait_until(lambda: in_group not in ours(tmp_path))  # killed, left for init to reap
        else:
            assert report["containment"] == "subreaper"
            assert report["stage_executions"][0]["leaked_count"] == 2
            assert ours(tmp_path) == []
    finally:
        for pid in ours(tmp_path):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.one_in(2)
@linux_only
@pytest.mark.parametrize("kind", KINDS)
def test_timeout_and_resume_with_another_proc(tmp_path: Path, kind: str) -> None:
    """The limit holds, and a resume continues the run."""
    prefix = mounted(KINDS[kind])
    once = 'test "$ORCHESTRATOR_ATTEMPT" = 1 || exit 0; exec sleep 600'
    ended = within(prefix, "out", *PASSING, *stages(once), "--timeout-ms", "300", cwd=tmp_path)
    assert ended.code == 124, ended.stderr
    resumed = within(prefix, "out", "--resume", "--timeout-ms", "60000", cwd=tmp_path)
    assert resumed.code == 0, resumed.stderr


@pytest.mark.one_in(2)
@linux_only
@pytest.mark.parametrize("kind", KINDS)
def test_killed_orchestrator_with_another_proc_can_be_resumed(tmp_path: Path, kind: str) -> None:
    """The resume ends the rest of its stage, or says why it must not begin."""
    prefix = mounted(KINDS[kind])
    once = 'test "$ORCHESTRATOR_ATTEMPT" = 1 || exit 0; echo $$ >pid; exec sleep 600'
    process = subprocess.Popen(
        [*prefix, *COMMAND, "out", *PASSING, *stages(once)],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    process.kill()
    process.wait()
    try:
        resumed = within(prefix, "out", "--resume", cwd=tmp_path)
        assert resumed.code == (1 if kind == "none" else 0), resumed.stderr
        assert "Traceback" not in resumed.stderr
        if kind == "none":
            assert "/proc" in resumed.stderr
            report = report_of(tmp_path / "out")
            assert report["stage_executions"][-1]["command"] == "attempt.end"
        else:
            assert ours(tmp_path) == []
    finally:
        for pid in ours(tmp_path):
            os.kill(pid, signal.SIGKILL)
