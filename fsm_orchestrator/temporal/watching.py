"""The activity of a worker: in its log as it happens, in its health file every few seconds."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.constants import PRODUCT, SCHEMA_VERSION, __version__
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text

HEALTH_SECONDS: Final = 5.0


class WorkerEvent(StrEnum):
    """The events of a worker."""

    STARTED = "worker.started"
    CONNECTED = "server.connected"
    LOST = "server.lost"
    DRAINING = "worker.draining"
    ENDED = "worker.ended"
    RUN_TAKEN = "run.taken"
    RUN_ENDED = "run.ended"
    RUN_REFUSED = "run.refused"
    HEALTH_FAILED = "health.failed"
    BUG = "worker.bug"


Say = Callable[[Mapping[str, Any]], None]
"""A callback that takes an event as JSON data; called in any thread."""


class Watch:
    """The activity of a worker."""

    def __init__(self, say: Say, health_file: Path | None, about: Mapping[str, str]) -> None:
        self._say = say
        self._health_file = health_file
        self._about = dict(about)
        self._since = timestamp(SystemClock().now())
        self._guard = threading.Lock()
        self._runs: dict[tuple[str, str], str] = {}
        self._acknowledged_at: str | None = None
        self._problem: str | None = "not connected yet"
        self._is_health_lost = False

    def say(self, event: WorkerEvent, **fields: object) -> None:
        """Log an event; fields that are None are left out."""
        told = {key: value for key, value in fields.items() if value is not None}
        self._say({"at": timestamp(SystemClock().now()), "event": event.value, **told})

    @contextlib.contextmanager
    def working(self, run_id: str, epoch: str) -> Iterator[None]:
        """Count a run among those at work."""
        with self._guard:
            self._runs[run_id, epoch] = timestamp(SystemClock().now())
        self.say(WorkerEvent.RUN_TAKEN, run_id=run_id, epoch=epoch)
        try:
            yield
        finally:
            with self._guard:
                del self._runs[run_id, epoch]

    def heard(self, problem: str | None) -> None:
        """Note that the server has answered, or why it has not; log when that changes."""
        before, self._problem = self._problem, problem
        if problem is None:
            self._acknowledged_at = timestamp(SystemClock().now())
            if before is not None:
                self.say(WorkerEvent.CONNECTED, **self._about)
        elif before is None:
            self.say(WorkerEvent.LOST, error=problem, **self._about)

    @property
    def count(self) -> int:
        """The number of runs at work."""
        return len(self._runs)

    def document(self) -> dict[str, Any]:
        """Return the content of the health file."""
        with self._guard:
            runs = [
                {"run_id": run_id, "epoch": epoch, "since": since}
                for (run_id, epoch), since in self._runs.items()
            ]
        return {
            "schema_version": SCHEMA_VERSION,
            "product": PRODUCT,
            "version": __version__,
            **self._about,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "since": self._since,
            "at": timestamp(SystemClock().now()),
            "is_connected": self._problem is None,
            "problem": self._problem,
            "acknowledged_at": self._acknowledged_at,
            "runs": runs,
        }

    def begin_health(self) -> None:
        """Write the health file for the first time.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            self._replace_health()
        except OSError as error:
            raise UsageError(
                f"cannot write the health file {copyable(str(self._health_file))}:"
                f" {files.reason(error)}",
                remedy="name a file in a directory that can be written: --health-file FILE",
            ) from error

    def write_health(self) -> None:
        """Replace the health file. A failure is logged once, and ends nothing."""
        try:
            self._replace_health()
        except OSError as error:
            if not self._is_health_lost:
                path, why = str(self._health_file), files.reason(error)
                self.say(WorkerEvent.HEALTH_FAILED, path=path, error=why)
            self._is_health_lost = True
        else:
            self._is_health_lost = False

    def _replace_health(self) -> None:
        if self._health_file is not None:
            data = json_text(self.document()).encode() + b"\n"
            files.replace_file(self._health_file, data, mode=0o600)

    def remove_health(self) -> None:
        """Remove the health file: the worker is no longer at work."""
        if self._health_file is not None:
            with contextlib.suppress(OSError):
                self._health_file.unlink()
