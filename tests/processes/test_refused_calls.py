"""A started process has an owner where the kernel refuses pidfds, and whatever raises."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.model.endings import NotSpawned
from fsm_orchestrator.processes import grouped, kept, runner
from fsm_orchestrator.vocabulary import Containment
from tests.processes.runner_cases import Bench, is_alive
from tests.support import refuse_calls
from tests.support.command import (
    COMMAND,
    PASSING,
    environment,
    orchestrate,
    report_of,
    shell,
    stages,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs seccomp")
WRAPPER: Final = (sys.executable, "-I", "-S", refuse_calls.__file__)
CALLS: Final = (refuse_calls.PIDFD_OPEN, refuse_calls.PIDFD_SEND_SIGNAL)
STAYS: Final = "sleep 600 & setsid sleep 600 & echo $$ $! >pids; exec sleep 600"


def refusing(number: int, directory: Path, *options: str) -> subprocess.Popen[str]:
    """Start a run to which the kernel refuses every call about pidfds."""
    return subprocess.Popen(
        [*WRAPPER, str(number), *CALLS, "--", *COMMAND, "out", *PASSING, *options],
        cwd=directory,
        env=environment(XDG_STATE_HOME=str(directory / "state")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pids_of(directory: Path) -> list[int]:
    """Return the pids that a stage has written."""
    wait_until(lambda: (directory / "pids").exists() and (directory / "pids").read_text().strip())
    return [int(pid) for pid in (directory / "pids").read_text().split()]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_run_without_pidfds_keeps_all_its_promises(tmp_path: Path, number: int) -> None:
    """The run is done, leftovers are found and ended, and the reach is the usual one."""
    leaves = "sleep 600 & setsid sleep 600 & echo $! >pids; exit 0"
    process = refusing(number, tmp_path, *stages(leaves))
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, stderr
    report = report_of(tmp_path / "out")
    assert statuses(report) == [("manager", "success"), ("executor", "success")]
    assert report["containment"] == "subreaper"
    assert report["stage_executions"][0]["leaked_count"] == 2
    assert not is_alive(*pids_of(tmp_path))


def test_timeout_without_pidfds_ends_everything(tmp_path: Path) -> None:
    """A time limit also ends processes that have left the session."""
    process = refusing(errno.EPERM, tmp_path, *stages(STAYS), "--timeout-ms", "500")
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 124, stderr
    assert [pid for pid in pids_of(tmp_path) if is_alive(pid)] == []


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_orchestrator_without_pidfds_that_is_ended_leaves_nothing(
    tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    """An orchestrator that is asked to end, or killed, leaves nothing that it had started."""
    process = refusing(errno.ENOSYS, tmp_path, *stages(STAYS))
    try:
        pids = pids_of(tmp_path)
        process.send_signal(signum)
        process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == code
        wait_until(lambda: not any(map(is_alive, pids)))
    finally:
        process.kill()


def test_stop_works_without_pidfds(tmp_path: Path) -> None:
    """`stop` has no pidfds either, and ends the run all the same."""
    process = refusing(errno.EPERM, tmp_path, *shell("manager", STAYS))
    pids_of(tmp_path)
    words = [*WRAPPER, str(errno.EPERM), *CALLS, "--", *COMMAND, "stop", "out"]
    stopped = subprocess.run(
        words, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert stopped.returncode == 0, stopped.stderr
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 143


def test_resume_ends_what_is_left_without_pidfds(tmp_path: Path) -> None:
    """A resume ends what outlived a killed orchestrator and its keeper."""
    process = refusing(errno.ENOSYS, tmp_path, *shell("manager", STAYS))
    pids = pids_of(tmp_path)
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    ended = orchestrate("out", "--resume", "--manager-arg=-c", "--manager-arg=:", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert [pid for pid in pids if is_alive(pid)] == []


class NobodyKnowsError(Exception):
    """Raised where no code expects it."""


def test_process_whose_start_is_not_noted_is_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error between the start of a process and the note of it ends the process."""
    started: list[int] = []

    def fails(*arguments: object) -> int:
        started.extend(one for one in arguments if isinstance(one, int) and one > 1)
        raise NobodyKnowsError

    if bench.containment is Containment.SUBREAPER:
        monkeypatch.setattr(kept, "KeptProcess", fails)
    else:
        monkeypatch.setattr(grouped, "_end_descriptor", fails)
    with pytest.raises(NobodyKnowsError):
        bench.shell("exec sleep 600")
    assert started
    assert not is_alive(started[0])


def test_process_is_collected_whatever_is_raised_while_it_is_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second error, while the first one ends the process, does not leave it without an owner."""

    def fails(*_: object, **_named: object) -> bool:
        raise NobodyKnowsError

    monkeypatch.setattr(runner, "terminate", fails)

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(NobodyKnowsError):
        bench.shell("exec sleep 600", then=fail)
    assert not is_alive(bench.pid)


def test_no_room_for_a_descriptor_starts_nothing(bench: Bench) -> None:
    """With every descriptor in use no process is started, and the reason is reported."""
    bench.shell("exit 0")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        os.close(held.pop())  # for its output
        end = bench.run("/bin/true").end
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in held:
            os.close(descriptor)
    assert isinstance(end, NotSpawned)
    assert "descriptor" in end.detail
