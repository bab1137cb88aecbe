"""The remedies of the runbook: blocked, failed and timed-out runs, resumed as it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command.runbook_cases import (
    CI_LIKE,
    DRY_RUN,
    RESUME,
    assert_required_artifacts,
    calls,
    decisions,
    make_program,
    make_stand_ins,
    typed,
)
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    REPORT,
    orchestrate,
    report_of,
    shell,
    spawned,
    stages,
    statuses,
)

# Terminal state blocked

REASON_CODES = {
    "policy": "GATE_POLICY_DENIED_OR_UNKNOWN",
    "ci": "GATE_CI_NOT_SUCCESS",
    "review": "GATE_REVIEW_NOT_APPROVED",
}
PASSING_VALUES = {"policy": "allow", "ci": "success", "review": "approved"}


def gate_options(values: Mapping[str, str | None]) -> list[str]:
    """Return gate options for the given values."""
    return [
        word
        for gate, value in values.items()
        if value is not None
        for word in (f"--{gate}-status", value)
    ]


@pytest.mark.parametrize(
    ("gate", "value"),
    [
        ("policy", "deny"),
        ("policy", "unknown"),
        ("policy", None),
        ("ci", "pending"),
        ("ci", "failure"),
        ("ci", "missing"),
        ("ci", None),
        ("review", "changes_requested"),
        ("review", "missing"),
        ("review", None),
    ],
)
def test_each_gate_blocks_by_itself(tmp_path: Path, gate: str, value: str | None) -> None:
    """One missing or refusing gate blocks the run before anything starts, with its reason code."""
    given = gate_options({**PASSING_VALUES, gate: value})
    ended = orchestrate("./out", *given, *stages("touch ran", "touch ran"), cwd=tmp_path)
    assert ended.code == 3
    assert REASON_CODES[gate] in ended.stdout
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "blocked"
    assert report["closure_ready"] is False
    assert report["blocked_reason_codes"] == [REASON_CODES[gate]]
    assert [one["gate"] for one in report["gate_decisions"]] == ["policy", "ci", "review"]
    refused = [one for one in report["gate_decisions"] if not one["passed"]]
    default = "unknown" if gate == "policy" else "missing"
    assert [(one["gate"], one["status"], one["reason_code"]) for one in refused] == [
        (gate, value or default, REASON_CODES[gate])
    ]
    assert report["stage_executions"] == []
    assert not (tmp_path / "ran").exists()


def test_all_gates_are_judged_in_order(tmp_path: Path) -> None:
    """No gate hides another: with no signal at all, three codes come in the order of the gates."""
    assert orchestrate("./out", *stages(), cwd=tmp_path).code == 3
    report = report_of(tmp_path / "out")
    assert decisions(report) == [
        ("policy", "unknown", False, REASON_CODES["policy"]),
        ("ci", "missing", False, REASON_CODES["ci"]),
        ("review", "missing", False, REASON_CODES["review"]),
    ]
    assert report["blocked_reason_codes"] == list(REASON_CODES.values())


def test_blocked_is_remedied_by_resume_with_the_signal(tmp_path: Path) -> None:
    """A blocked run stays blocked on a bare resume, and continues with the signal."""
    given = gate_options({**PASSING_VALUES, "review": "changes_requested"})
    assert orchestrate("./out", *given, *stages("touch ran"), cwd=tmp_path).code == 3
    assert typed(RESUME, tmp_path).code == 3
    assert report_of(tmp_path / "out")["blocked_reason_codes"] == [REASON_CODES["review"]]
    assert not (tmp_path / "ran").exists()
    assert typed(f"{RESUME} --review-status approved", tmp_path).code == 0
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "done"
    assert report["blocked_reason_codes"] == []
    assert spawned(report) == ["manager", "executor"]


# Terminal state failed

GOOD_TOOL = "#!/bin/sh\necho '{}' > plan.json\n"
TOOL_RUN = (
    *PASSING,
    *("--manager-bin", "./tool", "--manager-expected-artifact", "./plan.json"),
    *shell("executor", "touch executed"),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause of failure: a wrong tool of the manager, and the message about it."""

    make: Callable[[Path], object]
    status: str
    error: str
    exit_code: int | None = None
    signal: str | None = None
    missing: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()


