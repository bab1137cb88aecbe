"""The operator runbook as tests: its commands typed as it prints them, and every promise it makes.

The commands go through a real shell, with the program under its own name on PATH.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import (
    CHECKPOINT,
    PASSING,
    REPORT,
    Ended,
    checkpoint_of,
    environment,
    orchestrate,
    report_of,
    shell,
    spawned,
    stages,
    statuses,
    tree_of,
)

DRY_RUN = """\
fsm-orchestrator ./out \\
  --policy-status allow \\
  --ci-status success \\
  --review-status approved \\
  --manager-bin /bin/sh \\
  --manager-arg -c \\
  --manager-arg "exit 0" \\
  --executor-bin /bin/sh \\
  --executor-arg -c \\
  --executor-arg "exit 0"
"""
CI_LIKE = """\
fsm-orchestrator ./out \\
  --policy-status allow \\
  --ci-status success \\
  --review-status approved \\
  --manager-bin ./target/release/auto_manager_ai \\
  --manager-arg . \\
  --manager-arg ./out/manager \\
  --manager-expected-artifact ./out/manager/action_plan.json \\
  --manager-expected-artifact ./out/manager/run_report.json \\
  --executor-bin ./target/debug/autonomous_dev_ai \\
  --executor-env AUTONOMOUS_NON_INTERACTIVE_PROFILE=orchestrator_v1 \\
  --executor-env AUTONOMOUS_REQUIRE_PR_NUMBER=true \\
  --executor-env AUTONOMOUS_FETCH_PR_CI_STATUS_FROM_GH=true \\
  --executor-env AUTONOMOUS_FETCH_PR_CI_STATUS_REQUIRED=true \\
  --executor-env AUTONOMOUS_REVIEW_REQUIRED=true \\
  --executor-env AUTONOMOUS_REQUIRE_ISSUE_COMPLIANCE=true
"""
RESUME = "fsm-orchestrator ./out --resume"
CI_ENVIRONMENT = {
    "AUTONOMOUS_NON_INTERACTIVE_PROFILE": "orchestrator_v1",
    "AUTONOMOUS_REQUIRE_PR_NUMBER": "true",
    "AUTONOMOUS_FETCH_PR_CI_STATUS_FROM_GH": "true",
    "AUTONOMOUS_FETCH_PR_CI_STATUS_REQUIRED": "true",
    "AUTONOMOUS_REVIEW_REQUIRED": "true",
    "AUTONOMOUS_REQUIRE_ISSUE_COMPLIANCE": "true",
}
GATES_PASSED = [
    ("policy", "allow", True, None),
    ("ci", "success", True, None),
    ("review", "approved", True, None),
]
MANAGER_STAND_IN = """\
#!/bin/sh
echo manager >> calls
printf '%s\\n' "$PWD" "$@" > manager.argv
env > manager.env
mkdir -p "$2"
echo '{"actions": ["review", "apply"]}' > "$2/action_plan.json"
echo '{"status": "ok"}' > "$2/run_report.json"
"""
EXECUTOR_STAND_IN = """\
#!/bin/sh
echo executor >> calls
env > executor.env
test -s ./out/manager/action_plan.json
"""


def typed(command: str, cwd: Path, **env: str) -> Ended:
    """Type a command into a shell that has the program on its PATH."""
    programs = cwd / "bin"
    if not programs.is_dir():
        programs.mkdir()
        make_program(
            programs / "fsm-orchestrator",
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fsm_orchestrator "$@"\n',
        )
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=cwd,
        env=environment(
            PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
            XDG_STATE_HOME=str(cwd / "state"),
            **env,
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def make_program(path: Path, text: str, *, mode: int = 0o755) -> None:
    """A script that can be started, or with another mode not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def make_stand_ins(cwd: Path) -> None:
    """Stand-ins for the binaries of the CI-like quickstart, at the same relative paths."""
    make_program(cwd / "target/release/auto_manager_ai", MANAGER_STAND_IN)
    make_program(cwd / "target/debug/autonomous_dev_ai", EXECUTOR_STAND_IN)


