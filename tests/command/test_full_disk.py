"""A disk that is really full: messages about the run come from its record, and are true."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import COMMAND, PASSING, environment, stages

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="needs root and unshare(1) to mount",
)
FILL = "test -e filled || { touch filled; cat /dev/zero > out/filling 2>/dev/null; }; exit 0"
"""Fills the disk once; a full disk is no failure of the stage."""
SCRIPT = """
mount -t tmpfs -o size="$1" none out || exit 99
shift
"$@" > ended.stdout 2> ended.stderr; echo $? > ended.code
cp -r out at_the_end
{explain} > explained.json
rm -f out/filling
{resume} > resumed.json; echo $? > resumed.code
cp -r out after
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """A run whose disk was full, the explanation of it, and its resume with space again."""

    code: int
    report: Mapping[str, Any]
    checkpoint: Mapping[str, Any]
    events: list[dict[str, Any]]
    explained: Mapping[str, Any]
    resumed_code: int
    resumed: Mapping[str, Any]


def filled(cwd: Path, size: str, *options: str) -> Filled:
    """Run with OUT on a file system of this size, then explain and resume the run."""
    (cwd / "out").mkdir()
    command = " ".join(COMMAND)
    script = SCRIPT.format(
        explain=f"{command} explain out --json", resume=f"{command} out --resume --json"
    )
    subprocess.run(
        [*("unshare", "-m"), "/bin/sh", "-c", script, "sh", size, *COMMAND, "out", *options],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state")),
        check=False,
    )
    if not (cwd / "ended.code").exists():
        pytest.skip("no file system can be mounted here")
    there = cwd / "at_the_end"
    lines = (there / "orchestrator_events.jsonl").read_text().splitlines()
    return Filled(
        int((cwd / "ended.code").read_text()),
        json.loads((there / "orchestrator_run_report.json").read_text()),
        json.loads((there / "orchestrator_checkpoint.json").read_text()),
        [json.loads(line) for line in lines],
        json.loads((cwd / "explained.json").read_text()),
        int((cwd / "resumed.code").read_text()),
        json.loads((cwd / "resumed.json").read_text()),
    )


@pytest.mark.parametrize("size", ["1m", "4m"])
def test_full_disk_is_what_the_record_says(size: str, tmp_path: Path) -> None:
    """Failure, path and cause are in checkpoint, report and events; a resume continues the run."""
    found = filled(tmp_path, size, *PASSING, *stages(FILL))
    assert found.code == 1
    assert found.report["terminal_state"] == "failed"
    failure = found.report["stage_executions"][-1]
    assert "no space left on device" in failure["error"]
    assert found.checkpoint["current_state"] == "failed"
    assert found.checkpoint["open_attempts"] == []
    assert found.checkpoint["invocations"][-1]["exit_code"] == 1
    names = [event["event"] for event in found.events]
    assert names[-1] == "run.ended"
    assert "recording.failed" in names
    assert [event["seq"] for event in found.events] == list(range(1, len(names) + 1))
    assert "the machine went down" not in json.dumps(found.explained)
    assert found.explained["standing"] == "failed"
    assert (found.resumed_code, found.resumed["terminal_state"]) == (0, "done")
    assert found.resumed["warnings"] == []


def test_disk_that_was_full_before_leaves_no_false_record(tmp_path: Path) -> None:
    """With no space even to begin, nothing runs, and no record says that a run began."""
    (tmp_path / "ran").mkdir()
    script = """
mount -t tmpfs -o size=64k none out || exit 99
cat /dev/zero > out/filling 2>/dev/null
"$@"; echo $? > ended.code
ls out > listed
"""
    (tmp_path / "out").mkdir()
    subprocess.run(
        [
            *("unshare", "-m", "/bin/sh", "-c", script, "sh"),
            *(*COMMAND, "out", *PASSING, *stages("touch ran/manager")),
        ],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        check=False,
        capture_output=True,
    )
    if not (tmp_path / "ended.code").exists():
        pytest.skip("no file system can be mounted here")
    assert (tmp_path / "ended.code").read_text() == "1\n"
    assert not list((tmp_path / "ran").iterdir())
    assert "orchestrator_checkpoint.json" not in (tmp_path / "listed").read_text()
