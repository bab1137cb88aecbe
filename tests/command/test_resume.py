from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.lifecycle.source import shipped_text
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    PASSING,
    REPORT,
    Ended,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    spawned,
    stages,
    statuses,
    tree_of,
)

MANAGER = "echo manager >> trace"
EXECUTOR_WHEN_READY = "echo executor >> trace; test -e ready"
PLANNING = "echo manager >> trace; echo '{}' > plan.json"
PLAN = ("--manager-expected-artifact", "plan.json")
DROPPING = "echo executor >> trace; test -e careful || rm -f plan.json"


def ran(directory: Path) -> list[str]:
    """The stages that really ran there, in order: each leaves its name in `trace`."""
    trace = directory / "trace"
    return trace.read_text().split() if trace.exists() else []


def half_done(directory: Path, *options: str) -> Path:
    """A run whose manager completed and whose executor failed, and fails until `ready` exists."""
    given = (*PASSING, *stages(MANAGER, EXECUTOR_WHEN_READY), *options)
    assert orchestrate("out", *given, cwd=directory).code == 1
    return directory / "out"


def unclosed(directory: Path) -> Path:
    """A run whose stages all completed, and that could not close: the plan is gone."""
    given = (*PASSING, *stages(PLANNING, DROPPING), *PLAN)
    assert orchestrate("out", *given, cwd=directory).code == 1
    assert statuses(report_of(directory / "out"))[:2] == [
        ("manager", "success"),
        ("executor", "success"),
    ]
    return directory / "out"


def finished(directory: Path, *options: str) -> Path:
    """A run that reached done, with an artifact that its manager left."""
    given = (*PASSING, *stages(PLANNING, "echo executor >> trace"), *PLAN, *options)
    assert orchestrate("out", *given, cwd=directory).code == 0
    return directory / "out"


def refused(*arguments: str, cwd: Path, untouched: Path | None = None) -> str:
    """What a refused request says; nothing was started and nothing written or made."""
    places = [cwd, *([untouched] if untouched else [])]
    before = [(tree_of(place), sorted(place.rglob("*"))) for place in places]
    ended = orchestrate(*arguments, cwd=cwd)
    assert (ended.code, ended.stdout) == (2, ""), ended
    assert [(tree_of(place), sorted(place.rglob("*"))) for place in places] == before
    return ended.stderr


def execution_of(report: dict[str, Any], stage: str) -> dict[str, Any]:
    """The last execution of a stage in a report."""
    executions = [one for one in report["stage_executions"] if one["stage"] == stage]
    found: dict[str, Any] = executions[-1]
    return found


@pytest.fixture(scope="module")
def half_done_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a half-done run, for tests that may not run anything: copy its `out`."""
    directory = tmp_path_factory.mktemp("half-done")
    half_done(directory)
    return directory


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a done run, for tests that may not run anything: copy its `out`."""
    directory = tmp_path_factory.mktemp("finished")
    finished(directory)
    return directory


# -- what a resume continues with -----------------------------------------------------------


def test_resume_alone_skips_what_is_complete_and_runs_the_rest(tmp_path: Path) -> None:
    """`--resume` alone runs what did not complete, and names the attempt behind each skip."""
    output = half_done(tmp_path, "--executor-env", "GREETING=hello there")
    (tmp_path / "ready").touch()

    ended = orchestrate("out", "--resume", cwd=tmp_path)

    report = report_of(output)
    assert (ended.code, report["terminal_state"], report["closure_ready"]) == (0, "done", True)
    assert statuses(report) == [("manager", "skipped"), ("executor", "success")]
    assert ran(tmp_path) == ["manager", "executor", "executor"]
    skipped, executed = report["stage_executions"]
    assert "attempt 1" in skipped["reason"]
    assert (skipped["attempt"], skipped["error"], skipped["exit_code"]) == (1, None, None)
    assert (executed["attempt"], executed["env_keys"]) == (2, ["GREETING"])
    assert report["execution_mode"] == "resume"
    assert [one["source"] for one in report["gate_decisions"]] == ["checkpoint"] * 3
    assert "attempt 1" in ended.stdout
    for name in ("manager.1", "executor.1", "executor.2"):
        assert (output / "logs" / f"{name}.stdout.log").exists()