def calls(cwd: Path) -> list[str]:
    """Which stand-ins ran, in order."""
    path = cwd / "calls"
    return path.read_text().split() if path.exists() else []


def seen_environment(path: Path) -> dict[str, str]:
    """The environment that a stand-in saw."""
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {key: value for key, _, value in pairs}


def decisions(report: Mapping[str, Any]) -> list[tuple[str, str, bool, str | None]]:
    """The gate decisions, in order."""
    return [
        (one["gate"], one["status"], one["passed"], one["reason_code"])
        for one in report["gate_decisions"]
    ]


def assert_required_artifacts(output: Path) -> dict[str, Any]:
    """Both required artifacts are persisted and agree; the report."""
    report, checkpoint = report_of(output), checkpoint_of(output)
    assert report["run_id"] == checkpoint["run_id"]
    assert report["current_state"] == checkpoint["current_state"]
    return report


# Quickstart: deterministic dry-run


def test_dry_run_quickstart(tmp_path: Path) -> None:
    """The dry-run command reaches done, with both artifacts, all gates passed, nothing blocked."""
    ended = typed(DRY_RUN, tmp_path)
    assert ended.code == 0
    assert ended.stdout.startswith("done: ")
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "done"
    assert report["execution_mode"] == "run"
    assert report["closure_ready"] is True
    assert report["exit_code"] == 0
    assert decisions(report) == GATES_PASSED
    assert report["blocked_reason_codes"] == []
    assert statuses(report) == [("manager", "success"), ("executor", "success")]
    for execution in report["stage_executions"]:
        assert execution["command"] == "/bin/sh"
        assert execution["args"] == ["-c", "exit 0"]
        assert execution["exit_code"] == 0
        assert execution["error"] is None
        assert execution["missing_artifacts"] == execution["malformed_artifacts"] == []
        assert execution["idempotency_key"] == f"{report['run_id']}:{execution['stage']}:1"


def test_dry_run_has_no_side_effects(tmp_path: Path) -> None:
    """A dry run writes below OUT and nowhere else, private state included."""
    typed("true", tmp_path)
    before = tree_of(tmp_path)
    assert typed(DRY_RUN, tmp_path).code == 0
    assert {
        name: data for name, data in tree_of(tmp_path).items() if not name.startswith("out/")
    } == before
    assert not (tmp_path / "state").exists()


def test_dry_run_is_deterministic(tmp_path: Path) -> None:
    """The same command twice, with time and run id fixed, leaves the same report byte by byte."""
    command = DRY_RUN.rstrip() + " --fixed-clock 2026-01-31T09:00:00Z --run-id dry-run"
    reports = []
    for _ in range(2):
        assert typed(f"rm -rf ./out; {command}", tmp_path).code == 0
        reports.append((tmp_path / "out" / REPORT).read_bytes())
    assert reports[0] == reports[1]


# Quickstart: CI-like orchestration


def test_ci_like_quickstart(tmp_path: Path) -> None:
    """The CI-like command runs both binaries with their arguments, artifacts and environment."""
    make_stand_ins(tmp_path)
    ended = typed(CI_LIKE, tmp_path)
    assert ended.code == 0, ended.stdout
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "done"
    assert report["closure_ready"] is True
    assert calls(tmp_path) == ["manager", "executor"]
    directory, *arguments = (tmp_path / "manager.argv").read_text().splitlines()
    assert Path(directory).samefile(tmp_path)
    assert arguments == [".", "./out/manager"]

    manager, executor = report["stage_executions"]
    assert Path(manager["command"]).samefile(tmp_path / "target/release/auto_manager_ai")
    assert Path(executor["command"]).samefile(tmp_path / "target/debug/autonomous_dev_ai")
    assert manager["args"] == [".", "./out/manager"]
    assert executor["args"] == []
    assert manager["env_keys"] == []
    assert executor["env_keys"] == list(CI_ENVIRONMENT)

    seen = seen_environment(tmp_path / "executor.env")
    assert CI_ENVIRONMENT.items() <= seen.items()
    assert not CI_ENVIRONMENT.keys() & seen_environment(tmp_path / "manager.env").keys()


