"""Settings given on a resume, for stages that still have to run and for completed ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command.resume_cases import (
    EXECUTOR_WHEN_READY,
    MANAGER,
    PLAN,
    PLANNING,
    half_done,
    ran,
    refused,
)
from tests.support.command import (
    PASSING,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    spawned,
    stages,
    statuses,
)
from tests.support.copies import own_copy

DROPPING = "echo executor >> trace; test -e careful || rm -f plan.json"


def unclosed(directory: Path) -> Path:
    """Make a run whose stages all completed, and that could not close, for the plan is gone."""
    given = (*PASSING, *stages(PLANNING, DROPPING), *PLAN)
    assert orchestrate("out", *given, cwd=directory).code == 1
    assert statuses(report_of(directory / "out"))[:2] == [
        ("manager", "success"),
        ("executor", "success"),
    ]
    return directory / "out"


def execution_of(report: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return the last execution of a stage in a report."""
    executions = [one for one in report["stage_executions"] if one["stage"] == stage]
    found: dict[str, Any] = executions[-1]
    return found


# -- settings given now ---------------------------------------------------------------------


def test_new_settings_count_for_a_stage_that_is_still_to_run(tmp_path: Path) -> None:
    """Lists are replaced whole, the environment by key, other settings singly; the rest stays."""
    (tmp_path / "there").mkdir()
    fails = 'echo "$1" > first.txt; exit 1'
    given = (
        *(*PASSING, *shell("manager", MANAGER), *shell("executor", fails)),
        *("--executor-arg", "name", "--executor-arg", "old argument"),
        *("--executor-env", "KEPT=old kept", "--executor-env", "CHANGED=old changed"),
        *("--executor-expected-artifact", "one.txt", "--executor-expected-artifact", "two.txt"),
        *("--executor-timeout-ms", "21000", "--timeout-ms", "22000", "--kill-grace-ms", "1500"),
    )
    assert orchestrate("out", *given, cwd=tmp_path).code == 1
    assert (tmp_path / "first.txt").read_text() == "old argument\n"

    script = 'echo "$# $KEPT, $CHANGED, $NEW" > three.txt'
    now = (
        *("--executor-arg", "-c", "--executor-arg", script, "--executor-cwd", "there"),
        *("--executor-env", "CHANGED=new changed", "--executor-env", "NEW=new"),
        *("--executor-expected-artifact", "there/three.txt", "--timeout-ms", "23000"),
    )
    assert orchestrate("out", "--resume", *now, cwd=tmp_path).code == 0

    assert (tmp_path / "there/three.txt").read_text() == "0 old kept, new changed, new\n"
    executed = execution_of(report_of(tmp_path / "out"), "executor")
    assert (executed["command"], executed["args"]) == ("/bin/sh", ["-c", script])
    assert executed["env_keys"] == ["KEPT", "CHANGED", "NEW"]
    assert executed["cwd"] == str(tmp_path / "there")
    checkpoint = checkpoint_of(tmp_path / "out")
    kept = checkpoint["stages"]["executor"]
    assert kept["expected_artifacts"] == [str(tmp_path / "there/three.txt")]
    assert (kept["timeout_ms"], checkpoint["timeout_ms"]) == (21000, 23000)
    assert checkpoint["kill_grace_ms"] == 1500


def test_a_binary_given_now_redeclares_its_stage_whole(tmp_path: Path) -> None:
    """`--<stage>-bin` resets arguments, environment, artifacts, directory and timeout."""
    (tmp_path / "there").mkdir()
    given = (
        *(*PASSING, *shell("executor", "exit 1"), "--executor-env", "OLD=old value"),
        *("--executor-expected-artifact", "never.txt", "--executor-cwd", "there"),
        *("--executor-timeout-ms", "21000", "--executor-allow-stale"),
    )
    assert orchestrate("out", *given, cwd=tmp_path).code == 1

    assert orchestrate("out", "--resume", "--executor-bin", "true", cwd=tmp_path).code == 0

    executed = execution_of(report_of(tmp_path / "out"), "executor")
    assert (executed["command"], executed["args"], executed["env_keys"]) == ("true", [], [])
    assert (executed["cwd"], executed["artifacts"]) == (str(tmp_path), [])
    kept = checkpoint_of(tmp_path / "out")["stages"]["executor"]
    assert (kept["timeout_ms"], kept["allow_stale"], kept["expected_artifacts"]) == (
        None,
        False,
        [],
    )