def test_resume_works_from_another_directory(tmp_path: Path) -> None:
    """Relative binary, artifact, directory and OUT mean what they meant where the run began."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for directory in (home / "tools", home / "work", elsewhere):
        directory.mkdir(parents=True)
    tool = home / "tools" / "tool.sh"
    tool.write_text("#!/bin/sh\npwd > where.txt\ntest -e ../ready\n")
    tool.chmod(0o755)
    given = (
        *PASSING,
        *("--manager-bin", "./tools/tool.sh", "--manager-cwd", "work"),
        *("--manager-expected-artifact", "work/where.txt"),
        *("--executor-bin", "true"),
    )
    assert orchestrate("out", *given, cwd=home).code == 1
    (home / "ready").touch()
    assert orchestrate("../home/out", "--resume", cwd=elsewhere).code == 0

    report = report_of(home / "out")
    manager, executor = report["stage_executions"]
    assert (manager["command"], manager["cwd"]) == (str(tool), str(home / "work"))
    assert [one["path"] for one in manager["artifacts"]] == [str(home / "work" / "where.txt")]
    assert (executor["command"], executor["cwd"]) == ("true", str(home))
    assert list(elsewhere.iterdir()) == []


def own_lifecycle(path: Path, **replaced: str) -> Path:
    """The default lifecycle under another name, with words replaced."""
    text = shipped_text("governed_run").decode().replace('"governed_run"', '"own_run"')
    for old, new in replaced.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    path.write_text(text)
    return path


def test_resume_follows_the_lifecycle_that_the_checkpoint_holds(tmp_path: Path) -> None:
    """The lifecycle's file may be gone, and its stages' options exist all the same."""
    own = own_lifecycle(tmp_path / "own.toml", executor="second_fixer")
    given = (*PASSING, *shell("manager", MANAGER), *shell("second-fixer", "exit 1"))
    assert orchestrate("out", "--lifecycle", "own.toml", *given, cwd=tmp_path).code == 1
    own.unlink()

    options = ("--second-fixer-arg", "-c", "--second-fixer-arg", "exit 0")
    assert orchestrate("out", "--resume", *options, cwd=tmp_path).code == 0

    report = report_of(tmp_path / "out")
    assert report["lifecycle"]["name"] == "own_run"
    assert statuses(report) == [("manager", "skipped"), ("second_fixer", "success")]


def test_resume_refuses_another_lifecycle(tmp_path: Path) -> None:
    """A run cannot change its relation; naming the one it has is no contradiction."""
    half_done(tmp_path)
    own_lifecycle(tmp_path / "own.toml")

    message = refused("out", "--resume", "--lifecycle", "own.toml", cwd=tmp_path)

    assert "own.toml" in message
    assert "governed_run" in message
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", "--lifecycle", "governed_run", cwd=tmp_path).code == 0


def test_resume_refuses_another_run_id(half_done_run: Path, tmp_path: Path) -> None:
    """A run keeps its id: another is refused, and both are named."""
    shutil.copytree(half_done_run / "out", tmp_path / "out")
    kept = report_of(tmp_path / "out")["run_id"]

    message = refused("out", "--resume", "--run-id", "mine", cwd=tmp_path, untouched=half_done_run)

    assert "mine" in message
    assert kept in message
    plan = orchestrate("plan", "out", "--resume", "--run-id", kept, "--json", cwd=tmp_path)
    assert (plan.code, json.loads(plan.stdout)["run_id"]) == (0, kept)


@pytest.mark.parametrize(
    ("options", "code", "status"),
    [
        (shell("manager", "exit 7"), 1, "failed"),
        (shell("manager", "kill -SEGV $$"), 1, "failed"),
        (("--manager-bin", "./not-there"), 1, "spawn_failed"),
        (("--manager-bin", "true", *PLAN), 1, "artifact_missing"),
        ((*shell("manager", "exec sleep 60"), "--manager-timeout-ms", "50"), 124, "timeout"),
    ],
    ids=["non-zero", "signal", "not spawned", "artifact", "timeout"],
)
def test_a_stage_that_did_not_succeed_is_never_counted_as_complete(
    tmp_path: Path, options: tuple[str, ...], code: int, status: str
) -> None:
    """However a stage failed, a resume runs it again, under the next number, before the others."""
    given = (*PASSING, *options, *shell("executor", "echo executor >> trace"))
    assert orchestrate("out", *given, cwd=tmp_path).code == code

    assert orchestrate("out", "--resume", cwd=tmp_path).code == code

    report = report_of(tmp_path / "out")
    assert statuses(report) == [("manager", status)]
    assert report["stage_executions"][0]["attempt"] == 2
    assert ran(tmp_path) == []


def test_attempts_are_numbered_over_all_invocations_and_share_their_key(tmp_path: Path) -> None:
    """Each attempt gets the next number and its own logs; the idempotency key stays."""
    script = 'echo "$ORCHESTRATOR_ATTEMPT $ORCHESTRATOR_IDEMPOTENCY_KEY" >> seen; exit 1'
    given = (*PASSING, *shell("manager", script))
    orchestrate("out", *given, cwd=tmp_path)
    for _ in range(2):
        assert orchestrate("out", "--resume", cwd=tmp_path).code == 1

    lines = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert [number for number, _ in lines] == ["1", "2", "3"]
    report = report_of(tmp_path / "out")
    assert {key for _, key in lines} == {report["stage_executions"][0]["idempotency_key"]}
    names = {path.name for path in (tmp_path / "out" / "logs").iterdir()}
    assert names == {
        f"manager.{number}.{kind}.log" for number in (1, 2, 3) for kind in ("stdout", "stderr")
    }


def test_kept_gate_signals_are_overlaid_by_those_given_now(tmp_path: Path) -> None:
    """A blocked run stays blocked until the refusing signal is given anew; the others are kept."""
    given = ("--policy-status", "allow", "--ci-status", "pending", "--review-status", "approved")
    assert orchestrate("out", *given, *stages(MANAGER, MANAGER), cwd=tmp_path).code == 3
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 3
    assert report_of(tmp_path / "out")["blocked_reason_codes"] == ["GATE_CI_NOT_SUCCESS"]
    assert ran(tmp_path) == []

    assert orchestrate("out", "--resume", "--ci-status", "success", cwd=tmp_path).code == 0

    decisions = report_of(tmp_path / "out")["gate_decisions"]
    assert [(one["gate"], one["status"], one["source"]) for one in decisions] == [
        ("policy", "allow", "checkpoint"),
        ("ci", "success", "flag"),
        ("review", "approved", "checkpoint"),
    ]


def test_a_kept_signal_can_be_tightened_and_nothing_runs(tmp_path: Path) -> None:
    """A signal given now replaces the kept one also when it refuses."""
    output = half_done(tmp_path)
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", "--policy-status", "deny", cwd=tmp_path).code == 3
    assert ran(tmp_path) == ["manager", "executor"]
    assert report_of(output)["stage_executions"] == []


# -- settings given now ---------------------------------------------------------------------


def test_new_settings_count_for_a_stage_that_is_still_to_run(tmp_path: Path) -> None:
    """Lists are replaced whole, environment by key, the rest one by one; the others stay."""
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
    """`--<stage>-bin` forgets arguments, environment, artifacts, directory and timeout."""
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
    shutil.copytree(half_done_run / "out", tmp_path / "out")

    message = refused("out", "--resume", *options, cwd=tmp_path, untouched=half_done_run)

    for words in ("manager", "attempt 1", "--on-changed-stage", *shown):
        assert words in message


def test_all_differences_of_all_completed_stages_are_shown(tmp_path: Path) -> None:
    """One refusal tells everything that differs: each stage, each setting, each artifact."""
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
    """The first command line with `--resume` added skips what is complete.

    Neither time-outs nor the content of a binary at the same path are compared.
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
    """A kept stage is reported with what it completed with, and the change is a warning."""
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
    """`--on-changed-stage rerun` runs a changed stage with its new settings, and what follows."""
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
    (tmp_path / "plan.json").write_text("{}")
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
    """`--rerun STAGE` runs a completed stage again, and all after it, and none before it."""
    output = unclosed(tmp_path)
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "careful").touch()

    assert orchestrate("out", "--resume", "--rerun", stage, cwd=tmp_path).code == 0

    assert ran(tmp_path) == ["manager", "executor", *expected]
    report = report_of(output)
    assert spawned(report) == expected
    assert {one["attempt"] for one in report["stage_executions"] if one["exit_code"] == 0} == {2}


