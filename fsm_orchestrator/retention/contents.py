"""The contents of an archived run's directory: the run's own, or put there by somebody else.

Anything that is not the run's own is never removed, never followed, and never moved; the run is
then left as a whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from fsm_orchestrator.disk import belongings
from fsm_orchestrator.disk.belongings import RUN_DIRECTORIES, RUN_FILES
from fsm_orchestrator.disk.taken_along import artifacts_named
from fsm_orchestrator.text.hidden import copyable

DEPTH_MAX: Final = 100
"""The greatest depth of nested directories in an artifact that is a directory."""
_MOUNTS: Final = Path("/proc/self/mountinfo")
_MOUNT_POINT: Final = 4


def why_not_whole(directory: Path) -> str | None:
    """Return why an archived directory cannot be removed or moved as one run, or None if it can."""
    if os.path.islink(directory) or not os.path.isdir(directory):
        return "it is not a directory"
    if not belongings.is_of_a_run(directory):
        return "no run of this program has left it"
    mounted = _mounted_below(directory)
    if mounted is not None:
        return f"something is mounted at {copyable(mounted)}"
    foreign = next(_foreign_in(directory), None)
    if foreign is not None:
        return f"{copyable(foreign)} is not the run's"
    return None


def _foreign_in(directory: Path) -> Iterator[Path]:
    artifacts = {PurePosixPath(one) for one in artifacts_named(directory)}
    above = {parent for one in artifacts for parent in one.parents}
    device = os.lstat(directory).st_dev
    rest = [(PurePosixPath(), False)]
    while rest:
        place, is_artifact = rest.pop()
        for name in sorted(os.listdir(directory / place)):
            one, is_own = place / name, is_artifact or (place / name) in artifacts
            status = os.lstat(directory / one)
            is_directory = stat.S_ISDIR(status.st_mode)
            if status.st_dev != device or len(one.parts) > DEPTH_MAX:
                yield directory / one
            elif is_own or (is_directory and one in above):
                if is_directory:
                    rest.append((one, is_own))
            elif not _is_of_the_run(one, status):
                yield directory / one
            elif is_directory:
                rest.append((one, False))


def _is_of_the_run(one: PurePosixPath, status: os.stat_result) -> bool:
    """Return whether a run of this program puts something of that name and kind there."""
    if len(one.parts) == 1:
        if one.name in RUN_DIRECTORIES:
            return stat.S_ISDIR(status.st_mode)
        return one.name in RUN_FILES and stat.S_ISREG(status.st_mode)
    above, name = one.parts[0], one.name
    is_known = above in RUN_DIRECTORIES and belongings.has_name_of_a_run(above, name)
    return is_known and len(one.parts) == 2 and not stat.S_ISDIR(status.st_mode)  # noqa: PLR2004


def _mounted_below(directory: Path) -> str | None:
    """Return a mount point at or below a directory, or None.

    The kernel lists mounts; one of the same file system is found in no other way.
    """
    real = os.path.realpath(directory)
    try:
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return real if os.path.ismount(real) else None
    for line in lines:
        at = _unescaped(line.split(" ")[_MOUNT_POINT])
        if at == real or at.startswith(f"{real}/"):
            return at
    return None


def _unescaped(text: str) -> str:
    r"""Return a path without escapes: the kernel writes spaces and the like as `\040`."""
    for code in ("040", "011", "012", "134"):
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text
