"""A request to end while protected paths are compared, before or after a stage."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import RunConfig, StageGiven, resume, run
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.stages import guarding, protected

GATES = {"policy": "allow", "ci": "success", "review": "approved"}


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Yield requests that a test delivers itself."""
    interrupts = Interrupts()
    yield interrupts
    interrupts.close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_request_while_paths_are_compared_leaves_the_stage_to_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: Interrupts, moment: str
) -> None:
    """The stage is interrupted without a comparison; a resume compares with the original state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "a").write_text("1")
    script = f"echo {moment} >> {tmp_path}/ran; test -e {tmp_path}/ok || echo 2 > {tests}/a"
    stage = StageGiven(bin="/bin/sh", args=("-c", script), protect=(str(tests),))
    given = RunConfig(output_directory=tmp_path / "out", gates=GATES, stages={"executor": stage})
    again_given = RunConfig(output_directory=tmp_path / "out")
    holder: Any = guarding if moment == "before" else protected.Baseline
    name = "baseline_of" if moment == "before" else "changes_since"
    real = getattr(holder, name)

    def first(*args: Any) -> Any:
        interrupts.deliver(signal.SIGTERM)
        return real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(holder, name, first)
        report = run(given, interrupts=interrupts)
    assert report.exit_code == 143
    assert (tmp_path / "ran").exists() is (moment == "after")
    if moment == "before":
        assert report.stage_executions == ()
    else:
        (execution,) = report.stage_executions
        assert execution.status.value == "interrupted"
        assert execution.protection is not None
        assert not execution.protection.is_compared
        again = resume(again_given).stage_executions[-1]
        assert again.error is not None
        assert "since before attempt 1" in again.error
        (tests / "a").write_text("1")
    (tmp_path / "ok").touch()
    assert resume(again_given).terminal_state == "done"