def test_a_resume_of_completed_stages_runs_none_of_them_and_closes(tmp_path: Path) -> None:
    """Without a rerun nothing runs: the run closes once its artifact is back."""
    output = unclosed(tmp_path)
    (tmp_path / "plan.json").write_text("{}")
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert ran(tmp_path) == ["manager", "executor"]
    assert statuses(report_of(output)) == [("manager", "skipped"), ("executor", "skipped")]


def test_rerun_of_an_unknown_stage_is_refused(half_done_run: Path, tmp_path: Path) -> None:
    """A stage that the lifecycle does not have is named, with those it has."""
    shutil.copytree(half_done_run / "out", tmp_path / "out")
    message = refused("out", "--resume", "--rerun", "reviewer", cwd=tmp_path)
    for name in ("reviewer", "manager", "executor"):
        assert name in message


@pytest.mark.parametrize(
    "options", [("--rerun", "manager"), ("--on-changed-stage", "keep")], ids=["rerun", "keep"]
)
def test_a_new_run_refuses_what_speaks_of_completed_stages(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """A new run has no completed stage: refused, and no directory is made."""
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
    """Refused; `keep` goes on but the run cannot close; `rerun` makes the artifact anew."""
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


# -- after done -----------------------------------------------------------------------------


def test_resuming_a_done_run_runs_nothing_and_keeps_all_evidence(tmp_path: Path) -> None:
    """Exit 0, skips recorded, nothing spawned; the report of the run itself is kept whole."""
    output = finished(tmp_path)
    before = report_of(output)
    logs = tree_of(output / "logs")
    (output / REPORT).unlink()

    ended = orchestrate("out", "--resume", *PASSING, cwd=tmp_path)

    report = report_of(output)
    assert (ended.code, report["exit_code"], report["terminal_state"]) == (0, 0, "done")
    assert report["closure_ready"] is True
    assert ran(tmp_path) == ["manager", "executor"]
    assert statuses(report) == [("manager", "skipped"), ("executor", "skipped")]
    assert all("attempt 1" in one["reason"] for one in report["stage_executions"])
    assert report["gate_decisions"] == before["gate_decisions"]
    assert report["run_id"] == before["run_id"]
    (earlier,) = report["earlier_invocations"]
    for field in ("stage_executions", "transitions", "gate_decisions", "finished_at"):
        assert earlier[field] == before[field]
    assert tree_of(output / "logs") == logs
    assert not (output / "archive").exists()
    assert len(checkpoint_of(output)["invocations"]) == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--ci-status", "failure"),
        ("--manager-bin", "/bin/false"),
        ("--executor-arg", "other"),
        ("--manager-env", "ADDED=value"),
        ("--manager-cwd", "there"),
        ("--executor-expected-artifact", "other.json"),
        ("--rerun", "manager"),
        ("--on-changed-stage", "rerun"),
        ("--on-changed-stage", "keep", "--review-status", "changes_requested"),
        ("--on-changed-stage", "keep", "--rerun", "executor"),
    ],
    ids=" ".join,
)
def test_contradicting_a_done_run_is_refused(
    finished_run: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """What a done run did stands: another gate value, another command or a rerun is refused."""
    shutil.copytree(finished_run / "out", tmp_path / "out")
    message = refused("out", "--resume", *options, cwd=tmp_path, untouched=finished_run)
    assert "done" in message


def test_keep_lifts_the_refusal_of_other_commands_after_done(tmp_path: Path) -> None:
    """With `keep` a done run stays as it is, whatever commands were given."""
    output = finished(tmp_path)
    given = (*stages("echo new >> trace", "exit 1"), "--on-changed-stage", "keep")

    assert orchestrate("out", "--resume", *given, cwd=tmp_path).code == 0

    report = report_of(output)
    assert (ran(tmp_path), report["terminal_state"]) == (["manager", "executor"], "done")
    assert report["stage_executions"][0]["args"] == ["-c", PLANNING]
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


def test_a_done_run_whose_artifact_is_gone_stays_done_but_is_not_ready(tmp_path: Path) -> None:
    """Still done, not closure-ready, exit 1, nothing spawned; ready again with the artifact."""
    output = finished(tmp_path)
    plan = (tmp_path / "plan.json").rename(tmp_path / "aside.json")

    ended = orchestrate("out", "--resume", cwd=tmp_path)

    report = report_of(output)
    assert (ended.code, report["exit_code"]) == (1, 1)
    assert (report["terminal_state"], report["closure_ready"]) == ("done", False)
    assert (report["current_state"], ran(tmp_path)) == ("done", ["manager", "executor"])
    assert str(tmp_path / "plan.json") in report["stage_executions"][-1]["error"]
    assert "plan.json" in ended.stdout
    plan.rename(tmp_path / "plan.json")
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert report_of(output)["closure_ready"] is True


def test_earlier_invocations_are_complete_after_many_resumes(tmp_path: Path) -> None:
    """Every report an invocation left is found again, field by field, in all later ones."""
    output = half_done(tmp_path)
    reports = [report_of(output)]
    last = (
        ("--ci-status", "missing"),
        ("--ci-status", "success", "--on-changed-stage", "keep", "--manager-arg", "x"),
        ("--rerun", "manager"),
        ("--executor-arg", "-c", "--executor-arg", "exit 0"),
        (),
    )
    codes = []
    for options in last:
        codes.append(orchestrate("out", "--resume", *options, cwd=tmp_path).code)
        reports.append(report_of(output))

    assert codes == [3, 1, 1, 0, 0]
    fields = (
        *("execution_mode", "version", "started_at", "finished_at", "exit_code"),
        *("gate_decisions", "transitions", "stage_executions", "warnings"),
    )
    earlier = reports[-1]["earlier_invocations"]
    assert [one["number"] for one in earlier] == [1, 2, 3, 4, 5]
    for found, report in zip(earlier, reports[:-1], strict=True):
        for field in fields:
            assert found[field] == report[field], field


# -- checkpoints that cannot be used --------------------------------------------------------


def assert_refused_as_failed(ended: Ended, output: Path, reason: str) -> None:
    """Exit 1; message and report name the checkpoint and the reason; nothing ran."""
    report = report_of(output)
    assert (ended.code, report["terminal_state"], report["closure_ready"]) == (1, "failed", False)
    assert (report["exit_code"], report["execution_mode"]) == (1, "resume")
    (execution,) = report["stage_executions"]
    assert (execution["command"], execution["exit_code"]) == ("checkpoint.load", None)
    for text in (execution["error"], ended.stderr):
        assert str(output / CHECKPOINT) in text
        assert reason in text


def test_a_resume_in_an_empty_directory_fails(tmp_path: Path) -> None:
    """There is nothing to resume: exit 1, a report that says so, nothing runs."""
    (tmp_path / "out").mkdir()
    ended = orchestrate("out", "--resume", *PASSING, *stages(MANAGER), cwd=tmp_path)
    assert_refused_as_failed(ended, tmp_path / "out", "does not exist")
    assert ran(tmp_path) == []
    assert not (tmp_path / "out" / CHECKPOINT).exists()


def test_a_resume_in_a_missing_directory_does_not_make_it(tmp_path: Path) -> None:
    """Exit 1 with the path named; a mistyped OUT is not made."""
    ended = orchestrate("typo/out", "--resume", *PASSING, *stages(MANAGER), cwd=tmp_path)
    assert ended.code == 1
    assert str(tmp_path / "typo" / "out" / CHECKPOINT) in ended.stderr
    assert list(tmp_path.iterdir()) == []


def forged_done(document: dict[str, Any]) -> bytes:
    """A checkpoint that claims a done which its history does not reach."""
    return json.dumps(document | {"current_state": "done"}).encode()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda _: b"", "empty"),
        (lambda document: json.dumps(document).encode()[:-200], "line 1"),
        (lambda _: b'{"terminal_state": "done"}', "not a checkpoint"),
        (lambda document: json.dumps(document | {"schema_version": 99}).encode(), "99"),
        (forged_done, "history ends in 'failed'"),
    ],
    ids=["empty", "cut", "foreign", "newer", "forged"],
)
def test_a_checkpoint_that_cannot_be_used_is_refused_and_left(
    half_done_run: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], bytes], reason: str
) -> None:
    """Exit 1 with file and reason; the file stays; the report it belied is archived."""
    output = shutil.copytree(half_done_run / "out", tmp_path / "out")
    report = report_of(output) | {"terminal_state": "done", "closure_ready": True}
    (output / REPORT).write_text(json.dumps(report))
    before = (output / REPORT).read_bytes()
    spoilt = spoil(checkpoint_of(output))
    (output / CHECKPOINT).write_bytes(spoilt)
    untouched = tree_of(half_done_run)

    ended = orchestrate("out", "--resume", *PASSING, cwd=tmp_path)

    assert_refused_as_failed(ended, output, reason)
    assert (output / CHECKPOINT).read_bytes() == spoilt
    assert before in tree_of(output / "archive").values()
    assert tree_of(half_done_run) == untouched