def test_a_stage_that_never_had_a_binary_needs_one_before_settings(tmp_path: Path) -> None:
    """Settings for a stage without a binary are refused; with one it runs on the resume."""
    given = (*PASSING, *shell("manager", "echo manager >> trace; test -e ready"))
    assert orchestrate("out", *given, cwd=tmp_path).code == 1
    (tmp_path / "ready").touch()

    message = refused("out", "--resume", "--executor-arg", "x", cwd=tmp_path)
    assert "--executor-bin" in message
    given_now = shell("executor", "echo executor >> trace")
    assert orchestrate("out", "--resume", *given_now, cwd=tmp_path).code == 0
    assert ran(tmp_path) == ["manager", "manager", "executor"]


# -- completed stages whose settings changed ------------------------------------------------


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (("--manager-bin", "/bin/false"), ("command", "/bin/sh", "/bin/false")),
        (("--manager-arg", "other"), ("args", MANAGER, "other")),
        (("--manager-env", "ADDED=value"), ("environment", "ADDED")),
        (("--manager-cwd", "there"), ("cwd", "there")),
        (("--manager-expected-artifact", "x.json"), ("expected artifacts", "x.json")),
    ],
    ids=["command", "args", "env", "cwd", "artifacts"],
)
def test_each_change_of_a_completed_stage_is_refused(
    half_done_run: Path, tmp_path: Path, options: tuple[str, ...], shown: tuple[str, ...]
) -> None:
    """A completed stage is not skipped under other settings; the message shows old and new."""
    own_copy(half_done_run / "out", tmp_path / "out")

    message = refused("out", "--resume", *options, cwd=tmp_path, untouched=half_done_run)

    for words in ("manager", "attempt 1", "--on-changed-stage", *shown):
        assert words in message


def test_all_differences_of_all_completed_stages_are_shown(tmp_path: Path) -> None:
    """One refusal names everything that differs: each stage, each setting, each artifact."""
    unclosed(tmp_path)
    options = (
        *("--manager-bin", "/bin/false", "--manager-arg", "new argument"),
        *("--manager-env", "ADDED=value", "--manager-cwd", "there"),
        *("--manager-expected-artifact", "other.json", "--executor-arg", "executor argument"),
    )

    message = refused("out", "--resume", *options, cwd=tmp_path)

    manager, executor = message.split("executor (completed by attempt 1)")
    for words in ("/bin/false", "new argument", "ADDED", "there", "other.json", "plan.json"):
        assert words in manager
    assert "executor argument" in executor
    assert refused("plan", "out", "--resume", *options, cwd=tmp_path) == message


def test_the_same_settings_repeated_are_no_change(tmp_path: Path) -> None:
    """The first command line with `--resume` added skips completed stages.

    Neither timeouts nor the content of a binary at the same path are compared.
    """
    tool = tmp_path / "tool.sh"
    tool.write_text("#!/bin/sh\necho manager >> trace; echo '{}' > plan.json\n")
    tool.chmod(0o755)
    given = (
        *PASSING,
        *("--manager-bin", "./tool.sh", "--manager-arg", "--", "--manager-arg", ""),
        *("--manager-env", "GREETING=hello there", *PLAN, "--manager-cwd", "."),
        *shell("executor", EXECUTOR_WHEN_READY),
    )
    assert orchestrate("out", *given, cwd=tmp_path).code == 1
    tool.write_text("#!/bin/sh\necho another >> trace\n")
    (tmp_path / "ready").touch()

    ended = orchestrate("out", "--resume", *given, "--manager-timeout-ms", "9000", cwd=tmp_path)

    assert ended.code == 0
    assert ran(tmp_path) == ["manager", "executor", "executor"]
    assert report_of(tmp_path / "out")["warnings"] == []


def test_keep_skips_a_changed_stage_as_what_it_was_and_notes_it(tmp_path: Path) -> None:
    """A kept stage is reported with its completed settings, and the change is a warning."""
    output = half_done(tmp_path)
    changed = ("--manager-bin", "/bin/false", "--on-changed-stage", "keep")

    assert orchestrate("out", "--resume", *changed, cwd=tmp_path).code == 1

    report = report_of(output)
    assert statuses(report) == [("manager", "skipped"), ("executor", "failed")]
    skipped = report["stage_executions"][0]
    assert (skipped["command"], skipped["args"]) == ("/bin/sh", ["-c", MANAGER])
    assert any("/bin/false" in warning for warning in report["warnings"])
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert report_of(output)["warnings"] == []


def test_rerun_of_changed_stages_runs_them_and_all_after_them(tmp_path: Path) -> None:
    """`--on-changed-stage rerun` runs a changed stage with its new settings, and all later ones."""
    output = unclosed(tmp_path)
    (tmp_path / "careful").touch()
    script = "echo changed >> trace; echo '{}' > plan.json"
    changed = ("--manager-arg", "-c", "--manager-arg", script, "--on-changed-stage", "rerun")

    assert orchestrate("out", "--resume", *changed, cwd=tmp_path).code == 0

    report = report_of(output)
    assert ran(tmp_path) == ["manager", "executor", "changed", "executor"]
    assert [
        (one["stage"], one["status"], one["attempt"]) for one in report["stage_executions"]
    ] == [
        ("manager", "success", 2),
        ("executor", "success", 2),
    ]
    assert report["stage_executions"][0]["args"] == ["-c", script]


