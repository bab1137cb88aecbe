"""The output of a run without redrawing, and its end in twelve lines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.cli.live_lines import Screen, frame, settled_lines, stopping_words
from fsm_orchestrator.cli.run_view import RunView
from fsm_orchestrator.cli.style import plain, shown_cells
from tests.support.command import (
    PASSING,
    RUN_COMMAND_LINE,
    Ended,
    events_of,
    orchestrate,
    report_of,
    stages,
)

pytestmark = pytest.mark.one_in(2)

NOT_ASKED: Mapping[str, str] = {"FSM_ORCHESTRATOR_LOG_FORMAT": "", "LC_ALL": "C.UTF-8", "TERM": "x"}
MANY = tuple(f"stage_{number:02d}" for number in range(40))


def started(stage: str, **given: Any) -> dict[str, Any]:
    """Return the event of an attempt that starts."""
    known = {"attempt_of_cycle": 1, "max_attempts": 1, "timeout_ms": 30_000}
    return {"event": "stage.started", "stage": stage, "kill_grace_ms": 2_000, **known, **given}


def view_of(*names: str) -> RunView:
    """Return the view of a run of these stages that has begun."""
    view = RunView()
    begun = {"event": "run.started", "run_id": "r", "lifecycle": "l", "execution_mode": "run"}
    view.note({**begun, "stages": names}, 0.0)
    return view


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("height", [6, 24, 50])
def test_frame_fits_its_screen(monkeypatch: pytest.MonkeyPatch, width: int, height: int) -> None:
    """It fits with any number of stages and any length of output."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    view = view_of(*MANY)
    view.note(started(MANY[3], max_attempts=3), 1.0)
    view.printed("stage_03", "日本語 " * 60 + "\x1b[2J")
    view.requests = 1
    lines = frame(view, 4.25, Screen(width, height))
    assert len(lines) < height
    assert all(shown_cells(line) < width for line in lines)
    assert not any("\x1b[2J" in line for line in lines)
    if width >= 80:
        assert plain(lines[0]).endswith("stage_03  3.2s of 30s  attempt 1 of 3")
        assert plain(lines[2]) == "stopping stage_03, up to 2s; again to kill"
        view.requests = 2
        assert stopping_words(view) == "killing stage_03"


def test_skips_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty stages that were completed earlier are one line."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    view = view_of(*MANY)
    for stage in MANY[:39]:
        view.note({"event": "stage.skipped", "stage": stage}, 0.0)
        view.note({"event": "transition"}, 0.0)
    view.note(started(MANY[39]), 0.0)
    (_, skipped) = view.settled
    (line,) = settled_lines(view, skipped, 60)
    assert plain(line).startswith("- 39 stages skipped: completed before: stage_00")
    assert view.to_come == ()


def test_text_is_the_default_where_nobody_redraws(tmp_path: Path) -> None:
    """Each event is one line; an option or the environment selects JSON lines."""
    ended = orchestrate("out", *PASSING, *stages(), cwd=tmp_path, env=NOT_ASKED)
    assert "\nmanager: started, attempt 1" in ended.stderr
    assert ended.events == []
    by_option = ("--log-format", "json")
    asked = orchestrate("a", *PASSING, *stages(), *by_option, cwd=tmp_path, env=NOT_ASKED)
    assert asked.events[-1]["event"] == "run.ended"
    env = {**NOT_ASKED, "FSM_ORCHESTRATOR_LOG_FORMAT": "json"}
    assert orchestrate("b", *PASSING, *stages(), cwd=tmp_path, env=env).events
    text = ("--log-format", "text")
    assert not orchestrate("c", *PASSING, *stages(), *text, cwd=tmp_path, env=env).events
    wrong = {**NOT_ASKED, "FSM_ORCHESTRATOR_LOG_FORMAT": "jsn"}
    refused = orchestrate("d", *PASSING, *stages(), cwd=tmp_path, env=wrong)
    assert refused.code == 2
    assert "FSM_ORCHESTRATOR_LOG_FORMAT is 'jsn'; did you mean 'json'?" in refused.stderr
    assert not (tmp_path / "d").exists()


