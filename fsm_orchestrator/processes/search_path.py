"""Finds a program by its name on a search path, as execvp(3) would.

Replaces `shutil.which`, which loads every archive format and makes two system calls for each
directory without the program.
"""

from __future__ import annotations

import os


def found_on(path: str | None, name: str, *, mode: int = os.X_OK) -> str | None:
    """Return the first file of that name with access `mode`, or None if there is none.

    `path` is a search path; None stands for `PATH`, or the system's default without it. Relative
    directories in it are relative to the current one.
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
