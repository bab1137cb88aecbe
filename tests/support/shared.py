"""Directories made once in a session of several workers, which only read them."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def made_once(base: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Return a directory that `make` has filled, in the worker that came first.

    `base`: the directory of this worker's temporary directories. The other workers wait. The
    content must not be changed: copy it first. What `make` raises is raised, and the next worker
    makes it again.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # a worker's directory is below the shared one
        base = base.parent
    place, is_made = base / f"shared-{name}", base / f"shared-{name}.made"
    with (base / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_made.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            make(place)
            is_made.touch()
    return place
