"""Ends the run at work in a directory from outside: its orchestrator gets SIGTERM.

If that is a program that does more than this run, a file asks for the end of this run alone.

The process is signaled through a pidfd that is opened while the lock names it and then checked
again, so a later process with the same pid is never signaled. Where the kernel lists locks
(proc(5): /proc/locks), it must confirm that the process holds this one.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import CommandError, Holder
from fsm_orchestrator.inspection.holder import has_locked, holder_now, lockers
from fsm_orchestrator.processes import pidfds
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.table import is_pending, is_stopped
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import HeldBy

LOOK_SECONDS: Final = 0.1
PENDING_SECONDS: Final = 0.01
NAME_SECONDS_MAX: Final = 2.0
"""The longest to wait for a holder to name itself."""


def stop_run(output: Path, *, wait_ms: int, at_once: bool) -> Holder | None:
    """Ask the process at work in `output` to end, and wait; return it, or None without one.

    `at_once` asks twice, which kills the stage without its time to end.

    Raises:
        CommandError: the process cannot be signaled, or has not ended in time.
    """
    deadline = time.monotonic() + wait_ms / 1000
    holder = _known_holder(output, deadline)
    if holder is None:
        return None
    descriptor = _descriptor_of(output, holder)
    if descriptor is None:
        return holder
    try:
        if holder.held_by is not HeldBy.COMMAND:
            _ask(output, holder, descriptor, deadline, at_once=at_once)
            return holder
        _signal(descriptor, holder, signal.SIGTERM)
        if at_once:
            _wait_until_heard(descriptor, holder, deadline)
            _signal(descriptor, holder, signal.SIGINT)
        _wait(output, holder, descriptor, deadline)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return holder


def _known_holder(output: Path, deadline: float) -> Holder | None:
    """Return the process that holds the directory, once its lock file names it."""
    deadline = min(deadline, time.monotonic() + NAME_SECONDS_MAX)
    while True:
        holder = holder_now(output)
        if holder is None or holder.pid is not None or time.monotonic() >= deadline:
            break
        readable([], time.monotonic() + LOOK_SECONDS)
    if holder is not None and holder.pid is None:
        raise _unnamed(output)
    if holder is not None and holder.host != socket.gethostname():
        remedy = "run `stop` on the machine where the run works, or signal it there"
        if run_of(output) != output:
            remedy = f"{PRODUCT} temporal signal {_named(output)} --stop; or {remedy}"
        raise CommandError(
            f"cannot stop {_named(output)}: it is held by {holder}",
            remedy=remedy,
        )
    if holder is not None and holder.held_by is not HeldBy.COMMAND and holder.hears is None:
        raise CommandError(
            f"cannot stop {_named(output)}: {_program(holder)} is too old to be asked"
            " by a file, and a signal would end it with all that it does",
            remedy=_elsewhere(output, holder),
        )
    return holder


def _ask(output: Path, holder: Holder, descriptor: int, deadline: float, *, at_once: bool) -> None:
    """Ask the run by a file to end, and wait until its program has released the directory.

    That program is never signaled, not even with SIGCONT.
    """
    from fsm_orchestrator.disk import files, stop_request  # noqa: PLC0415 - not for most runs
    from fsm_orchestrator.processes.ancestry import is_of_a_stage  # noqa: PLC0415 - likewise

    if is_of_a_stage(os.getpid(), holder.pid or 0):
        raise CommandError(
            f"cannot stop {_named(output)}: this was typed below a stage of that program, whose"
            " requests are not believed",
            remedy="a stage ends itself by an exit code, and its run with it",
        )
    hears = holder.hears or ""
    try:
        with stop_request.asking(output, hears, times=2 if at_once else 1) as asked:
            while holder_now(output) == holder:
                if time.monotonic() >= deadline:
                    raise _unheard(output, holder, at_once=at_once)
                watched = [descriptor] if descriptor >= 0 else []
                readable(watched, min(deadline, time.monotonic() + LOOK_SECONDS))
                asked.put_again_if_gone()
    except OSError as error:
        remedy = f"make that directory writable, or {_elsewhere(output, holder)}"
        if isinstance(error, PermissionError):
            remedy = "run `stop` as the user whose run it is"
        raise CommandError(
            f"cannot stop {_named(output)}: {_program(holder)} is to be asked by a file"
            f" there: {files.reason(error)}",
            remedy=remedy,
        ) from error


def _program(holder: Holder) -> str:
    """Return a description of the program that does more than the run that it holds."""
    what = "a worker of an engine" if holder.held_by is HeldBy.ENGINE else "which uses the library"
    return f"process {holder.pid}, {what},"


def _elsewhere(output: Path, holder: Holder) -> str:
    """Return how to end the run of such a program without asking it by a file."""
    if holder.held_by is HeldBy.ENGINE:
        signal_it = f"{PRODUCT} temporal signal {_named(output)} --stop"
        return f"have its engine end the run; under Temporal: {signal_it}"
    return "end the run in that program: call `deliver` of the `interrupts` it gave"


def _named(output: Path) -> str:
    """Return the run in a directory as it is shown."""
    return copyable(run_of(output))


def _unheard(output: Path, holder: Holder, *, at_once: bool) -> CommandError:
    said = f"the run in {_named(output)} has not ended yet: held by {holder}"
    if is_stopped(holder.pid or 0):
        return CommandError(
            f"{said}, which is suspended",
            remedy=f"continue it, so that it can respond: kill -CONT {holder.pid}",
        )
    remedy = "wait for it, or use `stop --now`, which gives its stage no time to end"
    if at_once:
        remedy = "wait for it; `status` says whether a warning of the run names the request"
    return CommandError(said, remedy=remedy)


def _unnamed(output: Path) -> CommandError:
    """Return the refusal to stop a process that the lock file does not name."""
    pids = sorted(lockers(output) or ())
    who = f": according to the kernel, it is process {pids[0]}" if pids else ""
    remedy = f"if that is the orchestrator: kill -TERM {pids[0]}" if pids else "stop it by hand"
    return CommandError(
        f"cannot stop {_named(output)}: its lock file does not say who holds it{who}",
        remedy=remedy,
    )


def _descriptor_of(output: Path, holder: Holder) -> int | None:
    """Open a pidfd of the holder; return -1 without pidfds, or None if the holder has ended."""
    assert holder.pid is not None  # noqa: S101 - the caller has looked
    if not pidfds.are_usable():
        return -1
    try:
        descriptor = pidfds.open_of(holder.pid)
    except ProcessLookupError:
        descriptor = -1
    if descriptor >= 0 and has_locked(output, holder.pid) and holder_now(output) == holder:
        return descriptor
    if descriptor >= 0:
        os.close(descriptor)
    if holder_now(output) is None:
        return None
    raise CommandError(
        f"cannot stop {_named(output)}: process {holder.pid}, which its lock file names, is"
        " not the one"
        " that has locked it",
        remedy="it may be in a container: run `stop` there, or stop the orchestrator by hand",
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


def _wait_until_heard(descriptor: int, holder: Holder, deadline: float) -> None:
    """Continue a stopped process, and wait until SIGTERM is no longer pending.

    Of two pending signals SIGINT would be delivered first, and decide the exit code.
    """
    while True:
        _signal(descriptor, holder, signal.SIGCONT)
        if time.monotonic() >= deadline or not is_pending(holder.pid or 0, signal.SIGTERM):
            return
        readable([], time.monotonic() + PENDING_SECONDS)


def _wait(output: Path, holder: Holder, descriptor: int, deadline: float) -> None:
    """Wait until the process has ended or has released the directory.

    A stopped process is continued repeatedly: it may stop itself once more before it listens.
    """
    while holder_now(output) == holder:
        _signal(descriptor, holder, signal.SIGCONT)
        if time.monotonic() >= deadline:
            raise CommandError(
                f"the run in {_named(output)} has not ended yet: held by {holder}",
                remedy="wait for it, or use `stop --now`, which gives its stage no time to end",
            )
        watched = [descriptor] if descriptor >= 0 else []
        readable(watched, min(deadline, time.monotonic() + LOOK_SECONDS))
