"""A run that waits for its gates, and commands that wait with it: nothing is held or written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.command.resume_cases import ran
from tests.support.command import PASSING, orchestrate, report_of, shell, stages, start, tree_of
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.screen import Terminal

REPORTS = 'junit = ["reports/*.xml"]'
GOOD = '<testsuite name="a"><testcase classname="a" name="b"/></testsuite>'
BAD = '<testsuite name="a"><testcase classname="a" name="b"><failure/></testcase></testsuite>'
BLOCKED, OVER, USAGE = 3, 124, 2


def config(place: Path, gate: str = REPORTS) -> tuple[str, ...]:
    """Return options of a run that plans, and applies the plan once its review arrives."""
    source = f"[gate.review]\n{gate}\n" if gate else ""
    (place / "run.toml").write_text(
        'lifecycle = "plan_review_apply"\n[gates]\npolicy = "allow"\nci = "success"\n'
        f"{source}[stage.manager]\nbin = '/bin/sh'\n"
        "args = ['-c', 'echo manager >> trace; echo [1] > plan.json']\n"
        "expected_artifacts = ['plan.json']\n"
        "[stage.executor]\nbin = '/bin/sh'\nargs = ['-c', 'echo executor >> trace']\n"
    )
    return "--config", "run.toml"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with a run that waits for test reports."""
    assert orchestrate("run", "./out", *config(tmp_path), cwd=tmp_path).code == BLOCKED
    return tmp_path


