"""Artifacts of completed stages are compared by content: by resumes, at the closing and later.

The next stage works on what a stage left: other bytes at the same path are another plan.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.command.resume_cases import PLAN, ran, refused
from tests.support.command import (
    PASSING,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    stages,
    statuses,
)

PLANNING = "echo manager >> trace; echo '[1]' > plan.json"
WHEN_READY = "echo executor >> trace; test -e ready"
KEEP = ("--on-changed-stage", "keep")
RERUN = ("--on-changed-stage", "rerun")


def digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return sha256(text.encode()).hexdigest()


THEN, NOW = digest("[1]\n"), digest("[2]")


def difference(path: Path, then: str = THEN, now: str = NOW) -> str:
    """Return the message about an artifact with other bytes."""
    return f"{path} had the sha256 {then} when its stage completed, and has {now} now"


def half_done(directory: Path, *options: str, executor: str = WHEN_READY) -> Path:
    """Make a run whose manager left a plan and whose executor failed; return the plan."""
    given = (*PASSING, *stages(PLANNING, executor), *PLAN, *options)
    assert orchestrate("out", *given, cwd=directory).code == 1
    return directory / "plan.json"


def explained(directory: Path) -> dict[str, Any]:
    """Return what `explain` says of the run in `out`."""
    found: dict[str, Any] = json.loads(
        orchestrate("explain", "out", "--json", cwd=directory).stdout
    )
    return found


def closing(directory: Path) -> tuple[str | None, bool, int]:
    """Return the outcome of the run in `out`, whether it may be closed, and its exit code."""
    report = report_of(directory / "out")
    return report["terminal_state"], report["closure_ready"], report["exit_code"]


def test_changed_artifact_is_refused_and_kept_only_on_purpose(tmp_path: Path) -> None:
    """A resume names both digests; a kept change bars closing until the artifact is put back."""
    plan = half_done(tmp_path)
    plan.write_text("[2]")
    (tmp_path / "ready").touch()
    said = f"artifacts: {difference(plan)}"
    message = refused("out", "--resume", cwd=tmp_path)
    assert said in message
    assert "--on-changed-stage" in message
    assert said in refused("plan", "out", "--resume", cwd=tmp_path)
    offered = explained(tmp_path)["next_step"]
    assert list(RERUN) == offered["words"][-2:]
    assert any(said in one for one in offered["remedies"])
    wrong = f"expected artifacts are wrong: changed: {difference(plan)}"
    foreseen = orchestrate("plan", "out", "--resume", *KEEP, "--json", cwd=tmp_path).stdout
    assert json.loads(foreseen)["closing_refused"] == wrong

    assert orchestrate("out", "--resume", *KEEP, cwd=tmp_path).code == 1
    assert ran(tmp_path) == ["manager", "executor", "executor"]
    report = report_of(tmp_path / "out")
    assert closing(tmp_path) == ("done", False, 1)
    assert report["stage_executions"][-1]["error"] == wrong
    assert any(said in one for one in report["warnings"])

    for options in ((), KEEP):  # the run stays done, whatever is given
        assert orchestrate("out", "--resume", *options, cwd=tmp_path).code == 1
        assert closing(tmp_path) == ("done", False, 1)
    status = orchestrate("status", "out", cwd=tmp_path).stdout
    assert status.startswith("! done, but not ready to close")
    assert difference(plan) in " ".join(status.split())
    document = json.loads(orchestrate("status", "out", "--json", cwd=tmp_path).stdout)
    assert document["changed_artifacts"] == [difference(plan)]
    assert explained(tmp_path)["standing"] == "not_closable"

    plan.write_text("[1]\n")
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert closing(tmp_path) == ("done", True, 0)


def test_changed_artifact_is_made_again_by_a_rerun(tmp_path: Path) -> None:
    """With `rerun` the stage that left it and all later stages run again, and the run closes."""
    plan = half_done(tmp_path)
    plan.write_text("[2]")
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", *RERUN, cwd=tmp_path).code == 0
    assert ran(tmp_path) == ["manager", "executor", "manager", "executor"]
    assert closing(tmp_path) == ("done", True, 0)


def test_later_stage_that_changes_it_keeps_the_run_from_closing(tmp_path: Path) -> None:
    """This holds in the same invocation too; a resume then refuses the artifact like any change."""
    given = (*PASSING, *stages(PLANNING, "printf '[2]' > plan.json"), *PLAN)
    assert orchestrate("out", *given, cwd=tmp_path).code == 1
    report = report_of(tmp_path / "out")
    plan = tmp_path / "plan.json"
    assert closing(tmp_path) == ("failed", False, 1)
    assert statuses(report)[:2] == [("manager", "success"), ("executor", "success")]
    assert report["transitions"][-1]["cause"] == f"closing refused: changed: {difference(plan)}"
    assert difference(plan) in refused("out", "--resume", cwd=tmp_path)
    assert orchestrate("out", "--resume", *KEEP, cwd=tmp_path).code == 1
    assert closing(tmp_path) == ("done", False, 1)


def test_only_what_was_kept_is_kept(tmp_path: Path) -> None:
    """A decision to keep some bytes does not cover bytes that came later."""
    plan = half_done(tmp_path, executor="test -e ready && printf '[3]' > plan.json")
    plan.write_text("[2]")
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", *KEEP, cwd=tmp_path).code == 1
    assert closing(tmp_path) == ("failed", False, 1)
    error = report_of(tmp_path / "out")["stage_executions"][-1]["error"]
    assert difference(plan, now=digest("[3]")) in error


def test_path_of_two_stages_belongs_to_the_one_that_completed_last(tmp_path: Path) -> None:
    """A path that both stages declare is the manager's until the executor completes."""
    both = ("--executor-expected-artifact", "plan.json")
    writing = "printf '[2]' > plan.json; test -e ready"
    plan = half_done(tmp_path, *both, executor=writing)
    assert difference(plan) in refused("out", "--resume", cwd=tmp_path)
    (tmp_path / "ready").touch()
    foreseen = orchestrate("plan", "out", "--resume", *KEEP, "--json", cwd=tmp_path).stdout
    assert json.loads(foreseen)["closing_refused"] is None
    assert orchestrate("out", "--resume", *KEEP, cwd=tmp_path).code == 0
    assert closing(tmp_path) == ("done", True, 0)
    plan.write_text("[1]\n")  # the manager left this, not the executor
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    assert (
        difference(plan, NOW, THEN) in report_of(tmp_path / "out")["stage_executions"][-1]["error"]
    )


