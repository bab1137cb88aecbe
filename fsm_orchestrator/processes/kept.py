"""Keeps a stage's processes below a keeper, so that none of them escapes. Linux."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Self

from fsm_orchestrator.model.endings import Lost, NotSpawned, SpawnFailure
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes import pidfds
from fsm_orchestrator.processes.command import (
    Command,
    look_up,
    no_descriptors,
    refused_directory,
    refused_program,
)
from fsm_orchestrator.processes.contained import Collected
from fsm_orchestrator.processes.keeper_client import (
    LOST,
    Keeper,
    KeeperLostError,
    Refused,
    Started,
    Unheld,
)
from fsm_orchestrator.processes.output_watch import Progress
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.signals import kill_session
from fsm_orchestrator.processes.stage_watch import STATE
from fsm_orchestrator.processes.table import ProcessKey, child_pids, descendants

if TYPE_CHECKING:
    from fsm_orchestrator.processes.cage_order import CageHeld, CageOrder


def spawn_kept(command: Command, limits: Limits, keeper: Keeper) -> KeptProcess | NotSpawned:
    """Start `command` below `keeper`, or return why it could not be started.

    Raises:
        KeeperLostError: the keeper is gone.
    """
    program = look_up(command)
    if isinstance(program, NotSpawned):
        return program
    with contextlib.ExitStack() as opened, contextlib.ExitStack() as kept:
        try:
            page = _new_page()
            kept.callback(os.close, page)
            end = opened.enter_context(_EndPipe())
        except OSError as error:
            return no_descriptors(error)
        started = keeper.spawn(
            program,
            (command.command, *command.args),
            command.cwd,
            dict(command.env),
            limits,
            (command.stdout, command.stderr, page, *end.for_keeper),
            () if command.cage is None else command.cage.fields,
        )
        match started:
            case Started(pid):
                child = KeptProcess(pid, end.descriptor_of(pid), keeper, page)
            case Refused(where="cwd", errno=number):
                return refused_directory(command.cwd, number)
            case Refused(where="lease"):
                return NotSpawned(SpawnFailure.NOT_LEASED, "its lease has run out")
            case _ if command.cage is not None:
                return _not_caged(started, command.cage, program)
            case Refused(errno=number):
                return refused_program(program, number)
            case _:
                raise KeeperLostError(f"the keeper answered {started!r}")
        kept.pop_all()
    if command.cage is not None:
        from fsm_orchestrator.processes import cage_order  # noqa: PLC0415 - only for a cage

        child.cage = cage_order.held(started.abi, started.held)
    return child


def _not_caged(answer: Refused | Unheld, cage: CageOrder, program: str) -> NotSpawned:
    from fsm_orchestrator.processes import cage_order  # noqa: PLC0415 - only for a cage

    match answer:
        case Unheld():
            return cage_order.not_held(answer, cage)
        case Refused(where="cage"):
            return cage_order.refused_cage(answer)
        case Refused(errno=errno.EACCES):
            return NotSpawned(
                SpawnFailure.NOT_CONFINED, f"{program} is not among what it may read and execute"
            )
        case Refused(errno=number):
            return refused_program(program, number)


def _new_page() -> int:
    """Create the unnamed file in which the keeper publishes, in memory if that is allowed.

    Raises:
        OSError: it cannot be created.
    """
    try:
        return os.memfd_create("fsm-stage")
    except (AttributeError, PermissionError):
        pass
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    import tempfile  # noqa: PLC0415 - rare

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class _EndPipe:
    """The descriptor that will show the end of a process, obtained before the process exists.

    With pidfds the pipe only reserves room for one. Without them the keeper holds its other end,
    and closes it when the process has ended.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self.for_keeper = () if pidfds.are_usable() else (self._writer,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for descriptor in (self._reader, self._writer):
            if descriptor >= 0:
                os.close(descriptor)

    def descriptor_of(self, pid: int) -> int:
        """Return a descriptor that is readable once the process has ended; the caller closes it.

        Raises:
            KeeperLostError: the keeper was killed, and the process is gone.
            OSError: none is available.
        """
        os.close(self._writer)
        self._writer = -1
        if self.for_keeper:
            reader, self._reader = self._reader, -1
            return reader
        try:
            return os.pidfd_open(pid)  # the keeper has not reaped it
        except ProcessLookupError as error:  # it was killed, and init has reaped it
            raise KeeperLostError("the keeper was killed") from error


class KeptProcess:
    """A leader and all that it started, below a keeper that is a child subreaper."""

    def __init__(self, pid: int, end_descriptor: int, keeper: Keeper, page: int) -> None:
        self.pid = pid
        self._keeper = keeper
        self._page = page
        self._progress: Progress | None = None
        self.cage: CageHeld | None = None
        self.end_descriptor = end_descriptor
        self.loss_descriptor = keeper.fileno()

    def everyone(self) -> tuple[ProcessKey, ...]:
        """List the live processes below the keeper."""
        return descendants(self._keeper.pid)

    def others(self) -> tuple[ProcessKey, ...]:
        """List the live processes below the keeper except the leader."""
        if readable([self.end_descriptor], 0.0):
            # The keeper has adopted all children of the leader: one read shows whether there are
            # any.
            children = child_pids(self._keeper.pid)
            if children is not None and children <= {self.pid}:
                return ()
        return tuple(key for key in self.everyone() if key.pid != self.pid)

    def progress(self) -> Progress:
        """Return what the keeper has published."""
        return self._progress or Progress(*STATE.unpack(os.pread(self._page, STATE.size, 0)))

    def pause(self) -> None:
        """Stop the keeper's clocks."""
        self._note(b"pause")

    def go_on(self) -> None:
        """Resume the keeper's clocks."""
        self._note(b"go_on")

    def hand_over(self) -> None:
        """Keep the keeper from ending the stage on its own."""
        self._note(b"hand_over")

    def _note(self, what: bytes) -> None:
        with contextlib.suppress(KeeperLostError):  # noticed by the thread that waits for the end
            self._keeper.note(what)

    def collect(self) -> Collected:
        """Kill what is left; the keeper's last wait(2) proves that nothing is."""
        try:
            return self._keeper.finish()
        except KeeperLostError:
            self._keeper.abandon()
            survivors = kill_session(self.pid, self.end_descriptor)  # all that is still known
            return Collected(end=Lost(LOST), resources=None, survivors=survivors)
        finally:
            self._progress = self.progress()
            os.close(self._page)
            os.close(self.end_descriptor)
