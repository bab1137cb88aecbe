"""Describes the processes that could not be ended: how many, which, and what keeps them alive."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from fsm_orchestrator.text.phrases import counted

NAMED_MAX: Final = 5
PROC: Final = Path("/proc")


class Keeps(StrEnum):
    """The reason why a killed process is still alive."""

    OWNER = "of another user"
    KERNEL = "waiting in the kernel"
    NOTHING = "gone by now"
    FORKS = "starting others faster than they can be ended"


def survivors_text(pids: Sequence[int]) -> str:
    """Return `2 processes (17, 18: waiting in the kernel)`."""
    kept: dict[Keeps, list[int]] = {}
    for pid in pids:
        kept.setdefault(_what_keeps(pid), []).append(pid)
    groups = [f"{_named(group)}: {what.value}" for what, group in kept.items()]
    return f"{counted(len(pids), 'process')} ({'; '.join(groups)})"


def _named(pids: list[int]) -> str:
    more = len(pids) - NAMED_MAX
    shown = ", ".join(map(str, pids[:NAMED_MAX]))
    return f"{shown} and {more} more" if more > 0 else shown


def _what_keeps(pid: int) -> Keeps:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return Keeps.OWNER
    except OSError:
        return Keeps.NOTHING
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return Keeps.FORKS
    state = text[text.rfind(b")") + 2 :][:1]
    return Keeps.KERNEL if state in {b"D", b"Z", b"X"} else Keeps.FORKS
