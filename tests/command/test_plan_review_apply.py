"""A plan, its review, and the application of the same plan: the built-in lifecycle at work.

The rule of one invocation also holds over resumes, retries and rework: nothing with effects is
started on a plan that nobody has reviewed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command.resume_cases import PLAN, ran
from tests.support.command import orchestrate, report_of, shell
from tests.support.lifecycle_cases import edge

CHECKED = ("--policy-status", "allow", "--ci-status", "success")
APPROVED = ("--review-status", "approved")
PLANNING = "echo manager >> trace; cat wanted > plan.json"
APPLYING = "echo executor >> trace; cat plan.json >> applied; exit $(cat code)"
BLOCKED = 3


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a directory in which the manager plans `[1]`, and the executor succeeds."""
    (tmp_path / "wanted").write_text("[1]")
    (tmp_path / "code").write_text("0")
    return tmp_path


def planned(place: Path, *options: str, lifecycle: str = "plan_review_apply") -> None:
    """Make a run whose manager has planned, and which waits for a person."""
    words = ("--lifecycle", lifecycle, *CHECKED, *shell("manager", PLANNING), *PLAN)
    given = (*words, *shell("executor", APPLYING), *options)
    ended = orchestrate("./out", *given, cwd=place)
    assert ended.code == BLOCKED, ended
    assert ran(place) == ["manager"]
    assert report_of(place / "out")["transitions"][-1]["source"] == "approving"


def resumed(place: Path, *options: str) -> int:
    """Resume the run and return its exit code."""
    return orchestrate("./out", "--resume", *options, cwd=place).code


def test_plan_that_was_looked_at_is_applied(place: Path) -> None:
    """The run waits after its plan; the approval lets the executor apply it, once."""
    planned(place)
    assert resumed(place) == BLOCKED
    assert resumed(place, *APPROVED) == 0
    assert ran(place) == ["manager", "executor"]
    assert (place / "applied").read_text() == "[1]"
    assert report_of(place / "out")["closure_ready"] is True


def test_approval_before_there_is_a_plan_is_none(place: Path) -> None:
    """An approval on the first command line refers to no plan."""
    planned(place, *APPROVED)
    decision = report_of(place / "out")["gate_decisions"][-1]
    assert (decision["gate"], decision["evidence"]["problem"]) == ("review", "too_old")


def test_other_plan_is_not_applied(place: Path) -> None:
    """A plan that changes after its review is noticed before the executor starts."""
    planned(place)
    (place / "plan.json").write_text("[2]")
    assert resumed(place, *APPROVED) == 2
    assert ran(place) == ["manager"]
    assert resumed(place, *APPROVED, "--on-changed-stage", "keep") == 1
    assert (place / "applied").read_text() == "[2]"
    report = report_of(place / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("done", False)


def test_plan_that_changes_while_it_is_looked_at_is_not_applied(place: Path) -> None:
    """A change in the same invocation counts too: the gate passes, but its plan is gone."""
    (place / "run.toml").write_text(
        '[gate.review]\ncommand = ["/bin/sh", "-c", "test -e look && printf 2 > plan.json"]\n'
    )
    planned(place, "--config", "run.toml")
    (place / "look").touch()
    assert resumed(place) == 1
    assert ran(place) == ["manager"]
    report = report_of(place / "out")
    assert [one["dest"] for one in report["transitions"]][-2:] == ["approving", "failed"]
    assert "plan.json had the sha256" in report["stage_executions"][-1]["error"]


def test_approval_outlives_a_failure_and_not_another_plan(place: Path) -> None:
    """Its approval covers retries of the same plan; a plan made again needs another."""
    planned(place)
    (place / "code").write_text("1")
    assert resumed(place, *APPROVED) == 1
    (place / "code").write_text("0")
    (place / "wanted").write_text("[3]")
    assert resumed(place, "--rerun", "manager") == BLOCKED
    assert ran(place) == ["manager", "executor", "manager"]
    assert resumed(place) == BLOCKED
    (place / "code").write_text("1")
    assert resumed(place, *APPROVED) == 1
    (place / "code").write_text("0")
    assert resumed(place) == 0
    assert ran(place)[3:] == ["executor", "executor"]
    assert (place / "applied").read_text() == "[1][3][3]"


def test_rework_asks_again(place: Path) -> None:
    """A loop back to the plan makes a new one, and the earlier approval starts nothing."""
    text = orchestrate("lifecycle", "plan_review_apply", cwd=place).stdout
    executor = 'name = "executor"\nkind = "stage"'
    assert text.count(executor) == 1
    (place / "reworked.toml").write_text(
        text.replace(executor, f'{executor}\nexit_codes = {{ 10 = "rework" }}')
        + edge("rework_requested", '"executor"', "manager", "at_most = 1")
        + edge("rework_requested", '"executor"', "failed")
    )
    planned(place, lifecycle="./reworked.toml")
    (place / "code").write_text("10")
    assert resumed(place, *APPROVED) == BLOCKED
    assert ran(place) == ["manager", "executor", "manager"]
    (place / "code").write_text("0")
    assert resumed(place) == BLOCKED
    assert resumed(place, *APPROVED) == 0
    assert ran(place) == ["manager", "executor", "manager", "executor"]
