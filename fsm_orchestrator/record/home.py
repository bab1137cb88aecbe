"""The directory that a record belongs to: its place, and the runs that it was copied from.

whereabouts.py finds out where a record is now, relative to that place.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY
from fsm_orchestrator.disk.held import Identity, identity_of
from fsm_orchestrator.model.base import Count, Many, Ordinal, RunId, StrictModel
from fsm_orchestrator.model.declared import Field, StringConstraints, left_out
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateRef

NOT_MADE = Identity(0, 0)
"""The identity of a directory that is yet to be made."""
KnownPath = Annotated[str, StringConstraints(pattern="^[^\x00]+$")]


class Whereabouts(StrEnum):
    """The place of a record relative to the directory that it was written in."""

    HOME = "home"
    MOVED = "moved"
    """The same directory under a new name."""
    CARRIED = "carried"
    """Another directory on another file system of this machine, and the old one is gone: the result
    of `mv`."""
    HANDED_ON = "handed_on"
    """A later epoch of the same run, handed on by an engine. The previous holder is gone; what is
    left of it on this machine belongs to the run."""
    COPIED = "copied"
    """Another directory, and the one that the run works in is on this machine."""
    BROUGHT = "brought"
    """Another directory: from another machine, from a backup, or of an original that cannot be
    found."""

    @property
    def has_processes(self) -> bool:
        """True if the processes that the record names are the run's, here and now."""
        return self.is_home or self is Whereabouts.MOVED

    @property
    def is_home(self) -> bool:
        """True if the record is where its run is expected."""
        return self in {Whereabouts.HOME, Whereabouts.HANDED_ON}

    @property
    def has_values(self) -> bool:
        """True if the private file that the record names is the run's."""
        return self.has_processes or self is Whereabouts.CARRIED


class CopiedFrom(StrictModel):
    """A run that the record was copied from, to continue as a separate run."""

    run_id: RunId = Field(description="Identifies that run.")
    directory: KnownPath = Field(description="Absolute path of its output directory.")
    invocations: Ordinal = Field(description="Number of its last invocation that was copied.")
    private_ref: PrivateRef | None = Field(
        description="Name of its private file, read only to hide the values in logs that were"
        " copied; null when it had none."
    )


class Home(StrictModel):
    """The output directory of a run, as of the latest invocation that wrote the record."""

    directory: KnownPath = Field(description="Its absolute path.")
    device: Count = Field(
        description="Number of its device, which may be another after it was mounted again."
    )
    inode: Count = Field(description="Its inode number: a copy has another.")
    host: str = Field(description="Name of the machine.")
    boot: str = Field(description="Id of the machine's boot; empty where the system gives none.")
    started_in: KnownPath = Field(
        description=(
            "Absolute path of the directory that the operator's paths were relative to; that of the"
            " output directory where it holds a secret."
        )
    )

    copied_from: Annotated[tuple[CopiedFrom, ...], Many] = left_out(
        (),
        "The runs that the record was copied from, to be a separate run, the oldest first; left"
        " out where there are none.",
    )

    @property
    def identity(self) -> Identity:
        """The identity that distinguished it from every other directory of its machine."""
        return Identity(self.device, self.inode)


def is_at(home: Home, directory: Path) -> bool:
    """Return whether a record is where it was written: at the same path, in the same directory.

    Its device may have another number after it was mounted again.
    """
    try:
        here = identity_of(os.stat(directory))
    except (OSError, ValueError):
        return False
    return home.directory == str(directory) and home.inode == here.inode


def output_of(directory: Path) -> Path:
    """Return the output directory of the run in `directory`, which may be in an archive."""
    above = directory.parent
    return above.parent if above.name == ARCHIVE_DIRECTORY else directory


def home_of(
    directory: Path,
    identity: Identity,
    masker: Masker,
    started_in: str,
    copied_from: tuple[CopiedFrom, ...] = (),
) -> Home:
    """Return what a record says about the directory that it is written in.

    Its name is not masked: decisions depend on it, and the operator has named it openly. Neither is
    the machine's, which is refused as a secret.
    """
    named, started = str(directory.absolute()), str(Path(started_in).absolute())
    from fsm_orchestrator.processes import table  # noqa: PLC0415 - not for those who read

    return Home(
        directory=named,
        device=identity.device,
        inode=identity.inode,
        host=os.uname().nodename,
        boot=table.boot(),
        started_in=named if masker.hides(started) else started,
        copied_from=copied_from,
    )
