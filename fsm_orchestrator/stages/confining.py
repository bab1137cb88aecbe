"""The cage of one attempt: what it may reach, by its settings and because it is always allowed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.trees import fixed_part
from fsm_orchestrator.model.confinement import Confine, Confinement
from fsm_orchestrator.model.endings import NotSpawned, SpawnFailure
from fsm_orchestrator.model.promises import SignalReach
from fsm_orchestrator.processes.cage_order import CageHeld, CageOrder, foreseen
from fsm_orchestrator.secrets.masking import Masker

DEVICES: Final = (
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"),
    *("/dev/tty", "/dev/ptmx", "/dev/pts"),
)
"""The devices that every stage may write to, if they exist."""
SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/nix", "/gnu"),
    *("/proc", "/sys"),
)
"""The paths that every stage may read, if they exist: programs do not start without them."""


class Cage(NamedTuple):
    """The cage of an attempt.

    Attributes:
        order: the order for the keeper.
        temporary: its temporary directory.
        refusal: why it could not be prepared; None if it was.
    """

    order: CageOrder
    temporary: str
    refusal: NotSpawned | None = None

    def record(self, held: CageHeld | None, masker: Masker) -> Confinement:
        """Return its record; `held` is what the kernel enforces, or None if nothing began."""
        order = self.order
        return Confinement(
            write=masker.mask_all(order.write),
            read=None if order.read is None else masker.mask_all(order.read),
            connect=order.connect,
            bind=order.bind,
            required=order.required,
            landlock_abi=None if held is None else held.abi,
            held=() if held is None else held.promises,
        )


@contextlib.contextmanager
def cage_of(
    settings: StageSettings, token: str, home: HeldDirectory, meter: str | None = None
) -> Iterator[Cage | None]:
    """Build the cage of an attempt, and remove its temporary directory afterwards.

    The directories of its expected artifacts are made: a rule needs an existing path. `meter` is
    the path of its meter, the only file of the record that it may write to.
    """
    if settings.confine is None:
        yield None
        return
    temporary = temporary_directory(token)
    order = _order(settings, settings.confine, temporary, () if meter is None else (meter,))
    cage = Cage(order, temporary)
    try:
        for directory in artifact_directories(settings):
            _make(directory, home)
        os.mkdir(temporary, 0o700)
    except OSError as error:
        detail = f"{error.filename}: {error.strerror}"
        yield cage._replace(refusal=NotSpawned(SpawnFailure.NOT_CONFINED, detail))
        return
    try:
        yield cage
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make(directory: str, home: HeldDirectory) -> None:
    """Make a directory; below the output directory, make it in the one that the run has locked."""
    path = Path(directory)
    if os.path.isdir(path):
        return
    if not path.is_relative_to(home.path):
        os.makedirs(path, exist_ok=True)
        return
    with contextlib.ExitStack() as stack:
        for name in path.relative_to(home.path).parts:
            home = stack.enter_context(files.below(home, name))


def temporary_directory(token: str) -> str:
    """Return the path of the temporary directory of the attempt with this token."""
    return os.path.join(tempfile.gettempdir(), f"fsm-stage-{token}")


def clear_temporary(token: str) -> None:
    """Remove the temporary directory of an attempt if nobody has removed it."""
    if token.isalnum():  # a value read from a file is checked before it becomes part of a path
        shutil.rmtree(temporary_directory(token), ignore_errors=True)


def artifact_directories(settings: StageSettings) -> tuple[str, ...]:
    """Return the directories of a stage's expected artifacts."""
    found = dict.fromkeys(os.path.dirname(path) for path in settings.expected_artifacts)
    for one in settings.contracts:
        # For a directory, that is the directory itself: its path ends with a slash.
        found[fixed_part(one.path) if one.is_set else os.path.dirname(one.path)] = None
    return tuple(found)


def writable(settings: StageSettings, confine: Confine) -> tuple[str, ...]:
    """Return the paths that a stage may write to by its settings, or that follow from them."""
    return tuple(dict.fromkeys((*(confine.write or ()), *artifact_directories(settings))))


def foreseen_refusal(settings: StageSettings, confine: Confine) -> NotSpawned | None:
    """Return why a stage could not be confined at present, or None if it could."""
    return foreseen(_order(settings, confine, tempfile.gettempdir()))


def _order(
    settings: StageSettings, confine: Confine, temporary: str, others: tuple[str, ...] = ()
) -> CageOrder:
    write = (*writable(settings, confine), *others, temporary, *filter(os.path.exists, DEVICES))
    read = None
    if confine.read is not None:
        program = shutil.which(settings.command) or settings.command
        read = (*confine.read, program, *filter(os.path.exists, SYSTEM))
    return CageOrder(
        write=write,
        read=read,
        connect=confine.ports(confine.connect),
        bind=confine.ports(confine.bind),
        is_scoped=confine.signals is not SignalReach.ANY,
        required=confine.promised,
    )
