"""The operator runbook as tests: its commands, typed as printed, and all of its promises.

The commands run in a real shell, with the program under its own name on PATH.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.command.runbook_cases import (
    CI_LIKE,
    DRY_RUN,
    EXECUTOR_STAND_IN,
    RESUME,
    assert_required_artifacts,
    calls,
    decisions,
    make_program,
    make_stand_ins,
    typed,
)
from tests.support.command import REPORT, report_of, statuses, tree_of

pytestmark = pytest.mark.one_in(1)

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


def seen_environment(path: Path) -> dict[str, str]:
    """Return the environment that a stand-in saw."""
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {key: value for key, _, value in pairs}


# Quickstart: deterministic dry-run


def test_dry_run_quickstart(tmp_path: Path) -> None:
    """The dry-run command reaches done with both artifacts, all gates passed, nothing blocked."""
    ended = typed(DRY_RUN, tmp_path)
    assert ended.code == 0
    assert ended.stdout.startswith("✓ done: ")
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
    """A dry run writes below OUT, and notes its files there in the private state."""
    typed("true", tmp_path)
    before = tree_of(tmp_path)
    assert typed(DRY_RUN, tmp_path).code == 0
    written = tree_of(tmp_path).keys() - before.keys()
    others = {name for name in written if not name.startswith(("out/", "state/"))}
    assert others == set()
    assert {name: data for name, data in tree_of(tmp_path).items() if name in before} == before
    private = {Path(name).parts[2] for name in written if name.startswith("state/")}
    assert {name.partition("-")[0] for name in private} == {"left", "record.key"}, private


def test_dry_run_is_deterministic(tmp_path: Path) -> None:
    """With time and run id fixed, the same command leaves the same report, byte by byte."""
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
    """Each binary gets run, stage, attempt, output directory and idempotency key."""
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
    """Artifacts of an earlier run do not satisfy a new one whose manager wrote none.

    Those in OUT have been archived with their run by then.
    """
    make_stand_ins(tmp_path)
    assert typed(CI_LIKE, tmp_path).code == 0
    make_program(tmp_path / "target/release/auto_manager_ai", "#!/bin/sh\nexit 0\n")
    assert typed(CI_LIKE, tmp_path).code == 1
    report = assert_required_artifacts(tmp_path / "out")
    assert report["terminal_state"] == "failed"
    assert len(report["stage_executions"][0]["missing_artifacts"]) == 2
    (archived,) = (tmp_path / "out" / "archive").iterdir()
    assert len(list((archived / "manager").iterdir())) == 2
    assert calls(tmp_path) == ["manager", "executor"]


# Approval stays with the binaries


def test_approval_token_belongs_to_the_operator(tmp_path: Path) -> None:
    """An approval token reaches the binary as the operator set it, and is not stored."""
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
    """The values of `--executor-env` are in no file of OUT, whether the stage succeeds or fails."""
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
    """Relative paths keep their meaning when the resume is typed elsewhere."""
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


def test_report_is_plain_json_with_the_fields_of_the_runbook(tmp_path: Path) -> None:
    """The fields that supervision reads have the runbook's names."""
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
