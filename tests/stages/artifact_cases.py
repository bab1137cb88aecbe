"""Give up privileges for a while, where a test needs permissions to be enforced."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Enforce permissions: as root, act as nobody in the block."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
