"""A process that the calling program forks has copies of all that is open: none of them counts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsm_orchestrator.model.endings import Exited
from fsm_orchestrator.processes import pidfds
from fsm_orchestrator.processes.group_output import GroupOutput
from tests.processes.runner_cases import AMPLE, WATCHDOG_SECONDS, Bench


@pytest.fixture
def fork() -> Iterator[Callable[[], None]]:
    """What forks a process that only stays."""
    forked: list[int] = []

    def stay() -> None:
        pid = os.fork()
        if pid == 0:
            try:
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        forked.append(pid)

    yield stay
    for pid in forked:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_end_is_noticed_without_a_pidfd(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fork: Callable[[], None]
) -> None:
    """The pipe that tells of the end of a process tells it, whoever else has its writing end."""

    def are_usable() -> bool:  # asked for once the pipe is made, and before an end of it is closed
        fork()
        return False

    monkeypatch.setattr(pidfds, "are_usable", are_usable)
    ending = bench.in_thread(lambda: bench.shell("exit 0"))
    assert ending.result(WATCHDOG_SECONDS).end == Exited(0)


def test_copying_ends_without_a_keeper(tmp_path: Path, fork: Callable[[], None]) -> None:
    """Neither the pipes of a stage nor what wakes the thread that reads them need be closed."""
    with (tmp_path / "log").open("wb") as log:
        output = GroupOutput((log.fileno(), log.fileno()), AMPLE)
    fork()
    output.started()
    closing = threading.Thread(target=output.close, daemon=True)
    closing.start()
    closing.join(WATCHDOG_SECONDS)
    assert not closing.is_alive()
