"""Bounded rework: a reviewer sends the work back a limited number of times, resumes included."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import (
    CHECKPOINT,
    ORCHESTRATOR_PID,
    PASSING,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    statuses,
)

REVIEWED = ("--lifecycle", "reviewed_run", *PASSING)
TELL = 'echo "$ORCHESTRATOR_REWORK_CYCLE|$ORCHESTRATOR_REWORK_REPORT|$ORCHESTRATOR_IDEMPOTENCY_KEY"'
CONTENT_AFTER = "test $(wc -l < executed) -gt {} || exit 10"


def reviewed(reviewer: str, *more: str, executor: str = f"{TELL} >> executed") -> tuple[str, ...]:
    """Return options of a run of the lifecycle with a reviewer."""
    return (
        *("out", *REVIEWED, *shell("manager", "echo m >> managed")),
        *(*shell("executor", executor), *shell("reviewer", reviewer), *more),
    )


def executed(tmp_path: Path) -> list[list[str]]:
    """Return what each start of the executor got: cycle, report, idempotency key."""
    return [line.split("|") for line in (tmp_path / "executed").read_text().splitlines()]


def test_reviewer_that_is_content_sends_nothing_back(tmp_path: Path) -> None:
    """Without rework each stage runs once, and gets no cycle."""
    assert orchestrate(*reviewed("exit 0"), cwd=tmp_path).code == 0
    report = report_of(tmp_path / "out")
    assert statuses(report) == [(s, "success") for s in ("manager", "executor", "reviewer")]
    assert executed(tmp_path) == [["", "", f"{report['run_id']}:executor:1"]]


def test_rework_that_ends_well_is_no_failure(tmp_path: Path) -> None:
    """The log calls it rework, and a quiet run, as cron starts it, prints nothing about it."""
    sends_back = reviewed(CONTENT_AFTER.format(1))
    ended = orchestrate(*sends_back, cwd=tmp_path, env={"FSM_ORCHESTRATOR_LOG_FORMAT": "text"})
    said = [line for line in ended.stderr.splitlines() if line.startswith("reviewer: ")]
    assert said[1].startswith("reviewer: asked for rework, by exit code 10, after ")
    assert "failed" not in ended.stderr
    levels = [one["level"] for one in events_of(tmp_path / "out") if one["event"] == "stage.ended"]
    assert set(levels) == {"info"}
    (tmp_path / "executed").unlink()
    ended = orchestrate(*sends_back, "--quiet", cwd=tmp_path)
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")


def test_rework_runs_the_executor_again_with_the_findings(tmp_path: Path) -> None:
    """Sent back twice, the executor runs three times, with its cycle and the findings' path."""
    ended = orchestrate(*reviewed(CONTENT_AFTER.format(2)), cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("done", True)
    run_id, logs = report["run_id"], tmp_path / "out" / "logs"
    assert executed(tmp_path) == [
        ["", "", f"{run_id}:executor:1"],
        ["1", str(logs / "reviewer.1.stdout.log"), f"{run_id}:executor:2"],
        ["2", str(logs / "reviewer.2.stdout.log"), f"{run_id}:executor:3"],
    ]
    assert (tmp_path / "managed").read_text() == "m\n"
    asked = [one for one in report["stage_executions"] if one["ending"] == "rework_requested"]
    assert [(one["stage"], one["status"], one["exit_code"]) for one in asked] == [
        ("reviewer", "failed", 10),
        ("reviewer", "failed", 10),
    ]
    assert "asked for rework" in ended.stdout
    triggers = [one["trigger"] for one in report["transitions"]]
    assert triggers.count("rework_requested") == 2


def test_findings_are_the_reviewers_report(tmp_path: Path) -> None:
    """If a report is expected of the reviewer, that is passed on, and not its output."""
    script = f"echo '{{}}' > findings.json; {CONTENT_AFTER.format(1)}"
    options = ("--reviewer-expected-artifact", "findings.json")
    assert orchestrate(*reviewed(script, *options), cwd=tmp_path).code == 0
    assert [row[1] for row in executed(tmp_path)] == ["", str(tmp_path / "findings.json")]


def test_rework_without_the_expected_report_is_a_failure(tmp_path: Path) -> None:
    """A reviewer that asks for rework without findings has failed, and nothing is sent back."""
    options = ("--reviewer-expected-artifact", "findings.json")
    assert orchestrate(*reviewed("exit 10", *options), cwd=tmp_path).code == 1
    (last,) = (one for one in report_of(tmp_path / "out")["stage_executions"][-1:])
    assert (last["status"], last["ending"]) == ("artifact_missing", "artifacts_wrong")
    assert "exited with code 10" in last["error"]
    assert len(executed(tmp_path)) == 1


def test_rework_that_is_used_up_fails_the_run(tmp_path: Path) -> None:
    """After two cycles the run fails, and the terminal says why."""
    ended = orchestrate(*reviewed("exit 10"), cwd=tmp_path)
    assert ended.code == 1
    assert len(executed(tmp_path)) == 3
    why = "executor was sent back 2 times, the maximum (at_most)"
    assert f"\n  {why}\n" in ended.stdout
    last = report_of(tmp_path / "out")["transitions"][-1]
    assert last["details"] == [why]
    assert last["cause"].endswith(f"; {why}")
    report = report_of(tmp_path / "out")
    assert report["transitions"][-1]["dest"] == "failed"
    again = orchestrate("out", "--resume", cwd=tmp_path)
    assert again.code == 1
    assert len(executed(tmp_path)) == 3
    assert statuses(report_of(tmp_path / "out")) == [
        *(("manager", "skipped"), ("executor", "skipped"), ("reviewer", "failed"))
    ]
    content = orchestrate("out", "--resume", *shell("reviewer", "exit 0"), cwd=tmp_path)
    assert content.code == 0


@pytest.mark.parametrize("how", ["fails", "killed"])
def test_budget_and_cycle_survive_a_resume(tmp_path: Path, how: str) -> None:
    """A run that ended in its second cycle continues in it, with one rework left and not two."""
    ending = "exit 3" if how == "fails" else f"kill -KILL {ORCHESTRATOR_PID}; exec sleep 60"
    executor = (
        f"{TELL} >> executed; "
        f'test "$ORCHESTRATOR_REWORK_CYCLE" != 1 -o -e mended || {{ touch mended; {ending}; }}'
    )
    options = reviewed("exit 10", executor=executor)
    code = orchestrate(*options, cwd=tmp_path).code
    assert code == (1 if how == "fails" else -signal.SIGKILL)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    assert [row[0] for row in executed(tmp_path)] == ["", "1", "1", "2"]
    keys = [row[2].rpartition(":")[2] for row in executed(tmp_path)]
    assert keys == ["1", "2", "2", "3"]
    taken = [
        one["trigger"]
        for invocation in checkpoint_of(tmp_path / "out")["invocations"]
        for one in invocation["transitions"]
    ]
    assert taken.count("rework_requested") == 3


def forged(tmp_path: Path, forge: Any) -> str:
    """Return the message about a checkpoint that was changed by hand."""
    path = tmp_path / "out" / CHECKPOINT
    document = json.loads(path.read_bytes())
    forge(document)
    path.write_text(json.dumps(document))
    before = len(executed(tmp_path))
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert len(executed(tmp_path)) == before
    return ended.stderr


def other_cycle(document: dict[str, Any]) -> None:
    """Move the last executor's attempt to a cycle that did not exist."""
    for execution in document["invocations"][0]["stage_executions"]:
        if (execution["stage"], execution["attempt"]) == ("executor", 3):
            execution["idempotency_key"] = execution["idempotency_key"][:-1] + "7"


def one_more_time(document: dict[str, Any]) -> None:
    """Raise the bound in the embedded lifecycle."""
    for transition in document["lifecycle"]["transition"]:
        if transition["at_most"]:
            transition["at_most"] = 9


@pytest.mark.parametrize(
    ("forge", "told"), [(other_cycle, "idempotency_key"), (one_more_time, "lifecycle_sha256")]
)
def test_forged_loop_is_refused(tmp_path: Path, forge: Any, told: str) -> None:
    """A checkpoint whose loops do not add up is not resumed."""
    assert orchestrate(*reviewed("exit 10"), cwd=tmp_path).code == 1
    assert told in forged(tmp_path, forge)


def test_events_tell_each_cycle(tmp_path: Path) -> None:
    """The log has a line for each rework."""
    assert orchestrate(*reviewed(CONTENT_AFTER.format(1)), cwd=tmp_path).code == 0
    lines = [one for one in events_of(tmp_path / "out") if one["event"] == "transition"]
    back = [one["transition"] for one in lines if one["transition"]["source"] == "reviewer"]
    assert [(one["trigger"], one["dest"]) for one in back] == [
        ("rework_requested", "executor"),
        ("stage_succeeded", "done"),
    ]


def test_gates_may_judge_the_work(tmp_path: Path) -> None:
    """In `closure_gated` stages run first; a resume after blocked skips them and judges again."""
    options = ("--lifecycle", "closure_gated", *PASSING[:4])
    scripts = (*shell("manager", "echo m >> ran"), *shell("executor", "echo e >> ran"))
    assert orchestrate("out", *options, *scripts, cwd=tmp_path).code == 3
    assert (tmp_path / "ran").read_text() == "m\ne\n"
    resumed = orchestrate("out", "--resume", "--review-status", "approved", cwd=tmp_path)
    assert resumed.code == 0
    assert (tmp_path / "ran").read_text() == "m\ne\n"
    assert statuses(report_of(tmp_path / "out")) == [
        *(("manager", "skipped"), ("executor", "skipped"))
    ]