def test_ci_like_artifacts_are_recorded(tmp_path: Path) -> None:
    """The manager's two artifacts are reported with the digest and size they have on disk."""
    make_stand_ins(tmp_path)
    assert typed(CI_LIKE, tmp_path).code == 0
    manager = report_of(tmp_path / "out")["stage_executions"][0]
    assert manager["missing_artifacts"] == manager["malformed_artifacts"] == []
    names = [Path(artifact["path"]).name for artifact in manager["artifacts"]]
    assert names == ["action_plan.json", "run_report.json"]
    for artifact in manager["artifacts"]:
        content = Path(artifact["path"]).read_bytes()
        assert artifact["sha256"] == hashlib.sha256(content).hexdigest()
        assert artifact["size_bytes"] == len(content)


def test_stages_see_which_run_they_belong_to(tmp_path: Path) -> None:
    """Each binary is told run, stage, attempt, output directory and idempotency key."""
    make_stand_ins(tmp_path)
    assert typed(CI_LIKE, tmp_path).code == 0
    run_id = report_of(tmp_path / "out")["run_id"]
    for stage in ("manager", "executor"):
        seen = seen_environment(tmp_path / f"{stage}.env")
        assert seen["ORCHESTRATOR_RUN_ID"] == run_id
        assert seen["ORCHESTRATOR_STAGE"] == stage
        assert seen["ORCHESTRATOR_ATTEMPT"] == "1"
        assert Path(seen["ORCHESTRATOR_OUTPUT_DIR"]).samefile(tmp_path / "out")
        assert seen["ORCHESTRATOR_IDEMPOTENCY_KEY"] == f"{run_id}:{stage}:1"


def test_ci_like_rerun_does_not_trust_old_artifacts(tmp_path: Path) -> None:
    """Artifacts of an earlier run do not satisfy a new one whose manager wrote none."""
    make_stand_ins(tmp_path)
    assert typed(CI_LIKE, tmp_path).code == 0
    make_program(tmp_path / "target/release/auto_manager_ai", "#!/bin/sh\nexit 0\n")
    assert typed(CI_LIKE, tmp_path).code == 1
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "failed"
    assert len(report["stage_executions"][0]["stale_artifacts"]) == 2
    assert calls(tmp_path) == ["manager", "executor"]


# Approval stays with the binaries


def test_approval_token_belongs_to_the_operator(tmp_path: Path) -> None:
    """An approval token reaches the binary as the operator set it, and is stored nowhere."""
    token = "approval-5f2c71d9e0"  # noqa: S105 - made up
    make_stand_ins(tmp_path)
    assert typed(CI_LIKE, tmp_path, APPROVAL_TOKEN=token).code == 0
    assert seen_environment(tmp_path / "executor.env")["APPROVAL_TOKEN"] == token
    kept = {**tree_of(tmp_path / "out"), **tree_of(tmp_path / "state")}
    assert [name for name, data in kept.items() if token.encode() in data] == []
    (tmp_path / "executor.env").unlink()
    assert typed(CI_LIKE, tmp_path).code == 0
    assert "APPROVAL_TOKEN" not in seen_environment(tmp_path / "executor.env")


def test_environment_values_are_in_no_file_of_the_output(tmp_path: Path) -> None:
    """What `--executor-env` gives is in no file of OUT, whether the stage succeeds or fails."""
    make_stand_ins(tmp_path)
    for ending in ("exit 0", "exit 1"):
        make_program(
            tmp_path / "target/debug/autonomous_dev_ai", f"{EXECUTOR_STAND_IN}\n{ending}\n"
        )
        typed(CI_LIKE, tmp_path)
        files = tree_of(tmp_path / "out").items()
        assert [name for name, data in files if b"orchestrator_v1" in data] == []


