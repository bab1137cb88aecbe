"""Keeps a stage's processes below a keeper: none of them gets away. Linux."""

from __future__ import annotations

import os

from fsm_orchestrator.model.endings import Lost, NotSpawned
from fsm_orchestrator.processes.command import Command, look_up, refused_directory, refused_program
from fsm_orchestrator.processes.contained import Collected
from fsm_orchestrator.processes.keeper_client import LOST, Keeper, KeeperLostError, Refused
from fsm_orchestrator.processes.polling import readable
from fsm_orchestrator.processes.signals import kill_session
from fsm_orchestrator.processes.table import ProcessKey, child_pids, descendants


def spawn_kept(command: Command, keeper: Keeper) -> KeptProcess | NotSpawned:
    """Start `command` below `keeper`; return why if it could not be started.

    Raises:
        KeeperLostError: the keeper is gone.
    """
    program = look_up(command)
    if isinstance(program, NotSpawned):
        return program
    started = keeper.spawn(
        program,
        (command.command, *command.args),
        command.cwd,
        dict(command.env),
        (command.stdout, command.stderr),
    )
    match started:
        case Refused(is_directory=True, errno=number):
            return refused_directory(command.cwd, number)
        case Refused(errno=number):
            return refused_program(program, number)
        case pid:
            return KeptProcess(pid, keeper)


class KeptProcess:
    """A leader and all that it started, below a keeper that is a child subreaper."""

    def __init__(self, pid: int, keeper: Keeper) -> None:
        self.pid = pid
        self._keeper = keeper
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

    def collect(self) -> Collected:
        """Kill what is left; the keeper's last wait(2) is the proof that nothing is."""
        try:
            return self._keeper.finish()
        except KeeperLostError:
            self._keeper.abandon()
            survivors = kill_session(self.pid, self.end_descriptor)  # all that is still known
            return Collected(end=Lost(LOST), resources=None, survivors=survivors)
        finally:
            os.close(self.end_descriptor)