@pytest.mark.parametrize(("stage", "is_refused"), [("manager", False), ("executor", True)])
def test_rerun_by_name_decides_for_its_stages_alone(
    tmp_path: Path, stage: str, *, is_refused: bool
) -> None:
    """A stage that runs again makes its artifact again; those of earlier stages are compared."""
    plan = half_done(tmp_path)
    plan.write_text("[2]")
    (tmp_path / "ready").touch()
    ended = orchestrate("out", "--resume", "--rerun", stage, cwd=tmp_path)
    assert (ended.code, difference(plan) in ended.stderr) == (
        (2, True) if is_refused else (0, False)
    )


def test_evidence_is_asked_about_what_is_there(tmp_path: Path) -> None:
    """A gate behind a stage judges the work by the bytes that exist now."""
    (tmp_path / "run.toml").write_text(
        'lifecycle = "closure_gated"\n[gates]\npolicy = "allow"\nci = "success"\n'
        "[gate.review]\ncommand = ['/bin/sh', '-c',"
        " 'printf %s \"$ORCHESTRATOR_WORK_JSON\" > work; test -e ready']\n"
    )
    given = (*shell("manager", PLANNING), *PLAN, "--config", "run.toml")
    assert orchestrate("out", *given, cwd=tmp_path).code == 3
    (entry,) = json.loads((tmp_path / "work").read_text())
    assert entry["digest"] == {"sha256": THEN}
    (tmp_path / "plan.json").write_text("[2]")
    assert orchestrate("out", "--resume", *KEEP, cwd=tmp_path).code == 3
    (entry,) = json.loads((tmp_path / "work").read_text())
    assert entry["digest"] == {"sha256": NOW}
    (completion,) = checkpoint_of(tmp_path / "out")["completions"]
    assert completion["artifacts"][0]["sha256"] == THEN
