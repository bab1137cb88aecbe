"""A run at work, to be inspected and ended from outside."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.command import (
    PASSING,
    start,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until


@contextmanager
def working(cwd: Path, *options: str, stage: str = "manager") -> Iterator[subprocess.Popen[str]]:
    """Start a run in `out`, and yield it once its stage has printed something."""
    process = start("out", *PASSING, *options, cwd=cwd)
    log = cwd / "out" / "logs" / f"{stage}.1.stdout.log"
    try:
        wait_until(lambda: log.exists() and log.stat().st_size > 0, f"{log} is empty")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