def test_log_says_now_and_then_that_a_stage_still_runs(tmp_path: Path) -> None:
    """A reader of a job's log sees that the stage is not stuck."""
    script = (
        f"import sys; {RUN_COMMAND_LINE}; from fsm_orchestrator.cli import progress;"
        "progress.STILL_SECONDS = 1.0; sys.exit(run_command_line(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "out", *PASSING, *stages("sleep 2.5")],
        cwd=tmp_path,
        env={**os.environ, **NOT_ASKED, "XDG_STATE_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\nmanager: still running after 1s, of 30s\n" in done.stderr


def lines_of(ended: Ended) -> list[str]:
    """Return the lines of a summary."""
    return ended.stdout.splitlines()


def test_failure_is_told_once_in_twelve_lines(tmp_path: Path) -> None:
    """They are symbol, outcome and time; a line a stage; cause and last output; three commands."""
    script = "seq 100 >&2; exit 3"
    ended = orchestrate("out", *PASSING, *stages("exit 0", script), cwd=tmp_path, env=NOT_ASKED)
    lines = lines_of(ended)
    assert len(lines) <= 12
    assert lines[0].startswith("✗ failed: run ")
    assert [line.split()[:2] for line in lines[1:3]] == [["✓", "manager"], ["✗", "executor"]]
    assert ended.stdout.count("exited with code 3") == 1
    assert "    | 100" in lines
    labels = [line.split()[0] for line in lines[-4:]]
    assert labels == ["details", "output", "report", "resume"]
    for line in (lines[-4], lines[-3]):
        words = line.split()[2:]
        assert orchestrate(*words, cwd=tmp_path).code == 0


def test_blocked_is_not_the_color_of_failed(tmp_path: Path) -> None:
    """Waiting is yellow; only an error is red."""
    env = {**NOT_ASKED, "NO_COLOR": "", "FORCE_COLOR": "1"}
    blocked = orchestrate("out", *PASSING[:4], *stages(), cwd=tmp_path, env=env)
    assert blocked.code == 3
    assert blocked.stdout.startswith("\x1b[33m!\x1b[0m ")
    assert "\x1b[31m" not in blocked.stdout
    failed = orchestrate("bad", *PASSING, *stages("exit 1"), cwd=tmp_path, env=env)
    assert failed.stdout.startswith("\x1b[31m✗\x1b[0m ")


def test_caution_stands_before_the_signals_that_are_offered(tmp_path: Path) -> None:
    """It is before each command that gives passing signals, nowhere else; the end stays short."""
    caution = "give a passing signal only when the real check says so"
    ended = orchestrate("out", *stages(), cwd=tmp_path, env=NOT_ASKED)
    assert ended.code == 3
    for screen in (ended, orchestrate("status", "out", cwd=tmp_path, env=NOT_ASKED)):
        lines = lines_of(screen)
        assert len(lines) <= 12
        assert lines[-2] == f"  first    {caution}"
        assert "--review-status approved" in lines[-1]
    explained = orchestrate("explain", "out", cwd=tmp_path)
    assert " ".join(explained.stdout.split()).count(caution) == 1
    failed = orchestrate("bad", *PASSING, *stages("exit 1"), cwd=tmp_path, env=NOT_ASKED)
    assert "first" not in failed.stdout


def test_gates_that_do_not_count_yet_are_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate state that continues is good, whatever the verdicts of gates that a later one asks."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    decisions = [("policy", "allow", True), ("ci", "success", True), ("review", "missing", False)]
    for trigger, sign in (("gates_passed", "✓"), ("gates_refused", "!")):
        view = RunView()
        for gate, status, passed in decisions:
            decision = {"gate": gate, "status": status, "passed": passed}
            view.note({"event": "gate.decided", "decision": decision}, 0.0)
        view.note({"event": "transition", "transition": {"trigger": trigger}}, 0.0)
        (gates,) = view.settled
        (line,) = settled_lines(view, gates, 80)
        assert plain(line) == f"{sign} gates  policy allow · ci success · review missing"
        is_yellow = "\x1b[33mreview missing" in line
        assert is_yellow is (trigger == "gates_refused")


def test_gate_that_counts_later_is_not_called_a_refusal(tmp_path: Path) -> None:
    """A state that judges some gates shows the others as not judged there."""
    own = ("--stages", "plan,apply", "--approve-before", "apply")
    made = orchestrate("init", ".", *own, cwd=tmp_path)
    assert made.code == 0
    given = ("--config", "run.toml", "--policy-status", "allow", "--ci-status", "success")
    ended = orchestrate("run", "out", *given, cwd=tmp_path, env=NOT_ASKED)
    assert ended.code == 3
    said = [line for line in ended.stderr.splitlines() if line.startswith("gate review")]
    assert said == [
        "gate review: missing: not judged here",
        "gate review: missing: refused, GATE_REVIEW_NOT_APPROVED",
    ]
    told = [one for one in events_of(tmp_path / "out") if one["event"] == "gate.decided"]
    marks = [(one["level"], one.get("is_judged_elsewhere")) for one in told]
    assert marks[2] == ("info", True)
    assert marks[-1] == ("warning", None)


def test_gate_that_is_to_come_blocks_nothing(tmp_path: Path) -> None:
    """The end of a run, the report and `explain` name the gates that refused, and no later one."""
    own = ("--stages", "plan,apply", "--approve-before", "apply")
    assert orchestrate("init", ".", *own, cwd=tmp_path).code == 0
    given = ("--config", "run.toml", "--ci-status", "success")
    denied = ("--policy-status", "deny", "--review-status", "changes_requested")
    ended = orchestrate("run", "./out", *given, *denied, cwd=tmp_path, env=NOT_ASKED)
    assert "by GATE_POLICY_DENIED_OR_UNKNOWN\n" in ended.stdout
    assert [line.split()[1] for line in ended.stdout.splitlines() if "passes when" in line] == [
        "policy"
    ]
    report = report_of(tmp_path / "out")
    assert report["blocked_reason_codes"] == ["GATE_POLICY_DENIED_OR_UNKNOWN"]
    assert report["transitions"][-1]["cause"] == "refused: GATE_POLICY_DENIED_OR_UNKNOWN"
    everything = orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout
    rows = [line.split() for line in everything.splitlines() if " given by flag " in line]
    assert [(row[0], row[-1]) for row in rows] == [
        ("policy", "refused"),
        ("ci", "passed"),
        ("review", "come"),
    ]
    waits = orchestrate("run", "./new", "--config", "run.toml", cwd=tmp_path, env=NOT_ASKED)
    assert waits.stdout.startswith("! waiting: ")
    assert "review" not in waits.stdout.replace("--review-status", "")
