"""Ending the run that works in a directory, from outside: its orchestrator gets SIGTERM.

The process is signalled through a descriptor of it, opened while the lock named it and checked
once more after: never one that got its pid since. That it holds the lock is the kernel's word, not
only the lock file's, where the kernel says so (proc(5): /proc/locks).
"""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Final

from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.errors import CommandError, Holder
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.vocabulary import LOCK_FILE

LOOK_SECONDS: Final = 0.1
LOCKS: Final = Path("/proc/locks")


def stop_run(output: Path, *, wait_ms: int, at_once: bool) -> Holder | None:
    """Ask whoever works in `output` to end, and wait; who that was, None when nobody did.

    `at_once` asks twice, which kills the stage without its time to end.

    Raises:
        CommandError: the process cannot be signalled, or has not ended in time.
    """
    deadline = time.monotonic() + wait_ms / 1000
    holder = _known_holder(output, deadline)
    if holder is None:
        return None
    descriptor = _descriptor_of(output, holder)
    if descriptor is None:
        return holder
    try:
        for signum in (signal.SIGTERM, signal.SIGINT) if at_once else (signal.SIGTERM,):
            _signal(descriptor, holder, signum)
        _wait(output, holder, descriptor, deadline)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return holder


def _known_holder(output: Path, deadline: float) -> Holder | None:
    """Who holds the directory, once it has said so."""
    while True:
        holder = holder_of(output)
        if holder is None or holder.pid is not None or time.monotonic() >= deadline:
            break
        readable([], time.monotonic() + LOOK_SECONDS)
    if holder is not None and (holder.pid is None or holder.host != socket.gethostname()):
        raise CommandError(
            f"cannot stop {output}: it is held by {holder}",
            remedy="run `stop` on the machine where the run works, or signal it there",
        )
    return holder


def _descriptor_of(output: Path, holder: Holder) -> int | None:
    """A pidfd of the holder, -1 where there is no such thing; None when it has ended meanwhile."""
    assert holder.pid is not None  # noqa: S101 - the caller has looked
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        descriptor = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        descriptor = -1
    if descriptor >= 0 and _has_locked(output, holder.pid) and holder_of(output) == holder:
        return descriptor
    if descriptor >= 0:
        os.close(descriptor)
    if holder_of(output) is None:
        return None
    raise CommandError(
        f"cannot stop {output}: process {holder.pid}, which its lock file names, is not the one"
        " that has locked it",
        remedy="it may be in a container: run `stop` there, or end the orchestrator by hand",
    )


def _has_locked(output: Path, pid: int) -> bool:
    """Whether the kernel says that the process has locked the lock file; True where it is mute."""
    try:
        inode = (output / LOCK_FILE).stat().st_ino
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return True
    # `1: FLOCK ADVISORY WRITE 708 08:01:1234 0 EOF`
    locks = [line.split() for line in lines]
    return any(
        words[1] == "FLOCK" and words[4] == str(pid) and words[5].endswith(f":{inode}")
        for words in locks
        if len(words) > 5 and words[1] != "->"  # noqa: PLR2004 - the fields that are looked at
    )


def _signal(descriptor: int, holder: Holder, signum: signal.Signals) -> None:
    assert holder.pid is not None  # noqa: S101 - the caller has looked
    try:
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, signum)
        else:
            os.kill(holder.pid, signum)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise CommandError(
            f"cannot stop process {holder.pid}: it is another user's",
            remedy="ask that user, or run `stop` as that user",
        ) from error


def _wait(output: Path, holder: Holder, descriptor: int, deadline: float) -> None:
    """Wait until the process is gone or has let go of the directory."""
    while holder_of(output) == holder:
        if time.monotonic() >= deadline:
            raise CommandError(
                f"the run in {output} has not ended yet: held by {holder}",
                remedy="wait for it, or say `stop --now`, which gives its stage no time to end",
            )
        watched = [descriptor] if descriptor >= 0 else []
        readable(watched, min(deadline, time.monotonic() + LOOK_SECONDS))