def reports(place: Path, text: str) -> None:
    """Write the reports, in a directory that may not exist yet."""
    (place / "reports").mkdir(exist_ok=True)
    (place / "reports" / "a.xml").write_text(text)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the exit code and output of a process that was left running."""
    said, told = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, said, told


def waiting(process: subprocess.Popen[str]) -> str:
    """Return the line that announces the wait; earlier lines are read as well."""
    assert process.stderr is not None
    for line in process.stderr:
        if "gate.waiting" in line or "waiting, for" in line:
            return line
    raise AssertionError(process.communicate())


def test_run_goes_on_once_its_gate_is_decided(tmp_path: Path) -> None:
    """One process runs, waits and applies; in between the run is blocked and has no holder."""
    process = start("run", "./out", *config(tmp_path), "--wait", "5m", cwd=tmp_path)
    told = json.loads(waiting(process))
    assert (told["gate"], told["problem"]) == ("review", "not_found")
    assert told["run_id"] == report_of(tmp_path / "out")["run_id"]
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["exit_code"]) == ("blocked", BLOCKED)
    status = json.loads(orchestrate("status", "./out", "--json", cwd=tmp_path).stdout)
    assert status["holder"] is None
    assert ran(tmp_path) == ["manager"]
    reports(tmp_path, GOOD)
    code, said, _ = ended(process)
    assert code == 0
    assert said.index("waiting: run") < said.index("done: run")
    assert ran(tmp_path) == ["manager", "executor"]
    report = report_of(tmp_path / "out")
    assert (report["closure_ready"], len(report["earlier_invocations"])) == (True, 1)


def test_waiting_run_prints_one_report_as_json(tmp_path: Path) -> None:
    """`--json` prints the last report only, however often the run was blocked before."""
    process = start("run", "./out", *config(tmp_path), "--wait", "5m", "--json", cwd=tmp_path)
    waiting(process)
    reports(tmp_path, GOOD)
    code, said, _ = ended(process)
    assert (code, json.loads(said)["terminal_state"]) == (0, "done")


DECIDED = {
    "passed": (GOOD, 0, "passed: review"),
    "refused": (BAD, BLOCKED, "refused: review"),
}


@pytest.mark.parametrize(("text", "code", "said"), DECIDED.values(), ids=DECIDED.keys())
def test_wait_returns_once_the_gates_are_decided(
    place: Path, text: str, code: int, said: str
) -> None:
    """`wait` is woken by the reports, prints the decision, and changes nothing."""
    before = tree_of(place / "out")
    process = start("wait", "./out", "--timeout", "5m", cwd=place)
    waiting(process)
    reports(place, text)
    found = ended(process)
    assert (found[0], said in found[1]) == (code, True)
    again = orchestrate("wait", "./out", "--json", cwd=place)
    document = json.loads(again.stdout)
    assert (again.code, document["exit_code"]) == (code, code)
    assert document["gates"][0]["gate"] == "review"
    assert tree_of(place / "out") == before


def test_wait_is_over_in_time(place: Path) -> None:
    """Without an answer the exit code is a different one, and the run is unchanged."""
    found = orchestrate("wait", "./out", "--timeout", "200", cwd=place)
    assert found.code == OVER
    assert "not decided within 200ms: review" in found.stdout
    assert report_of(place / "out")["terminal_state"] == "blocked"
    resumed = orchestrate("./out", "--resume", "--wait", "200", cwd=place)
    assert (resumed.code, report_of(place / "out")["exit_code"]) == (OVER, BLOCKED)


def test_time_to_wait_is_up_before_the_run_is_blocked(place: Path) -> None:
    """No time left ends the wait at once; it does not count as no limit."""
    resumed = orchestrate("./out", "--resume", "--wait", "1", cwd=place)
    assert "not decided within 1ms: review" in resumed.stdout
    assert (resumed.code, report_of(place / "out")["exit_code"]) == (OVER, BLOCKED)


def test_wait_goes_on_if_it_is_asked_to(place: Path) -> None:
    """With `--resume` it exits like the resume; for a done run it returns at once."""
    process = start("wait", "./out", "--timeout", "5m", "--resume", cwd=place)
    waiting(process)
    reports(place, GOOD)
    code, said, _ = ended(process)
    assert (code, "done: run" in said) == (0, True)
    assert ran(place) == ["manager", "executor"]
    assert orchestrate("wait", "./out", cwd=place).code == 0


def test_signal_that_is_typed_comes_with_another_resume(tmp_path: Path) -> None:
    """A gate without a source is awaited too: a resume that gives its signal ends the wait."""
    config(tmp_path, "")
    assert orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path).code == BLOCKED
    process = start("wait", "./out", "--timeout", "5m", cwd=tmp_path)
    assert "only a resume with --review-status can change" in waiting(process)
    resumed = orchestrate("./out", "--resume", "--review-status", "approved", cwd=tmp_path)
    assert resumed.code == 0
    code, said, _ = ended(process)
    assert (code, "the run is done" in said) == (0, True)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_waiting_is_ended_by_a_signal_and_the_run_is_not(place: Path, signum: int) -> None:
    """Nothing is recorded, so the awaited person can still answer."""
    before = tree_of(place / "out")
    process = start("wait", "./out", "--resume", cwd=place)
    assert json.loads(waiting(process))["wait_ms"] is None, "a bound is told that nobody set"
    os.kill(process.pid, signum)
    assert ended(process)[0] == 128 + signum
    assert tree_of(place / "out") == before


def test_other_plan_ends_the_wait(place: Path) -> None:
    """A changed artifact prevents a resume whatever the gates say, so the wait ends."""
    process = start("wait", "./out", "--timeout", "5m", "--resume", cwd=place)
    waiting(process)
    (place / "plan.json").write_text("[2]")
    reports(place, GOOD)
    code, _, told = ended(process)
    assert code == USAGE
    assert "plan.json had the sha256" in told
    assert ran(place) == ["manager"]


def test_run_that_waits_for_no_gate_is_refused(tmp_path: Path) -> None:
    """A failed run needs an inspection, not a wait."""
    given = (*PASSING, *stages("exit 1"))
    assert orchestrate("out", *given, cwd=tmp_path).code == 1
    refused = orchestrate("wait", "./out", cwd=tmp_path)
    assert (refused.code, "waits for no gate: it is failed" in refused.stderr) == (USAGE, True)
    kept = ("--on-changed-stage", "keep", "--wait", "1s")
    refused = orchestrate("./out", "--resume", *kept, cwd=tmp_path)
    assert (refused.code, "leave --wait out" in refused.stderr) == (USAGE, True)


def test_run_at_work_is_waited_for(tmp_path: Path) -> None:
    """A wait that began during the run reports the gates' decision, or the run's end."""
    script = "touch begun; until test -e ready; do sleep 0.05; done"
    run = start("./out", *PASSING, *shell("manager", script), cwd=tmp_path)
    wait_until((tmp_path / "begun").exists)
    process = start("wait", "./out", "--timeout", "5m", cwd=tmp_path)
    assert "the run is at work" in waiting(process)
    (tmp_path / "ready").touch()
    assert ended(process)[0] == 0
    assert ended(run)[0] == 0


def test_person_who_set_no_bound_is_told_of_none(place: Path) -> None:
    """The line names what is awaited, and no duration."""
    with Terminal("wait", "./out", cwd=place) as terminal:
        terminal.until_shown("waiting: gate review")
        reports(place, GOOD)
        assert terminal.end() == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_person_sees_one_line_of_what_is_awaited(place: Path, columns: int) -> None:
    """The line is redrawn in place with the time left, and is erased once the gates are decided."""
    with Terminal("wait", "./out", "--timeout", "5m", cwd=place, columns=columns) as terminal:
        terminal.until_shown("left: gate review")
        line = next(one for one in terminal.shown if "left: gate review" in one)
        assert line.startswith("! waiting, ")
        assert len(line) < columns
        reports(place, GOOD)
        assert terminal.end() == 0
        assert terminal.shown[0] == "✓ passed: review"
