"""One fleet at a time in a directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.fleet.written_configs import CONFIG_DIRECTORY
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import ExitCode


class FleetBusyError(OrchestratorError):
    """Another fleet is at work in the directory; nothing was touched."""

    exit_code = ExitCode.BUSY


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Make a directory, and keep other fleets out of it."""
    try:
        files.make_directory(directory)
        files.make_directory(directory / CONFIG_DIRECTORY, mode=0o700)
        descriptor = files.open_directory(directory / CONFIG_DIRECTORY)
    except OSError as error:
        raise UsageError(
            f"the directory {copyable(directory)} cannot be made: {files.reason(error)}",
            remedy="name another one with --dir",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise FleetBusyError(
            f"another fleet is at work in {copyable(directory)}",
            remedy="wait until it has ended, or name another directory with --dir",
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)
