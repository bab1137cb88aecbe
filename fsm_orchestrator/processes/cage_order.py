"""The confinement of a process, as the keeper is asked for it, and its result."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from fsm_orchestrator.model.endings import NotSpawned, SpawnFailure
from fsm_orchestrator.model.promises import Promise
from fsm_orchestrator.processes.keeper_client import Refused, Unheld


class CageOrder(NamedTuple):
    """The resources that a process may reach, and the promises without which it is not started.

    Attributes:
        write: the files and directories that it may change.
        read: those that it may read and execute; None for all.
        connect: the TCP ports that it may connect to; None for all, and for all other sockets.
        bind: the TCP ports that it may bind; None for all.
        is_scoped: true if its signals cannot reach processes outside.
        required: the promises without which it is not started.
    """

    write: tuple[str, ...]
    read: tuple[str, ...] | None
    connect: tuple[int, ...] | None
    bind: tuple[int, ...] | None
    is_scoped: bool
    required: tuple[Promise, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the order, as cage.py takes them."""
        return (
            *(f"write {path}" for path in self.write),
            *_listed("read", self.read),
            *_listed("connect", self.connect),
            *_listed("bind", self.bind),
            *(("signals",) if self.is_scoped else ()),
            *(f"require {one.value}" for one in self.required),
        )


class CageHeld(NamedTuple):
    """The promises that hold for a process started in a cage, and the version of Landlock."""

    abi: int
    promises: tuple[Promise, ...]


def held(abi: int, names: tuple[str, ...]) -> CageHeld:
    """Return the promises that hold, as the keeper reports them."""
    return CageHeld(abi, tuple(map(Promise, names)))


def not_held(unheld: Unheld, order: CageOrder) -> NotSpawned:
    """Explain that this kernel does not keep every required promise."""
    missing = [one.words for one in order.required if one.value not in unheld.held]
    with_what = f"with version {unheld.abi} of Landlock" if unheld.abi else "without Landlock"
    return NotSpawned(
        SpawnFailure.NOT_CONFINED,
        f"this kernel, {with_what}, cannot guarantee {', '.join(missing)}",
    )


def refused_cage(refused: Refused) -> NotSpawned:
    """Explain why the kernel refused to build the cage."""
    what = refused.path or "the kernel refused it"
    return NotSpawned(SpawnFailure.NOT_CONFINED, f"{what}: {os.strerror(refused.errno)}")


def foreseen(order: CageOrder) -> NotSpawned | None:
    """Return why a process could not be confined now, or None if nothing is known to prevent it."""
    from fsm_orchestrator.processes import cage  # noqa: PLC0415 - loads ctypes

    asked = cage.Order([os.fsencode(field) for field in order.fields])
    names = tuple(map(os.fsdecode, cage.held_by(asked)))
    if not {one.value for one in order.required} <= {*names}:
        return not_held(Unheld(asked.abi, names), order)
    for path in (*order.write, *(order.read or ())):
        if not os.path.exists(path):
            return refused_cage(Refused("cage", errno.ENOENT, path))
    return None


NO_KEEPER = NotSpawned(SpawnFailure.NOT_CONFINED, "that takes a keeper, and none is available")


def _listed(word: str, values: tuple[str, ...] | tuple[int, ...] | None) -> tuple[str, ...]:
    return () if values is None else (word, *(f"{word} {value}" for value in values))
