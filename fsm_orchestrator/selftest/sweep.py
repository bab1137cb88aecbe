"""Kills runs of harmless stages at moments spread over their length, and resumes them.

It is the operator's version of the sweep that the tests do in finer steps.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from fsm_orchestrator.api import load_report
from fsm_orchestrator.constants import CHECKPOINT_FILE, EVENTS_FILE
from fsm_orchestrator.errors import CheckpointError, OrchestratorError
from fsm_orchestrator.processes import leftovers
from fsm_orchestrator.record import checkpoint_reader

STAGES: Final = ("manager", "executor")
PYTHON: Final = (sys.executable, "-I", "-X", "utf8")
"""The Python command, isolated like the program's own: no variable or stray file affects it."""
RUN_SECONDS_MAX: Final = 60.0
GONE_SECONDS_MAX: Final = 1.0
_SCRIPT: Final = "echo {stage} began >>{notes}; sleep 0.02; echo {stage} ended >>{notes}"
_PASSING: Final = ("--policy-status", "allow", "--ci-status", "success", "--review-status")


class SweepError(Exception):
    """A broken promise; the message says which, and when the run was killed."""


def sweep(directory: Path, kills: int) -> str:
    """Kill `kills` runs, resume each, and check the promises; return a sentence about it.

    Raises:
        SweepError: a promise was broken.
        OSError: the program could not be started.
    """
    lead, length = _undisturbed(directory / "undisturbed")
    killed = 0
    for number in range(1, kills):
        killed += _one(directory / f"killed-{number}", lead + length * number / kills)
    killed += _one(directory / f"killed-{kills}", None)
    return f"{killed} of {kills} runs killed at work and resumed: nothing lost, nothing repeated"


def _undisturbed(output: Path) -> tuple[float, float]:
    """Measure how long a run takes to begin, and then to end, in seconds."""
    began = time.monotonic()
    code = _started(output).wait(RUN_SECONDS_MAX)
    seconds = time.monotonic() - began
    if code != 0:
        raise SweepError(f"an undisturbed run of two harmless stages exited with {code}")
    report = load_report(output)
    started, finished = (
        datetime.fromisoformat(at or "") for at in (report.started_at, report.finished_at)
    )
    length = min((finished - started).total_seconds(), seconds)
    return seconds - length, length


def _one(output: Path, after_seconds: float | None) -> bool:
    """Kill a run and resume it; return False if it had ended before the kill.

    Args:
        output: the run's directory.
        after_seconds: when to kill it; None for as soon as the success of a stage is on disk, a
            moment that no time span is sure to hit.
    """
    where = "after a kill between two stages"
    process = _started(output)
    if after_seconds is None:
        _wait_for_completion(process, output, where)
    else:
        where = f"after a kill at {after_seconds:.3f} s"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_seconds)
    process.kill()
    was_killed = process.wait(RUN_SECONDS_MAX) == -signal.SIGKILL
    _assert_nothing_alive(output, where)
    complete = _complete(output, where)
    before = _ended(output)
    arguments = ("--resume",) if (output / CHECKPOINT_FILE).exists() else None
    code = _started(output, arguments).wait(RUN_SECONDS_MAX)
    if code != 0:
        raise SweepError(f"{where}, the resume exited with {code}")
    after = _ended(output)
    for stage in STAGES:
        if stage in complete and after.count(stage) != before.count(stage):
            raise SweepError(f"{where}, stage {stage} was complete and ran again")
        if stage not in after:
            raise SweepError(f"{where}, stage {stage} was passed over")
    try:
        report = load_report(output)
    except OrchestratorError as error:
        raise SweepError(f"{where}: {error}") from error
    if not report.closure_ready:
        raise SweepError(f"{where}, the report of the resumed run does not close it")
    return was_killed


def _assert_nothing_alive(output: Path, where: str) -> None:
    try:
        attempts = checkpoint_reader.load(output).open_attempts
    except CheckpointError:
        return
    deadline = time.monotonic() + GONE_SECONDS_MAX
    while any(leftovers.live_processes(one) for one in attempts):
        if time.monotonic() >= deadline:
            raise SweepError(f"{where}, processes of the stage were alive a second later")
        time.sleep(0.02)


def _wait_for_completion(process: subprocess.Popen[bytes], output: Path, where: str) -> None:
    give_up_at = time.monotonic() + RUN_SECONDS_MAX
    while process.poll() is None and not _complete(output, where):
        if time.monotonic() >= give_up_at:
            process.kill()
            raise SweepError(f"no stage was complete within {RUN_SECONDS_MAX:.0f} s")
        time.sleep(0.002)


def _complete(output: Path, where: str) -> set[str]:
    """Return the stages whose success is on disk."""
    if not (output / CHECKPOINT_FILE).exists():
        if (output / EVENTS_FILE).exists() and _ended(output):
            raise SweepError(f"{where}, stages had run, but there is no checkpoint")
        return set()
    try:
        return {one.stage for one in checkpoint_reader.load(output).completions}
    except CheckpointError as error:
        raise SweepError(f"{where}: {error}") from error


def _ended(output: Path) -> list[str]:
    """Return the stages that ended, in order."""
    notes = output.with_suffix(".notes")
    if not notes.exists():
        return []
    lines = (line.split() for line in notes.read_text().splitlines())
    return [words[0] for words in lines if words[1:] == ["ended"]]


def _started(output: Path, arguments: tuple[str, ...] | None = None) -> subprocess.Popen[bytes]:
    """Start the program: on a new run, or with other arguments."""
    if arguments is None:
        arguments = (*_PASSING, "approved")
        for stage in STAGES:
            script = _SCRIPT.format(stage=stage, notes=output.with_suffix(".notes").name)
            options = ("--{0}-bin", "/bin/sh", "--{0}-arg", "-c", "--{0}-arg", script)
            arguments += tuple(option.format(stage) for option in options)
    return subprocess.Popen(
        [*PYTHON, str(Path(__file__).parents[1] / "__main__.py"), str(output), *arguments],
        cwd=output.parent,
        env={**os.environ, "XDG_STATE_HOME": str(output.parent / "state")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
