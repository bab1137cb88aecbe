"""Runs that were invoked thousands of times, made quickly."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, StageGiven, resume, run
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.processes.table import boot
from fsm_orchestrator.record import moving_out, side_file
from fsm_orchestrator.record.earlier import MovedInvocation
from fsm_orchestrator.record.left_file import Left, LeftFile
from fsm_orchestrator.record.own_lines import untouched
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import CHECKPOINT, EVENTS, INVOCATIONS, REPORT, read_json

PASSED = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}


def failed_often(output: Path) -> None:
    """Make a run that failed each time, and whose first invocations have moved."""
    stages = {"executor": StageGiven(bin="/bin/false")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving_out, "KEPT_MAX", 4)
        patch.setattr(moving_out, "KEPT_MIN", 2)
        run(RunConfig(output_directory=output, gates=PASSED, stages=stages))
        for _ in range(4):
            resume(RunConfig(output_directory=output))


def with_history(original: Path, output: Path, number: int) -> None:
    """Copy the original run with so many more lines of old invocations and events.

    The content of a line that is not the last is never read: these all repeat the first one.
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


def left_so(output: Path, state: Path) -> None:
    """Make the private state in a directory know the run in its current form, as ended."""
    record = read_json(output / CHECKPOINT)
    with (output / EVENTS).open("rb") as events, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(state))
        first = Left(record["run_id"], boot() or "", str(output.stat().st_ino))
        while not untouched(events.fileno()):  # for a tick of the clock of the files
            time.sleep(0.001)
        with contextlib.closing(LeftFile(output, first)) as file:
            file.note(
                seq=record["last_event_seq"],
                head=record["last_event_sha256"],
                durable_seq=record["last_event_seq"],
                checkpoint=sha256_of((output / CHECKPOINT).read_bytes()),
                report=sha256_of((output / REPORT).read_bytes()),
                is_sealed=True,
                events=untouched(events.fileno()),
            )
