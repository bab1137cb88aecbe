"""Runs in epochs: a worker that claims one and runs in it, and the content of an epoch."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator import Report, RunConfig, StageGiven, claim_epoch, resume, run
from fsm_orchestrator.disk.where import record_of
from tests.support.patience import PATIENCE_SECONDS

PASSING: Final = {"policy": "allow", "ci": "success", "review": "approved"}
_WORKER: Final = """
import sys
from fsm_orchestrator import FencedError, RunConfig, claim_epoch, run
config, number, attempt = RunConfig.model_validate_json(sys.argv[1]), *map(int, sys.argv[2:])
try:
    epoch = claim_epoch(config.output_directory, number, attempt)
    print("claimed", epoch.name, flush=True)
    report = run(config, epoch=epoch)
    print("ended", report.terminal_state, report.exit_code, report.closure_ready, flush=True)
except FencedError as error:
    print("fenced", flush=True)
"""


def shell(script: str, **given: Any) -> StageGiven:
    """Return a stage that runs a script of the shell."""
    return StageGiven(bin="/bin/sh", args=("-c", textwrap.dedent(script)), **given)


def asked(run_directory: Path, **given: Any) -> RunConfig:
    """Return a request for a run whose gates pass."""
    return RunConfig(output_directory=str(run_directory), gates=PASSING, **given)


def begun(run_directory: Path, stages: Mapping[str, StageGiven], **given: Any) -> Report:
    """Begin a run in its first epoch."""
    config = asked(run_directory, stages=stages, **given)
    return run(config, epoch=claim_epoch(run_directory, 1, 1))


def continued(run_directory: Path, number: int, attempt: int = 1, **given: Any) -> Report:
    """Claim the next epoch, and resume the run in it."""
    config = RunConfig(output_directory=str(run_directory), **given)
    return resume(config, epoch=claim_epoch(run_directory, number, attempt))


def worker(config: RunConfig, number: int, attempt: int, **env: str) -> subprocess.Popen[str]:
    """Start a process that claims an epoch, reports that on standard output, and runs in it."""
    given = config.model_dump_json()
    words = [sys.executable, "-c", _WORKER, given, str(number), str(attempt)]
    return subprocess.Popen(
        words, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextlib.contextmanager
def taken_over(run_directory: Path) -> Iterator[Callable[[], None]]:
    """Put a worker at a stage that prints its attempt; yield what makes another one take over.

    At the end of the block the stage ends, and the run is done.
    """
    end = run_directory.with_name(f"{run_directory.name}.end")
    words = f'echo "attempt $ORCHESTRATOR_ATTEMPT"; until test -e {end}; do sleep 0.05; done'
    stages = {"manager": shell(words, timeout_ms=600_000), "executor": shell("true")}
    first = worker(asked(run_directory, stages=stages), 1, 1)
    workers = [first]
    try:
        yield lambda: workers.append(worker(asked(run_directory, resume=True), 2, 1))
    finally:
        end.touch()
        for one in workers:
            one.communicate(timeout=PATIENCE_SECONDS)


def contents(directory: Path) -> dict[str, tuple[int, str]]:
    """Return the size and digest of every file below a directory, by its name."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def latest(run_directory: Path) -> Path:
    """Return where the run's record is."""
    record = record_of(run_directory)
    assert record != run_directory
    return record
