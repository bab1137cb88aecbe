"""Stages side by side with other features: verifications, reruns, no keeper."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, resume, run
from fsm_orchestrator.processes import runner
from tests.engine.test_groups import CHECKS, MEETS, alive_in, config, ends, once_recorded, sh


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a run's private state below the test's directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_what_each_did_is_verified_while_the_others_work(tmp_path: Path) -> None:
    """A failed verification ends the others, and interrupts verifications that are running."""
    waits = once_recorded('"event": "verification.started".*"stage": "lint"', "events.jsonl")
    words = {"lint": "exit 0", "unit_tests": "sleep 60", "scan": "exit 0"}
    report = run(
        config(
            tmp_path,
            words,
            lint={"verify": (("sleep", "60"),)},
            scan={"verify": (("/bin/sh", "-c", f"{waits}; exit 9"),)},
        )
    )
    assert {one: ends(report)[one] for one in CHECKS} == {
        "lint": ("interrupted", "sibling_failed"),
        "unit_tests": ("interrupted", "sibling_failed"),
        "scan": ("failed", "verification_failed"),
    }
    lint = next(one for one in report.stage_executions if one.stage == "lint")
    assert lint.error is not None
    assert lint.error.startswith("interrupted: scan, which ran alongside it, did not succeed")
    assert report.terminal_state == "failed"
    assert not alive_in(tmp_path)


def test_rerun_of_one_leaves_those_beside_it_complete(tmp_path: Path) -> None:
    """A rerun of one stage leaves the others of its group complete."""
    patient = dict.fromkeys(CHECKS, "echo $0 >>ran")
    run(config(tmp_path, {**patient, "scan": "sleep 0.3; exit 1"}))
    fixed = {"scan": sh(tmp_path, "scan", "echo $0 >>ran")}
    report = resume(RunConfig(output_directory=tmp_path / "out", stages=fixed, rerun=("lint",)))
    assert report.exit_code == 0
    assert ends(report)["unit_tests"] == ("skipped", None)
    assert sorted((tmp_path / "ran").read_text().split()) == ["lint", "lint", "scan", "unit_tests"]


def test_group_without_keepers_runs_and_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without keepers each stage has its own session, and all of them are ended."""
    monkeypatch.setattr(runner, "start_keeper", lambda: "none is to be had today")
    words = {"lint": f"{MEETS}; sleep 60", "unit_tests": f"{MEETS}; sleep 60", "scan": MEETS}
    report = run(config(tmp_path, {**words, "scan": f"{MEETS}; exit 1"}))
    assert ends(report)["lint"] == ("interrupted", "sibling_failed")
    assert report.containment == "process_group"
    assert not alive_in(tmp_path)
