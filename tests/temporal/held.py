"""A worker with its own queue, and the commands as people type them."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.command import Ended, orchestrate
from tests.support.temporal_workers import Worker, at_work

TRUE = ("--manager-bin", "true", "--executor-bin", "true")
ALL_BUT_REVIEW = ("--policy-status", "allow", "--ci-status", "success")
SHORT = ("--heartbeat-timeout", "3s")


@dataclass(frozen=True)
class Site:
    """A folder on storage that a worker and these commands share, and its own queue."""

    folder: Path
    address: str
    queue: str
    first: Worker | None = None
    """The worker in it."""

    def typed(self, *words: str | Path, **env: str) -> Ended:
        """Type a `temporal` command for this server."""
        there = {"TEMPORAL_ADDRESS": self.address, **env}
        return orchestrate("temporal", *words, cwd=self.folder, env=there)

    def submit(self, *words: str | Path) -> Ended:
        """Submit a run to the queue."""
        return self.typed("submit", *words, "--task-queue", self.queue, *SHORT)

    def submitted(self, *words: str | Path) -> Ended:
        """Submit a run, and wait for its end."""
        done = self.submit(*words, "--wait", "3m")
        assert done.stderr == "", done
        return done

    def stand(self, run_id: str) -> dict[str, Any]:
        """Return a run's entry in `temporal list`."""
        runs = json.loads(self.typed("list", "--json").stdout)["runs"]
        [found] = [one for one in runs if one["run_id"] == run_id]
        return dict(found)

    def run_id(self, name: str) -> str:
        """Return the id of the run that was submitted in a directory."""
        import tomllib  # noqa: PLC0415 - as the workers read it

        request = (self.folder / name / "orchestrator_request.toml").read_text()
        return str(tomllib.loads(request)["run_id"])

    def worker(self, name: str, *options: str, **env: str) -> Worker:
        """Return a worker that shares the folder's private state."""
        state = {"XDG_STATE_HOME": str(self.folder / "state"), **env}
        return Worker(self.folder / name, self.address, self.queue, *options, env=state)


@contextlib.contextmanager
def site(folder: Path, address: str, *options: str, **env: str) -> Iterator[Site]:
    """Run a worker in a folder until the end of the block."""
    made = Site(folder, address, f"queue-{uuid.uuid4().hex[:8]}")
    worker = made.worker("worker", *options, **env)
    with at_work(worker):
        yield replace(made, first=worker)
