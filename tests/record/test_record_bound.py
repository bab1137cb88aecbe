"""A record that would be larger than its reader takes is not written: the run says so and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, StageGiven, load_report, resume, run
from fsm_orchestrator.disk import peek
from fsm_orchestrator.record import checkpoint_reader, recorder
from fsm_orchestrator.vocabulary import Gate, Outcome
from tests.support.command import CHECKPOINT, REPORT

PASSED = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
SMALL = 60_000


def test_run_ends_before_its_record_is_too_large_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is read still, by a reader of that bound, and tells what happened."""
    monkeypatch.setattr(recorder, "BYTES_MAX", SMALL)
    stage = StageGiven(bin="/bin/sh", args=("-c", "echo $$ >&2; exit 1"))
    run(RunConfig(output_directory=tmp_path, gates=PASSED, stages={"manager": stage}))
    for _ in range(40):
        report = resume(RunConfig(output_directory=tmp_path))
        own = [one for one in report.stage_executions if one.attempt == 0]
        if own:
            break
    else:
        pytest.fail("the record has no bound")
    assert report.terminal_state is Outcome.FAILED
    assert "no reader takes more than" in (own[0].error or "")
    monkeypatch.setattr(peek, "RECORD_BYTES_MAX", SMALL + 1024 * 1024)
    assert (tmp_path / CHECKPOINT).stat().st_size <= SMALL + 1024 * 1024
    assert (tmp_path / REPORT).stat().st_size <= SMALL + 1024 * 1024
    assert checkpoint_reader.load(tmp_path).run_id == report.run_id
    told = load_report(tmp_path)
    assert told.terminal_state is Outcome.FAILED
    assert "earlier invocations are left out here" in " ".join(told.warnings)
