"""A stage that needs other machines runs on their task queue, and the run follows it."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

from tests.support.command import PASSING, orchestrate, shell
from tests.support.temporal_workers import Worker, at_work


def test_run_goes_to_the_queue_of_a_stage_and_back(tmp_path: Path, temporal_address: str) -> None:
    """Each stage runs once, on a worker of its queue; the third one is back on the run's queue."""
    general, gpu = (f"{name}-{uuid4().hex[:12]}" for name in ("general", "gpu"))
    key = tmp_path / "key"
    key.write_bytes(b"a key that both workers have, of 32")
    key.chmod(0o600)
    shared = ("--state-key-file", str(key))
    workers = [
        Worker(tmp_path / queue, temporal_address, queue, *shared, env={"WORKER": queue})
        for queue in (general, gpu)
    ]
    words = [
        word
        for stage in ("manager", "executor", "reviewer")
        for word in (
            *shell(stage, f"echo {stage} $WORKER >> where"),
            *(f"--{stage}-cwd", str(tmp_path)),
        )
    ]
    with at_work(*workers):
        submitted = orchestrate(
            *("temporal", "submit", "./out", "--address", temporal_address, *PASSING, *words),
            *("--lifecycle", "reviewed_run", "--task-queue", general),
            *("--executor-task-queue", gpu, "--wait", "120s", "--json"),
            cwd=tmp_path,
        )
        assert submitted.code == 0, submitted.stderr
    ended = json.loads(submitted.stdout)
    assert ended["stand"]["result"]["standing"] == "done"
    assert ended["stand"]["number"] == 3
    assert ended["stand"]["task_queue"] == general
    assert (tmp_path / "where").read_text().splitlines() == [
        f"manager {general}",
        f"executor {gpu}",
        f"reviewer {general}",
    ]