def test_a_run_whose_checkpoint_could_never_be_written_resumes_from_the_beginning(
    tmp_path: Path,
) -> None:
    """Nothing was spawned, and the report proves it: once the path is free, resume starts."""
    blocked = tmp_path / "out" / CHECKPOINT
    blocked.mkdir(parents=True)
    given = (*PASSING, *stages(MANAGER, "echo executor >> trace"))

    ended = orchestrate("out", *given, cwd=tmp_path)

    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"], ran(tmp_path)) == (1, "failed", [])
    (execution,) = report["stage_executions"]
    assert execution["command"] == "checkpoint.persist"
    assert str(blocked) in execution["error"]

    blocked.rmdir()
    assert orchestrate("out", "--resume", *given, cwd=tmp_path).code == 0
    report = report_of(tmp_path / "out")
    assert (report["execution_mode"], report["terminal_state"]) == ("resume", "done")
    assert statuses(report) == [("manager", "success"), ("executor", "success")]
    assert ran(tmp_path) == ["manager", "executor"]


def test_a_lost_checkpoint_of_a_run_that_did_run_is_not_started_anew(
    half_done_run: Path, tmp_path: Path
) -> None:
    """Where the report tells of a spawned stage, a missing checkpoint is never the beginning."""
    output = shutil.copytree(half_done_run / "out", tmp_path / "out")
    (output / CHECKPOINT).unlink()
    ended = orchestrate("out", "--resume", *PASSING, *stages(MANAGER), cwd=tmp_path)
    assert_refused_as_failed(ended, output, "does not exist")
    assert ran(tmp_path) == []


