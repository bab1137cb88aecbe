"""Stages side by side on the screens: the live view, status, explanation and plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm_orchestrator.cli.live_lines import Screen, frame, settled_lines, stopping_words
from fsm_orchestrator.cli.run_view import EndedStage, RunView
from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.rendering.html.timeline import timeline_of
from tests.support.command import PASSING, orchestrate, shell, start
from tests.support.patience import PATIENCE_SECONDS, wait_until

CHECKS = ("lint", "unit_tests", "scan")


def event(name: str, stage: str | None = None, **values: object) -> dict[str, object]:
    """Return an event as a listener gets it."""
    return {"event": name, "level": "info", **({"stage": stage} if stage else {}), **values}


def started(stage: str, of_attempts: int = 1) -> dict[str, object]:
    """Return the event of a started stage."""
    limits = {"timeout_ms": 30_000, "kill_grace_ms": 2_000}
    return event(
        "stage.started", stage, attempt_of_cycle=1, max_attempts=of_attempts, attempt=1, **limits
    )


def ended(stage: str, status: str = "success", ending: str = "exited") -> dict[str, object]:
    """Return the event of a stage's end."""
    execution = {"stage": stage, "status": status, "ending": ending, "duration_ms": 5, "error": ""}
    return event("stage.ended", stage, execution=execution)


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> RunView:
    """Return a view of three checks at work, of which scan may be tried again."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    made = RunView()
    made.stages = CHECKS
    for stage in CHECKS:
        made.note(started(stage, 2 if stage == "scan" else 1), 1.0)
    return made


def words(view: RunView, height: int = 24) -> list[str]:
    """Return the lines that change, without colors."""
    return [line.replace("\x1b[1m", "") for line in frame(view, 2.0, Screen(80, height))]


def test_all_that_are_at_work_are_shown_each_with_its_last_words(view: RunView) -> None:
    """Each stage has a line, and its last output below it where there is room."""
    for stage in CHECKS:
        view.printed(stage, f"{stage} says so")
    lines = words(view)
    assert [one for one in CHECKS for line in lines if one in line and "of 30s" in line] == [
        *CHECKS
    ]
    assert sum("says so" in line for line in lines) == 3
    assert sum("says so" in line for line in words(view, height=10)) == 0
    few = words(view, height=7)
    assert len(few) == 2
    assert "and 2 more at work" in few[-1]


def test_end_of_one_settles_it_and_the_others_stay(view: RunView) -> None:
    """A success settles at once; a failure only once no retry is left."""
    view.note(ended("lint"), 2.0)
    view.note(ended("scan", "failed"), 2.1)
    assert [one.name for one in view.settled if isinstance(one, EndedStage)] == ["lint"]
    view.note(event("stage.output", "unit_tests", text="x"), 2.2)
    assert [*view.at_work] == ["unit_tests", "scan"]
    view.note(event("stage.retrying", "scan", wait_ms=500, max_attempts=2), 2.3)
    assert view.at_work["scan"].attempt == 2
    view.note(ended("unit_tests", "interrupted", "sibling_failed"), 2.4)
    view.note(event("transition", transition={"trigger": "stage_failed"}), 2.5)
    shown = [line for one in view.settled for line in settled_lines(view, one, 80)]
    assert any("unit_tests" in line and "ended, because another failed" in line for line in shown)


def test_request_to_end_says_how_many_it_ends(view: RunView) -> None:
    """The message counts all of them, and gives the longest of their graces."""
    view.requests = 1
    assert stopping_words(view) == "stopping 3 stages, up to 2s; again to kill"
    view.requests = 2
    assert stopping_words(view) == "killing 3 stages"


def options(**scripts: str) -> list[str]:
    """Return the options of a run of checked_run."""
    said = {"executor": "exit 0", **scripts}
    words = [word for one in said.items() for word in shell(one[0].replace("_", "-"), one[1])]
    return ["--lifecycle", "checked_run", *PASSING, *words]


def test_plan_says_what_would_run_side_by_side(tmp_path: Path) -> None:
    """Each stage is listed with its siblings; a sibling is not before it."""
    plan = orchestrate("plan", "out", *options(lint="x", unit_tests="x"), cwd=tmp_path)
    text = " ".join(plan.stdout.split())
    assert "lint would run: not run yet; side by side with unit_tests and scan" in text
    told = orchestrate("plan", "out", "--json", *options(lint="x"), cwd=tmp_path)
    stages = {one["stage"]: one for one in json.loads(told.stdout)["stages"]}
    assert stages["lint"]["beside"] == ["unit_tests", "scan"]
    assert stages["executor"]["beside"] == []


def test_status_and_explain_name_all_that_are_at_work(tmp_path: Path) -> None:
    """Both name them while they work, and after the orchestrator was killed."""
    waits = dict.fromkeys(("lint", "scan"), "echo $$ >$ORCHESTRATOR_STAGE.pid; sleep 60")
    process = start("out", *options(unit_tests="exit 0", **waits), cwd=tmp_path)
    try:
        wait_until(lambda: len([*tmp_path.glob("*.pid")]) == 2)
        named = "stages lint (attempt 1), scan (attempt 1)"
        wait_until(
            lambda: (
                f"{named}, are at work side by side"
                in " ".join(orchestrate("explain", "out", cwd=tmp_path).stdout.split())
            )
        )
        status = " ".join(orchestrate("status", "out", cwd=tmp_path).stdout.split())
        assert "in state checks, lint attempt 1, scan attempt 1, for" in status
        bars = [one.name for one in timeline_of(inspect_run(tmp_path / "out")).bars.shown]
        assert set(bars) == {"gating", "executor", *CHECKS}
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
    told = " ".join(orchestrate("explain", "out", cwd=tmp_path).stdout.split())
    assert f"while {named}, were at work" in told
    drawn = orchestrate("diagram", "--run", "out", "--format", "text", cwd=tmp_path).stdout
    assert "checks" in drawn