def test_rerun_of_a_changed_stage_leaves_the_stages_before_it(tmp_path: Path) -> None:
    """Only the changed stage and those after it run again."""
    unclosed(tmp_path)
    (tmp_path / "plan.json").write_text("{}\n")
    changed = ("--executor-arg", "-c", "--executor-arg", "exit 0", "--on-changed-stage", "rerun")
    assert orchestrate("out", "--resume", *changed, cwd=tmp_path).code == 0
    assert statuses(report_of(tmp_path / "out")) == [
        ("manager", "skipped"),
        ("executor", "success"),
    ]


@pytest.mark.parametrize(
    ("stage", "expected"),
    [("manager", ["manager", "executor"]), ("executor", ["executor"])],
)
def test_rerun_by_name_runs_the_stage_and_all_after_it(
    tmp_path: Path, stage: str, expected: list[str]
) -> None:
    """`--rerun STAGE` runs a completed stage and all later ones again, and no earlier one."""
    output = unclosed(tmp_path)
    (tmp_path / "plan.json").write_text("{}\n")
    (tmp_path / "careful").touch()

    assert orchestrate("out", "--resume", "--rerun", stage, cwd=tmp_path).code == 0

    assert ran(tmp_path) == ["manager", "executor", *expected]
    report = report_of(output)
    assert spawned(report) == expected
    assert {one["attempt"] for one in report["stage_executions"] if one["exit_code"] == 0} == {2}


def test_a_resume_of_completed_stages_runs_none_of_them_and_closes(tmp_path: Path) -> None:
    """Without a rerun nothing runs: the run closes once its artifact is back."""
    output = unclosed(tmp_path)
    (tmp_path / "plan.json").write_text("{}\n")
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert ran(tmp_path) == ["manager", "executor"]
    assert statuses(report_of(output)) == [("manager", "skipped"), ("executor", "skipped")]


def test_rerun_of_an_unknown_stage_is_refused(half_done_run: Path, tmp_path: Path) -> None:
    """A stage that the lifecycle does not have is named, with the existing ones."""
    own_copy(half_done_run / "out", tmp_path / "out")
    message = refused("out", "--resume", "--rerun", "reviewer", cwd=tmp_path)
    for name in ("reviewer", "manager", "executor"):
        assert name in message


@pytest.mark.parametrize(
    "options", [("--rerun", "manager"), ("--on-changed-stage", "keep")], ids=["rerun", "keep"]
)
def test_a_new_run_refuses_what_speaks_of_completed_stages(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """A new run has no completed stage: the option is refused, and no directory is made."""
    message = refused("out", *PASSING, *stages(), *options, cwd=tmp_path)
    assert options[0] in message
    assert "--resume" in message


@pytest.mark.parametrize(
    "spoil",
    [Path.unlink, lambda path: path.write_text("[1,]")],
    ids=["gone", "broken"],
)
def test_a_wrong_artifact_of_a_completed_stage_is_refused_until_it_is_mended(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    """`keep` resumes but cannot close the run; `rerun` makes the artifact again."""
    given = (*PASSING, *stages(PLANNING, EXECUTOR_WHEN_READY), *PLAN)
    orchestrate("out", *given, cwd=tmp_path)
    (tmp_path / "ready").touch()
    spoil(tmp_path / "plan.json")
    assert str(tmp_path / "plan.json") in refused("out", "--resume", cwd=tmp_path)

    kept = orchestrate("out", "--resume", "--on-changed-stage", "keep", cwd=tmp_path)

    report = report_of(tmp_path / "out")
    assert (kept.code, report["terminal_state"], report["closure_ready"]) == (1, "failed", False)
    assert ran(tmp_path) == ["manager", "executor", "executor"]
    assert statuses(report)[:2] == [("manager", "skipped"), ("executor", "success")]
    verification = report["stage_executions"][2]
    assert verification["command"] == "closure.verify"
    named = verification["missing_artifacts"] + verification["malformed_artifacts"]
    assert named == [str(tmp_path / "plan.json")]
    assert str(tmp_path / "plan.json") in verification["error"]

    assert orchestrate("out", "--resume", "--on-changed-stage", "rerun", cwd=tmp_path).code == 0
    assert ran(tmp_path)[3:] == ["manager", "executor"]
    assert report_of(tmp_path / "out")["closure_ready"] is True