# Resume operation


def test_resume_of_a_done_run_skips_everything(tmp_path: Path) -> None:
    """`./out --resume` after done starts nothing and records both stages as skipped."""
    make_stand_ins(tmp_path)
    assert typed(CI_LIKE, tmp_path).code == 0
    ended = typed(RESUME, tmp_path)
    assert ended.code == 0
    assert calls(tmp_path) == ["manager", "executor"]
    report = assert_required_artifacts(tmp_path / "out")
    assert report["execution_mode"] == "resume"
    assert report["terminal_state"] == "done"
    assert report["closure_ready"] is True
    assert statuses(report) == [("manager", "skipped"), ("executor", "skipped")]
    assert decisions(report) == GATES_PASSED
    assert all("attempt 1" in one["reason"] for one in report["stage_executions"])
    (earlier,) = report["earlier_invocations"]
    assert statuses(earlier) == [("manager", "success"), ("executor", "success")]


def test_resume_runs_only_what_is_not_complete(tmp_path: Path) -> None:
    """`./out --resume` alone skips the completed manager and runs the executor as configured."""
    make_stand_ins(tmp_path)
    executor = tmp_path / "target/debug/autonomous_dev_ai"
    make_program(executor, "#!/bin/sh\nexit 9\n")
    assert typed(CI_LIKE, tmp_path).code == 1
    first = report_of(tmp_path / "out")
    make_program(executor, EXECUTOR_STAND_IN)
    assert typed(RESUME, tmp_path).code == 0
    report = assert_required_artifacts(tmp_path / "out")
    assert calls(tmp_path) == ["manager", "executor"]
    assert statuses(report) == [("manager", "skipped"), ("executor", "success")]
    assert report["run_id"] == first["run_id"]
    again, before = report["stage_executions"][1], first["stage_executions"][1]
    assert again["attempt"] == 2
    assert again["idempotency_key"] == before["idempotency_key"]
    assert CI_ENVIRONMENT.items() <= seen_environment(tmp_path / "executor.env").items()


def test_resume_from_another_directory(tmp_path: Path) -> None:
    """Relative paths keep their meaning when the resume is typed somewhere else."""
    make_stand_ins(tmp_path)
    executor = tmp_path / "target/debug/autonomous_dev_ai"
    make_program(executor, "#!/bin/sh\nexit 9\n")
    assert typed(CI_LIKE, tmp_path).code == 1
    make_program(executor, EXECUTOR_STAND_IN)
    (tmp_path / "elsewhere").mkdir()
    command = "cd elsewhere && fsm-orchestrator ../out --resume"
    ended = typed(command, tmp_path)
    assert ended.code == 0, ended.stdout
    assert report_of(tmp_path / "out")["terminal_state"] == "done"
    assert list((tmp_path / "elsewhere").iterdir()) == []


# Terminal state blocked

REASON_CODES = {
    "policy": "GATE_POLICY_DENIED_OR_UNKNOWN",
    "ci": "GATE_CI_NOT_SUCCESS",
    "review": "GATE_REVIEW_NOT_APPROVED",
}
PASSING_VALUES = {"policy": "allow", "ci": "success", "review": "approved"}


def gate_options(values: Mapping[str, str | None]) -> list[str]:
    """Gate options for the values that are given."""
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
    """One missing or non-pass gate blocks the run before anything starts, with its reason code."""
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
    """No gate hides another: with no signal at all, three codes are given in gate order."""
    assert orchestrate("./out", *stages(), cwd=tmp_path).code == 3
    report = report_of(tmp_path / "out")
    assert decisions(report) == [
        ("policy", "unknown", False, REASON_CODES["policy"]),
        ("ci", "missing", False, REASON_CODES["ci"]),
        ("review", "missing", False, REASON_CODES["review"]),
    ]
    assert report["blocked_reason_codes"] == list(REASON_CODES.values())


