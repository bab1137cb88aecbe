"""Finds a program by its name on a search path, as execvp(3) would.

As `shutil.which`, which loads every packer, and takes two system calls for a directory without it.
"""

from __future__ import annotations

import os


def found_on(path: str | None, name: str, *, mode: int = os.X_OK) -> str | None:
    """Return the first file of that name that may be used so; None where there is none.

    `path` is a search path, None for that of a system without one; relative directories in it are
    relative to the current one.
    """
    if path is None:
        path = os.environ.get("PATH", _of_the_system())
    if "\0" in name or "\0" in path:
        return None
    for directory in dict.fromkeys(path.split(os.pathsep) if path else ()):
        place = os.path.join(directory, name)
        if os.access(place, mode) and not os.path.isdir(place):
            return place
    return None


def _of_the_system() -> str:
    try:
        return os.confstr("CS_PATH") or os.defpath
    except (AttributeError, ValueError):
        return os.defpath