# -- an earlier run in the same directory ---------------------------------------------------


def run_files(directory: Path) -> dict[str, bytes]:
    """A run's own files, without lock and archive."""
    return {
        name: content
        for name, content in tree_of(directory).items()
        if name in {CHECKPOINT, REPORT, EVENTS} or name.startswith("logs/")
    }


def test_a_new_run_archives_the_earlier_one_whole(tmp_path: Path) -> None:
    """All files of the earlier run are moved, byte for byte; the new report is the new run's."""
    output = finished(tmp_path, "--run-id", "first")
    first = run_files(output)
    assert len(first) == 7

    assert orchestrate("out", "--run-id", "second", cwd=tmp_path).code == 3

    assert run_files(output / "archive" / "first") == first
    report = report_of(output)
    assert (report["run_id"], report["terminal_state"]) == ("second", "blocked")
    assert (report["earlier_invocations"], report["closure_ready"]) == ([], False)
    assert not (output / "logs").exists()
    second = run_files(output)
    assert orchestrate("out", "--run-id", "third", cwd=tmp_path).code == 3
    assert run_files(output / "archive" / "second") == second
    assert run_files(output / "archive" / "first") == first


def test_a_run_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    """Neither the current run's id nor an archived one's is given twice."""
    orchestrate("out", "--run-id", "first", cwd=tmp_path)
    assert "first" in refused("out", "--run-id", "first", *PASSING, *stages(), cwd=tmp_path)
    orchestrate("out", "--run-id", "second", cwd=tmp_path)
    assert "first" in refused("out", "--run-id", "first", *PASSING, *stages(), cwd=tmp_path)
    assert orchestrate("out", "--run-id", "third", cwd=tmp_path).code == 3


def test_a_refused_new_run_leaves_the_earlier_one_where_it_is(tmp_path: Path) -> None:
    """Only a run that starts archives: a usage error moves nothing."""
    half_done(tmp_path)
    refused("out", *PASSING, "--manager-arg", "without a binary", cwd=tmp_path)
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
