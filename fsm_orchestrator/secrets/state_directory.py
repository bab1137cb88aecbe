"""The location of a user's private state."""

from __future__ import annotations

import os
from pathlib import Path

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.text.hidden import copyable


class NoStateDirectoryError(OSError):
    """There is no place for private files."""


def state_directory(output_directory: Path, *, real: str | None = None) -> Path:
    """Return the private files' directory, `$XDG_STATE_HOME/fsm-orchestrator` or ~/.local/state/….

    `real` is the real path of the output directory, if known.

    Raises:
        NoStateDirectoryError: there is no home directory, or the place is in the output directory.
    """
    given = os.environ.get("XDG_STATE_HOME", "")
    base = given if os.path.isabs(given) else os.path.join(_home(), ".local/state")
    if not os.path.isabs(base):
        raise NoStateDirectoryError("there is no home directory, and XDG_STATE_HOME names no place")
    directory = os.path.join(base, PRODUCT)
    output = os.path.realpath(output_directory) if real is None else real
    if os.path.commonpath((output, os.path.realpath(directory))) == output:
        raise NoStateDirectoryError(f"{copyable(directory)} would be in the output directory")
    return Path(directory)


def _home() -> str:
    """Return the user's home directory, or a path that is not absolute if there is none."""
    if home := os.environ.get("HOME"):
        return home
    import pwd  # noqa: PLC0415 - only without HOME

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""
