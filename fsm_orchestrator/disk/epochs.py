"""The epochs of a run under an engine: one record directory per claim, the highest name counts.

    RUN/epochs/<number>.<attempt>/    the record of one invocation, published whole by one rename

A run in a plain output directory has none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.constants import EPOCHS_DIRECTORY
from fsm_orchestrator.errors import FencedError
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.late_pattern import late_pattern

NUMBER_MAX: Final = 999_999
DRAFT_PREFIX: Final = ".draft-"
_NAME: Final = late_pattern(r"[0-9]{6}\.[0-9]{6}")


class Epoch(NamedTuple):
    """One claim of a run: the number of the invocation, and the engine's attempt at it.

    Attributes:
        run_directory: absolute path of the run, the same in every epoch.
        number: the number of the invocation, from 1.
        attempt: the engine's attempt at it, from 1.
    """

    run_directory: Path
    number: int
    attempt: int

    @property
    def name(self) -> str:
        """Its name, which sorts as epochs follow each other: `000002.000001`."""
        return f"{self.number:06d}.{self.attempt:06d}"

    @property
    def directory(self) -> Path:
        """The record directory that it alone writes to."""
        return self.run_directory / EPOCHS_DIRECTORY / self.name

    @property
    def is_latest(self) -> bool:
        """Whether no later epoch holds the run, as far as can be seen from here."""
        names = epochs_of(self.run_directory)
        return bool(names) and names[-1] == self.name

    def confirm(self) -> None:
        """Make sure that no later epoch holds the run.

        Raises:
            FencedError: one does.
        """
        if not self.is_latest:
            raise fenced(self)


def is_epoch_name(name: str) -> bool:
    """Return whether a directory is called as an epoch is: `000002.000001`."""
    return _NAME.fullmatch(name) is not None


def epochs_of(run_directory: Path) -> list[str]:
    """Return the names of the epochs of a run, oldest first; empty where it has none."""
    return [name for name in _names_in(run_directory) if is_epoch_name(name)]


def next_invocation(run_directory: str | os.PathLike[str]) -> int:
    """Return the number of a run's next invocation: one more than its latest epoch has, or 1.

    For whoever asks an engine for an invocation, and hands it the number to be claimed with.
    """
    names = epochs_of(Path(run_directory))
    return int(names[-1].partition(".")[0]) + 1 if names else 1


def drafts_of(run_directory: Path) -> list[str]:
    """Return the names of the epochs of a run that are being made, or were not made to the end."""
    return [
        name
        for name in _names_in(run_directory)
        if is_epoch_name(name.removeprefix(DRAFT_PREFIX)) and name.startswith(DRAFT_PREFIX)
    ]


def _names_in(run_directory: Path) -> list[str]:
    """Return what is in the directory of a run's epochs, sorted; empty where there is none."""
    try:
        return sorted(os.listdir(run_directory / EPOCHS_DIRECTORY))
    except (FileNotFoundError, NotADirectoryError):
        return []


def latest_record(run_directory: Path) -> Path:
    """Return where the record of a run is: its latest epoch, or the directory itself."""
    names = epochs_of(run_directory)
    return run_directory / EPOCHS_DIRECTORY / names[-1] if names else run_directory


def fenced(epoch: Epoch) -> FencedError:
    """Return the error of an epoch that holds the run no more."""
    names = epochs_of(epoch.run_directory)
    later = names[-1] if names else "none"
    return FencedError(
        f"epoch {epoch.name} of {copyable(epoch.run_directory)} holds the run no more: the latest"
        f" is {later}",
        remedy="leave it to the worker that has the run now",
    )
