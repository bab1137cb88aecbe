"""Make once, in a session of several workers, what all of them only look at."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def made_once(base: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Return a directory that `make` has filled, in the worker that came first.

    `base`: where this worker has its temporary directories. The others wait meanwhile. Nobody may
    change what is in it: copy it first. What `make` raises is raised, and the next worker makes it
    anew.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # which works below what is everybody's
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
