"""Runs that were invoked thousands of times, made in no time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, StageGiven, resume, run
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.record import moving_out, side_file
from fsm_orchestrator.record.earlier import MovedInvocation
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import CHECKPOINT, EVENTS, INVOCATIONS, read_json

PASSED = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}


def failed_often(output: Path) -> None:
    """Make a run that failed each time, and of which the first invocations have moved."""
    stages = {"executor": StageGiven(bin="/bin/false")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving_out, "KEPT_MAX", 4)
        patch.setattr(moving_out, "KEPT_MIN", 2)
        run(RunConfig(output_directory=output, gates=PASSED, stages=stages))
        for _ in range(4):
            resume(RunConfig(output_directory=output))


def with_history(original: Path, output: Path, number: int) -> None:
    """Make a run that is the original, but has so many more lines of old invocations and events.

    What is in a line that is not the last is never looked at: these are all the first one's.
    """
    shutil.copytree(original, output)
    lines = (output / INVOCATIONS).read_bytes().splitlines()
    first, last = (MovedInvocation.model_validate_json(lines[one]) for one in (0, -1))
    (output / INVOCATIONS).unlink()
    home = OutputLock.acquire(output)
    try:
        mark = side_file.append(home, None, [*[first] * number, last])
    finally:
        home.release()
    events = (output / EVENTS).read_bytes()
    before = events.splitlines(keepends=True)[0] * (10 * number)
    (output / EVENTS).write_bytes(before + events)
    document = read_json(output / CHECKPOINT)
    document["earlier"]["file"] = mark.model_dump(mode="json")
    document["events"]["size_bytes"] += len(before)
    here = output.stat()
    at = {"directory": str(output), "device": here.st_dev, "inode": here.st_ino}
    document["home"] |= at
    (output / CHECKPOINT).write_text(json.dumps(document, separators=(",", ":")))
