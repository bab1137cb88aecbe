"""The directory that a record belongs to, and where the record lies now: there, moved, or copied.

Processes and private values belong to the run in one directory. Whoever has a copy of its record
has neither.
"""

import os
from pathlib import Path
from typing import Annotated

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY
from fsm_orchestrator.disk.held import Identity, identity_of
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field, StringConstraints
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import Whereabouts

NOT_MADE = Identity(0, 0)
"""The identity of a directory that is to be made."""
KnownPath = Annotated[str, StringConstraints(pattern="^[^\x00]+$")]


class Home(StrictModel):
    """The output directory of a run, as of the latest invocation that wrote the record."""

    directory: KnownPath = Field(description="Its absolute path.")
    identity: Annotated[str, StringConstraints(pattern="^[0-9]{1,20}:[0-9]{1,20}$")] = Field(
        description="Its device and inode number: a copy has others."
    )
    started_in: KnownPath = Field(
        description=(
            "Absolute path of the directory that the operator's paths were relative to; that of the"
            " output directory where it holds a secret."
        )
    )

    @property
    def inode(self) -> str:
        """Its inode number alone: that of the device may be another after a mount."""
        return _inode_in(self.identity)


def _inode_in(identity: str) -> str:
    return identity.rpartition(":")[2]


def identity_text(identity: Identity) -> str:
    """Return an identity as it is kept."""
    return f"{identity.device}:{identity.inode}"


def output_of(directory: Path) -> Path:
    """Return the output directory of the run in `directory`, which may be in an archive."""
    above = directory.parent
    return above.parent if above.name == ARCHIVE_DIRECTORY else directory


def home_of(directory: Path, identity: Identity, masker: Masker, started_in: str) -> Home:
    """Return what a record says of the directory that it is written in.

    Its name is not masked: it decides, and the operator has named it openly.
    """
    named, started = str(directory.absolute()), str(Path(started_in).absolute())
    return Home(
        directory=named,
        identity=identity_text(identity),
        started_in=named if masker.hides(started) else started,
    )


def whereabouts(home: Home, directory: Path) -> Whereabouts:
    """Return where a record lies whose `home` is known and that was found in `directory`."""
    directory = directory.absolute()
    here = _identity(directory)
    if here is None:
        return Whereabouts.COPIED
    is_same_path = home.directory == str(directory)
    # The number of a device may be another after it was mounted anew.
    inode = home.inode
    if home.identity != identity_text(here) and not (is_same_path and inode == str(here.inode)):
        return Whereabouts.COPIED
    if is_same_path or _identity(Path(home.directory)) == here:  # by another name
        return Whereabouts.HOME
    return Whereabouts.MOVED


def _identity(directory: Path) -> Identity | None:
    try:
        return identity_of(os.stat(directory))
    except (OSError, ValueError):
        return None
