"""A process that the calling program forks has copies of all open files: none of them counts."""

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
    """Yield a function that forks a process that only stays."""
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
    """The pipe that reports the end of a process works although a copy has its writing end."""

    def are_usable() -> bool:  # called once the pipe is made, and before an end of it is closed
        fork()
        return False

    monkeypatch.setattr(pidfds, "are_usable", are_usable)
    ending = bench.in_thread(lambda: bench.shell("exit 0"))
    assert ending.result(WATCHDOG_SECONDS).end == Exited(0)


def test_copying_ends_without_a_keeper(tmp_path: Path, fork: Callable[[], None]) -> None:
    """Copying ends although a fork holds the pipes of a stage and what wakes the reading thread."""
    with (tmp_path / "log").open("wb") as log:
        output = GroupOutput((log.fileno(), log.fileno()), AMPLE)
    fork()
    output.started()
    closing = threading.Thread(target=output.close, daemon=True)
    closing.start()
    closing.join(WATCHDOG_SECONDS)
    assert not closing.is_alive()
