"""Keeps a stage's processes below a keeper: none of them gets away. Linux."""

from __future__ import annotations

import contextlib
import os

from fsm_orchestrator.model.endings import Lost, NotSpawned
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.command import Command, look_up, refused_directory, refused_program
from fsm_orchestrator.processes.contained import Collected
from fsm_orchestrator.processes.keeper_client import LOST, Keeper, KeeperLostError, Refused
from fsm_orchestrator.processes.output_watch import Progress
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.signals import kill_session
from fsm_orchestrator.processes.stage_watch import STATE
from fsm_orchestrator.processes.table import ProcessKey, child_pids, descendants


def spawn_kept(command: Command, limits: Limits, keeper: Keeper) -> KeptProcess | NotSpawned:
    """Start `command` below `keeper`; return why if it could not be started.

    Raises:
        KeeperLostError: the keeper is gone.
    """
    program = look_up(command)
    if isinstance(program, NotSpawned):
        return program
    try:
        page = os.memfd_create("fsm-stage")
    except OSError as error:
        return refused_program(program, error.errno or 0)
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, page)
        started = keeper.spawn(
            program,
            (command.command, *command.args),
            command.cwd,
            dict(command.env),
            limits,
            (command.stdout, command.stderr, page),
        )
        match started:
            case Refused(is_directory=True, errno=number):
                return refused_directory(command.cwd, number)
            case Refused(errno=number):
                return refused_program(program, number)
            case pid:
                child = KeptProcess(pid, keeper, page)
        opened.pop_all()
    return child


class KeptProcess:
    """A leader and all that it started, below a keeper that is a child subreaper."""

    def __init__(self, pid: int, keeper: Keeper, page: int) -> None:
        self.pid = pid
        self._keeper = keeper
        self._page = page
        self._progress: Progress | None = None
        try:
            self.end_descriptor = os.pidfd_open(pid)  # the keeper has not reaped it
        except ProcessLookupError as error:  # but was killed, and init has
            raise KeeperLostError("the keeper was killed") from error
        self.loss_descriptor = keeper.fileno()

    def everyone(self) -> tuple[ProcessKey, ...]:
        """List what is alive below the keeper."""
        return descendants(self._keeper.pid)

    def others(self) -> tuple[ProcessKey, ...]:
        """List what is alive below the keeper except the leader."""
        if readable([self.end_descriptor], 0.0):
            # The keeper has adopted all that the leader had: one read shows whether there is any.
            children = child_pids(self._keeper.pid)
            if children is not None and children <= {self.pid}:
                return ()
        return tuple(key for key in self.everyone() if key.pid != self.pid)

    def progress(self) -> Progress:
        """Read what the keeper has published."""
        return self._progress or Progress(*STATE.unpack(os.pread(self._page, STATE.size, 0)))

    def pause(self) -> None:
        """Stop the keeper's clocks."""
        self._note(b"pause")

    def go_on(self) -> None:
        """Let the keeper's clocks go on."""
        self._note(b"go_on")

    def hand_over(self) -> None:
        """Keep the keeper from ending the stage by itself."""
        self._note(b"hand_over")

    def _note(self, what: bytes) -> None:
        with contextlib.suppress(KeeperLostError):  # noticed by who waits for the end
            self._keeper.note(what)

    def collect(self) -> Collected:
        """Kill what is left; the keeper's last wait(2) is the proof that nothing is."""
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
