"""Work that is killed before each of its steps that change the file system, in turn."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

CHANGING: Final = frozenset(
    {
        *("os.rename", "os.rmdir", "os.mkdir", "os.remove", "os.truncate", "os.chmod"),
        *("os.symlink", "os.link"),
    }
)


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a forked process, killed by SIGKILL before the step of that number, from 1.

    Returns:
        False if the work has no such step, and was done.
    """
    child = os.fork()
    if child == 0:
        _work_there(step, work)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed"
    return False


def _work_there(step: int, work: Callable[[], object]) -> None:
    count = 0

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        is_change = event in CHANGING
        if event == "open" and isinstance(arguments[2], int):
            is_change = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if is_change:
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        sys.addaudithook(look)
        work()
        code = 0
    finally:
        os._exit(code)