def test_blocked_is_remedied_by_resume_with_the_signal(tmp_path: Path) -> None:
    """A blocked run stays blocked on a bare resume, and goes on when the signal is given."""
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
    """A cause of failure: how the manager's tool is made wrong, and what is then said of it."""

    make: Callable[[Path], object]
    status: str
    error: str
    exit_code: int | None = None
    signal: str | None = None
    missing: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()


def tool(text: str, *, mode: int = 0o755) -> Callable[[Path], object]:
    """A maker of a tool with this text."""
    return lambda path: make_program(path, text, mode=mode)


CAUSES = {
    "absent": Cause(lambda _: None, "spawn_failed", r"/tool does not exist"),
    "directory": Cause(Path.mkdir, "spawn_failed", r"directory.*/tool"),
    "not executable": Cause(tool(GOOD_TOOL, mode=0o644), "spawn_failed", r"execut.*/tool"),
    "bad interpreter": Cause(tool("#!/nowhere/sh\n"), "spawn_failed", r"/tool.*interpreter"),
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


@pytest.mark.parametrize("name", list(CAUSES))
def test_failed_says_why_and_is_remedied_by_resume(tmp_path: Path, name: str) -> None:
    """A failing stage ends in failed, says why in its `error`, and a resume goes on when mended."""
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
    """Giving a corrected `--manager-bin` with the resume is enough."""
    make_program(tmp_path / "tool", GOOD_TOOL)
    wrong = [word.replace("./tool", "./tol") for word in TOOL_RUN]
    assert orchestrate("./out", *wrong, cwd=tmp_path).code == 1
    ended = typed(
        f"{RESUME} --manager-bin ./tool --manager-expected-artifact ./plan.json", tmp_path
    )
    assert ended.code == 0, ended.stderr
    assert report_of(tmp_path / "out")["terminal_state"] == "done"


def test_checkpoint_persistence_failure(tmp_path: Path) -> None:
    """A checkpoint that cannot be written fails the run before anything starts, path named."""
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
    """A stage that outlives `--timeout-ms` ends in timeout, and a resume with more time goes on."""
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
    assert "150 ms" in execution["error"]
    assert "--manager-timeout-ms" in ended.stdout
    assert not (tmp_path / "executed").exists()

    (tmp_path / "may_end").touch()
    assert typed(f"{RESUME} --timeout-ms 50000", tmp_path).code == 0
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "done"
    assert spawned(report) == ["manager", "executor"]


# Closure criteria


def test_done_run_whose_artifact_is_gone_may_not_close(tmp_path: Path) -> None:
    """An artifact that vanished after done takes closure_ready away, and the exit code says so."""
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
    """Without its checkpoint a run that was done is refused, and its report no longer says done."""
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
    """The report of a done run that was lost is back after a resume."""
    assert typed(DRY_RUN, tmp_path).code == 0
    (tmp_path / "out" / REPORT).unlink()
    assert typed(RESUME, tmp_path).code == 0
    report = report_of(tmp_path / "out")
    assert report["terminal_state"] == "done"
    assert report["closure_ready"] is True


def test_report_is_plain_json_with_the_fields_of_the_runbook(tmp_path: Path) -> None:
    """The fields that supervision reads are there under the runbook's names."""
    assert typed(DRY_RUN, tmp_path).code == 0
    report = json.loads((tmp_path / "out" / REPORT).read_text())
    assert {
        "run_id",
        "terminal_state",
        "gate_decisions",
        "blocked_reason_codes",
        "stage_executions",
    } <= report.keys()
    assert {"gate", "status", "passed", "reason_code"} <= report["gate_decisions"][0].keys()
    assert {
        "stage",
        "idempotency_key",
        "command",
        "args",
        "env_keys",
        "duration_ms",
        "exit_code",
        "status",
        "error",
        "missing_artifacts",
        "malformed_artifacts",
    } <= report["stage_executions"][0].keys()
