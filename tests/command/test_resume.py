"""A resume continues with the lifecycle, the attempts and the signals on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm_orchestrator.lifecycle.source import shipped_text
from tests.command.resume_cases import MANAGER, PLAN, half_done, ran, refused
from tests.support.command import PASSING, orchestrate, report_of, shell, stages, statuses
from tests.support.copies import own_copy

# -- lifecycle and stages -----------------------------------------------------------------------


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
    """Relative binary, artifact, directory and OUT mean the same as where the run began."""
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
    state = {"XDG_STATE_HOME": str(home / "state")}
    assert orchestrate("../home/out", "--resume", cwd=elsewhere, env=state).code == 0

    report = report_of(home / "out")
    manager, executor = report["stage_executions"]
    assert (manager["command"], manager["cwd"]) == (str(tool), str(home / "work"))
    assert [one["path"] for one in manager["artifacts"]] == [str(home / "work" / "where.txt")]
    assert (executor["command"], executor["cwd"]) == ("true", str(home))
    assert list(elsewhere.iterdir()) == []


def own_lifecycle(path: Path, **replaced: str) -> Path:
    """Write the default lifecycle under another name, with words replaced."""
    text = shipped_text("governed_run").decode().replace('"governed_run"', '"own_run"')
    for old, new in replaced.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    path.write_text(text)
    return path


def test_resume_follows_the_lifecycle_that_the_checkpoint_holds(tmp_path: Path) -> None:
    """The lifecycle's file may be gone: the options of its stages exist all the same."""
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
    """A run cannot change its relation; the name of its own is accepted."""
    half_done(tmp_path)
    own_lifecycle(tmp_path / "own.toml")

    message = refused("out", "--resume", "--lifecycle", "own.toml", cwd=tmp_path)

    assert "own.toml" in message
    assert "governed_run" in message
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", "--lifecycle", "governed_run", cwd=tmp_path).code == 0


def test_resume_refuses_another_run_id(half_done_run: Path, tmp_path: Path) -> None:
    """A run keeps its id: another one is refused, and both are named."""
    own_copy(half_done_run / "out", tmp_path / "out")
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
    """However a stage failed, a resume runs it again before the others, under the next number."""
    given = (*PASSING, *options, *shell("executor", "echo executor >> trace"))
    assert orchestrate("out", *given, cwd=tmp_path).code == code

    assert orchestrate("out", "--resume", cwd=tmp_path).code == code

    report = report_of(tmp_path / "out")
    assert statuses(report) == [("manager", status)]
    assert report["stage_executions"][0]["attempt"] == 2
    assert ran(tmp_path) == []


def test_attempts_are_numbered_over_all_invocations_and_share_their_key(tmp_path: Path) -> None:
    """Each attempt has the next number and its own logs, and the same idempotency key."""
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
    """A blocked run stays blocked until the refusing signal is given again; the others are kept."""
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
    """A signal given now replaces the kept one even if it refuses."""
    output = half_done(tmp_path)
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", "--policy-status", "deny", cwd=tmp_path).code == 3
    assert ran(tmp_path) == ["manager", "executor"]
    assert report_of(output)["stage_executions"] == []