def tool(text: str, *, mode: int = 0o755) -> Callable[[Path], object]:
    """Return a maker of a tool with this text."""
    return lambda path: make_program(path, text, mode=mode)


CAUSES = {
    "absent": Cause(lambda _: None, "spawn_failed", r"/tool does not exist"),
    "directory": Cause(Path.mkdir, "spawn_failed", r"directory.*/tool"),
    "not executable": Cause(tool(GOOD_TOOL, mode=0o644), "spawn_failed", r"execut.*/tool"),
    "bad interpreter": Cause(
        tool("#!/nowhere/sh\n"),
        "spawn_failed",
        r"interpreter.*/tool is there, but its first line names /nowhere/sh",
    ),
    "bad format": Cause(tool("echo no first line\n"), "spawn_failed", r"/tool.*#!"),
    "exit code": Cause(tool(f"{GOOD_TOOL}exit 7\n"), "failed", r"exited.*\b7\b", exit_code=7),
    "signal": Cause(
        tool("#!/bin/sh\nkill -SEGV $$\n"),
        "failed",
        r"SIGSEGV",
        signal="SIGSEGV",
        missing=("plan.json",),
    ),
    "missing artifact": Cause(
        tool("#!/bin/sh\nexit 0\n"),
        "artifact_missing",
        r"/plan\.json",
        exit_code=0,
        missing=("plan.json",),
    ),
    "malformed artifact": Cause(
        tool("#!/bin/sh\necho '[1,]' > plan.json\n"),
        "artifact_missing",
        r"/plan\.json.*line 1",
        exit_code=0,
        malformed=("plan.json",),
    ),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", list(CAUSES))
def test_failed_says_why_and_is_remedied_by_resume(tmp_path: Path, name: str) -> None:
    """A failing stage ends in failed with its `error`; once it is fixed, a resume continues."""
    cause, path = CAUSES[name], tmp_path / "tool"
    cause.make(path)
    ended = orchestrate("./out", *TOOL_RUN, cwd=tmp_path)
    assert ended.code == 1
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "failed"
    assert report["closure_ready"] is False
    assert report["blocked_reason_codes"] == []
    (execution,) = report["stage_executions"]
    assert (execution["stage"], execution["status"]) == ("manager", cause.status)
    assert (execution["exit_code"], execution["signal"]) == (cause.exit_code, cause.signal)
    assert execution["missing_artifacts"] == [str(tmp_path / one) for one in cause.missing]
    assert execution["malformed_artifacts"] == [str(tmp_path / one) for one in cause.malformed]
    assert re.search(cause.error, execution["error"])
    assert "None" not in execution["error"]
    assert execution["error"] in ended.stdout
    assert not (tmp_path / "executed").exists()

    if path.is_dir():
        path.rmdir()
    make_program(path, GOOD_TOOL)
    assert typed(RESUME, tmp_path).code == 0
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "done"
    assert statuses(report) == [("manager", "success"), ("executor", "success")]
    assert statuses(report["earlier_invocations"][0]) == [("manager", cause.status)]


def test_failed_is_remedied_by_another_binary_path(tmp_path: Path) -> None:
    """A resume with a corrected `--manager-bin` is enough."""
    make_program(tmp_path / "tool", GOOD_TOOL)
    wrong = [word.replace("./tool", "./tol") for word in TOOL_RUN]
    assert orchestrate("./out", *wrong, cwd=tmp_path).code == 1
    ended = typed(
        f"{RESUME} --manager-bin ./tool --manager-expected-artifact ./plan.json", tmp_path
    )
    assert ended.code == 0, ended.stderr
    assert report_of(tmp_path / "out")["terminal_state"] == "done"


def test_checkpoint_persistence_failure(tmp_path: Path) -> None:
    """An unwritable checkpoint fails the run before anything starts, and its path is named."""
    make_program(tmp_path / "tool", GOOD_TOOL)
    obstacle = tmp_path / "out" / CHECKPOINT
    obstacle.mkdir(parents=True)
    ended = orchestrate("./out", *TOOL_RUN, cwd=tmp_path)
    assert ended.code == 1
    report = report_of(tmp_path / "out")
    assert report["terminal_state"] == "failed"
    (execution,) = report["stage_executions"]
    assert (execution["command"], execution["status"]) == ("checkpoint.persist", "failed")
    assert str(obstacle) in execution["error"]
    assert execution["error"] in ended.stdout
    assert not (tmp_path / "plan.json").exists()

    obstacle.rmdir()
    assert orchestrate("./out", *TOOL_RUN, "--resume", cwd=tmp_path).code == 0
    assert assert_required_artifacts(tmp_path / "out")["terminal_state"] == "done"
    assert (tmp_path / "executed").exists()


# Terminal state timeout


def test_timeout_is_remedied_by_more_time(tmp_path: Path) -> None:
    """A stage that outlives `--timeout-ms` ends in timeout; a resume with more time continues."""
    make_program(
        tmp_path / "tool", f"{GOOD_TOOL}while [ ! -e may_end ]; do sleep 0.02; done\nexit 0\n"
    )
    ended = orchestrate("./out", *TOOL_RUN, "--timeout-ms", "150", cwd=tmp_path)
    assert ended.code == 124
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "timeout"
    assert report["closure_ready"] is False
    (execution,) = report["stage_executions"]
    assert (execution["stage"], execution["status"]) == ("manager", "timeout")
    assert "150ms" in execution["error"]
    assert "--manager-timeout 300ms" in ended.stdout
    assert not (tmp_path / "executed").exists()

    (tmp_path / "may_end").touch()
    assert typed(f"{RESUME} --timeout-ms 50000", tmp_path).code == 0
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "done"
    assert spawned(report) == ["manager", "executor"]


# Closure criteria


def test_done_run_whose_artifact_is_gone_may_not_close(tmp_path: Path) -> None:
    """If an artifact vanishes after done, closure_ready is false and the exit code is 1."""
    make_stand_ins(tmp_path)
    assert typed(CI_LIKE, tmp_path).code == 0
    plan = tmp_path / "out/manager/action_plan.json"
    content = plan.read_bytes()
    plan.unlink()
    assert typed(RESUME, tmp_path).code == 1
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "done"
    assert report["closure_ready"] is False
    errors = [one["error"] for one in report["stage_executions"] if one["error"]]
    assert any("action_plan.json" in error for error in errors)
    assert calls(tmp_path) == ["manager", "executor"]

    plan.write_bytes(content)
    assert typed(RESUME, tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"] is True


def test_missing_checkpoint_may_not_close(tmp_path: Path) -> None:
    """A done run without its checkpoint is refused, and its report no longer says done."""
    assert typed(DRY_RUN, tmp_path).code == 0
    (tmp_path / "out" / CHECKPOINT).unlink()
    ended = typed(RESUME, tmp_path)
    assert ended.code == 1
    assert CHECKPOINT in ended.stderr
    report = report_of(tmp_path / "out")
    assert report["terminal_state"] == "failed"
    assert report["closure_ready"] is False
    assert CHECKPOINT in report["stage_executions"][0]["error"]


def test_missing_report_is_written_again(tmp_path: Path) -> None:
    """A resume of a done run writes its lost report again."""
    assert typed(DRY_RUN, tmp_path).code == 0
    (tmp_path / "out" / REPORT).unlink()
    assert typed(RESUME, tmp_path).code == 0
    report = report_of(tmp_path / "out")
    assert report["terminal_state"] == "done"
    assert report["closure_ready"] is True
