"""Files of every version of the formats can be read forever.

The files in golden/version_1 were written by the program and are never written again: a change that
cannot read them, or reads them otherwise, is a new version (docs/durability.md).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fsm_orchestrator import load_report
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.record_check import record_digest
from tests.support.command import CHECKPOINT, REPORT, orchestrate, report_of
from tests.support.schema_checks import assert_output_valid

VERSION_1 = Path(__file__).parents[1] / "golden" / "version_1"
RUNS = sorted(path.name for path in VERSION_1.iterdir())
RESUMED = {
    "blocked": 3,
    "done": 0,
    "failed": 0,
    "killed": -9,
    "not_spawned": 1,
    "retried": 0,
    "reviewed": 0,
    "timeout": 124,
}
"""The exit code of a resume of each, on any machine: a killed one kills again."""


def test_every_ending_is_there() -> None:
    """The tests below use every run of the folder."""
    assert set(RUNS) == set(RESUMED)


@pytest.mark.parametrize("run", RUNS)
def test_files_load_and_say_the_same(run: str) -> None:
    """Checkpoint and report load, and would be written again unchanged."""
    data = (VERSION_1 / run / CHECKPOINT).read_bytes()
    checkpoint, written = checkpoint_reader.parse(data, run), json.loads(data)
    assert json.loads(checkpoint.model_dump_json()) == written
    report = load_report(VERSION_1 / run)
    assert report.to_json() == (VERSION_1 / run / REPORT).read_bytes()


@pytest.mark.parametrize("run", RUNS)
def test_files_are_as_published(run: str) -> None:
    """Report, checkpoint, events and post-mortems fit the published schemas."""
    assert_output_valid(VERSION_1 / run)


@pytest.mark.parametrize("run", RUNS)
def test_runs_are_resumed(run: str, tmp_path: Path) -> None:
    """A run of an older program is continued, and its record is kept."""
    output = tmp_path / "out"
    shutil.copytree(VERSION_1 / run, output)
    earlier = json.loads((VERSION_1 / run / CHECKPOINT).read_bytes())["invocations"]
    adopt = ("--adopt", "--accept-record", record_digest(output))
    options = ("--executor-env", "MODE=open-sesame-4711") if run == "done" else ()
    keep = ("--on-changed-stage", "keep") if run == "done" else ()
    ended = orchestrate("out", "--resume", *adopt, *options, *keep, cwd=tmp_path)
    assert ended.code == RESUMED[run], ended.stderr
    report = report_of(output)
    assert report["run_id"] == run
    assert len(report["earlier_invocations"]) == len(earlier)
