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
        """The name, which sorts in the order of the epochs: `000002.000001`."""
        return f"{self.number:06d}.{self.attempt:06d}"

    @property
    def directory(self) -> Path:
        """The record directory that only this epoch writes to."""
        return self.run_directory / EPOCHS_DIRECTORY / self.name

    @property
    def is_latest(self) -> bool:
        """True if no later epoch holds the run, as far as can be seen from here."""
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
    """Return whether a name is that of an epoch, such as `000002.000001`."""
    return _NAME.fullmatch(name) is not None


def epochs_of(run_directory: Path) -> list[str]:
    """Return the names of the epochs of a run, oldest first; empty if it has none."""
    return [name for name in _names_in(run_directory) if is_epoch_name(name)]


def next_invocation(run_directory: str | os.PathLike[str]) -> int:
    """Return the number of a run's next invocation: one more than its latest epoch has, or 1.

    For a caller that asks an engine for an invocation, and passes it the number to claim with.
    """
    names = epochs_of(Path(run_directory))
    return int(names[-1].partition(".")[0]) + 1 if names else 1


def drafts_of(run_directory: Path) -> list[str]:
    """Return the names of a run's epochs that are being made, or were never finished."""
    return [
        name
        for name in _names_in(run_directory)
        if is_epoch_name(name.removeprefix(DRAFT_PREFIX)) and name.startswith(DRAFT_PREFIX)
    ]


def _names_in(run_directory: Path) -> list[str]:
    """Return the names in the directory of a run's epochs, sorted; empty if there is none."""
    try:
        return sorted(os.listdir(run_directory / EPOCHS_DIRECTORY))
    except (FileNotFoundError, NotADirectoryError):
        return []


def latest_record(run_directory: Path) -> Path:
    """Return the directory of a run's record: its latest epoch, or the run's directory itself."""
    names = epochs_of(run_directory)
    return run_directory / EPOCHS_DIRECTORY / names[-1] if names else run_directory


def fenced(epoch: Epoch) -> FencedError:
    """Return the error for an epoch that no longer holds the run."""
    names = epochs_of(epoch.run_directory)
    later = names[-1] if names else "none"
    return FencedError(
        f"epoch {epoch.name} of {copyable(epoch.run_directory)} no longer holds the run: the latest"
        f" is {later}",
        remedy="leave it to the worker that has the run now",
    )
