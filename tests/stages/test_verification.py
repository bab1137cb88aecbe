"""Commands verify the work of a stage: each way in which one can end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import Report, RunConfig, StageGiven, run
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.vocabulary import Ending, StageStatus
from tests.support.command import events_of

GATES: Final = {"policy": "allow", "ci": "success", "review": "approved"}
WORKS: Final = ("-c", "echo worked; echo done > made.txt")


def _run(place: Path, *verify: tuple[str, ...], **settings: Any) -> tuple[Report, StageExecution]:
    """Run the executor, verified by these commands; return the report and the executor's record."""
    given = {"bin": "sh", "args": WORKS, "cwd": str(place), "verify": verify, **settings}
    stages = {"manager": StageGiven(bin="true"), "executor": StageGiven(**given)}
    config = RunConfig(output_directory=place / "out", gates=GATES, stages=stages)
    report = run(config)
    return report, next(one for one in report.stage_executions if one.stage == "executor")


def _sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def test_work_counts_once_every_verification_has_exited_well(tmp_path: Path) -> None:
    """The commands run in order, after the artifacts were found good, each with separate logs."""
    verify = (_sh("cat made.txt; echo one >&2"), _sh("echo two; echo $ORCHESTRATOR_VERIFICATION"))
    report, executor = _run(tmp_path, *verify, expected_artifacts=(str(tmp_path / "made.txt"),))
    assert (report.exit_code, report.closure_ready) == (0, True)
    assert (executor.status, executor.ending) == (StageStatus.SUCCESS, Ending.EXITED)
    assert [one.words for one in executor.verifications] == list(verify)
    assert all(one.is_good and one.exit_code == 0 for one in executor.verifications)
    first, second = executor.verifications
    assert (first.stdout_tail, first.stderr_tail) == ("done", "one")
    assert (tmp_path / "out" / second.stdout_log).read_text() == "two\n2\n"
    assert second.stdout_log == "logs/executor.1.verify.2.stdout.log"
    assert (tmp_path / "out" / first.stderr_log).stat().st_mode & 0o777 == 0o600
    names = [one["event"] for one in events_of(tmp_path / "out") if one.get("stage") == "executor"]
    both = ["verification.started", "verification.ended"]
    assert names == ["attempt.begun", "stage.started", *both, *both, "stage.ended"]


@pytest.mark.parametrize(
    ("verify", "settings", "ending", "said"),
    [
        (_sh("echo bad; exit 3"), {}, Ending.EXITED, "exited with code 3"),
        (_sh("kill -9 $$"), {}, Ending.SIGNALED, "killed by SIGKILL (signal 9)"),
        (
            ("sleep", "60"),
            {"verify_timeout_ms": 150, "timeout_ms": 60_000},
            Ending.TIMED_OUT,
            "timed out after 150ms",
        ),
        (("./nowhere",), {}, Ending.NOT_SPAWNED, "could not be started: not found"),
        (_sh("sleep 60 & exit 0"), {}, Ending.EXITED, "exited with code 0, but left 1 process"),
        (
            _sh("while :; do echo x; done"),
            {"output_limit_bytes": 4096},
            Ending.OUTPUT_LIMIT,
            "printed more than 4KiB, its output limit",
        ),
        (
            ("sleep", "60"),
            {"idle_timeout_ms": 150},
            Ending.WENT_QUIET,
            "printed nothing for 150ms, its idle timeout",
        ),
    ],
    ids=["exit", "signal", "timeout", "spawn", "leak", "output", "quiet"],
)
def test_first_that_does_not_exit_well_fails_the_stage_and_says_how(
    tmp_path: Path, verify: tuple[str, ...], settings: dict[str, Any], ending: Ending, said: str
) -> None:
    """The ending names the command; the later commands are not run."""
    report, executor = _run(tmp_path, ("true",), verify, _sh("touch after"), **settings)
    assert (report.exit_code, report.terminal_state, report.closure_ready) == (1, "failed", False)
    assert (executor.status, executor.ending) == (StageStatus.FAILED, Ending.VERIFICATION_FAILED)
    assert (executor.exit_code, executor.signal) == (0, None)
    good, bad = executor.verifications
    assert good.is_good
    assert not bad.is_good
    assert bad.ending is ending
    assert bad.problem is not None
    assert said in bad.problem.cause
    assert (executor.error or "").startswith("exited with code 0, but its verification `")
    assert f"` {said}" in (executor.error or "")
    assert not (tmp_path / "after").exists()


def test_last_lines_of_a_failed_verification_are_quoted_and_masked(tmp_path: Path) -> None:
    """Three lines of each stream are quoted; a secret that the stage was given is hidden."""
    script = _sh("seq 5; echo token s3cr3t-v4lue >&2; exit 1")
    given = {"secrets": {"TOKEN": "s3cr3t-v4lue"}, "clean_env": False}
    _, executor = _run(tmp_path, script, **given)
    assert executor.problem is not None
    (quoted,) = executor.problem.details
    assert quoted.startswith("its last output: 3 / 4 / 5 / token ")
    kept = b"".join(
        one.read_bytes()
        for one in (tmp_path / "out").iterdir()
        if one.suffix != ".lock" and one.is_file()
    )
    assert b"s3cr3t" not in kept


def test_verification_runs_in_a_minimal_environment_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has PATH and the orchestrator's variables, but not those of the operator or the stage."""
    monkeypatch.setenv("OF_OPERATOR", "1")
    monkeypatch.setenv("OF_SECRET", "2-that-is-secret")
    settings = {"env": {"OF_STAGE": "3"}, "secrets": {"OF_SECRET": None}}
    for name in "ab":
        (tmp_path / name).mkdir()
    report, _ = _run(tmp_path / "a", ("env",), **settings)
    clean = dict(
        line.partition("=")[::2]
        for line in (tmp_path / "a/out/logs/executor.1.verify.1.stdout.log")
        .read_text()
        .splitlines()
    )
    assert report.exit_code == 0
    assert not clean.keys() & {"OF_OPERATOR", "OF_STAGE", "OF_SECRET"}
    assert clean["PATH"] == os.environ["PATH"]
    assert (clean["ORCHESTRATOR_STAGE"], clean["PWD"]) == ("executor", str(tmp_path / "a"))
    _run(tmp_path / "b", ("env",), **settings, clean_env=False)
    full = (tmp_path / "b/out/logs/executor.1.verify.1.stdout.log").read_text()
    assert "OF_OPERATOR=1\n" in full
    assert "OF_STAGE=3\n" in full
    assert "OF_SECRET=" in full


def test_nothing_is_verified_of_work_that_failed_already(tmp_path: Path) -> None:
    """A stage that failed, or left a wrong artifact, is not verified."""
    wrong: tuple[dict[str, Any], ...] = (
        {"args": ("-c", "exit 4")},
        {"expected_artifacts": ("/nowhere/made",)},
    )
    for number, settings in enumerate(wrong):
        place = tmp_path / str(number)
        place.mkdir()
        _, executor = _run(place, _sh("touch verified"), **settings)
        assert not executor.status.is_good
        assert executor.verifications == ()
        assert not (place / "verified").exists()


def test_slow_verification_is_warned_of_as_itself(tmp_path: Path) -> None:
    """The verification's own time counts, not that of the stage before it."""
    report, _ = _run(tmp_path, ("sleep", "0.25"), slow_after_ms=100)
    slow = "verification 1 of stage 'executor' is slow: it ran for more than 100ms"
    assert slow in report.warnings
    assert "stage 'executor' is slow: it ran for more than 100ms" not in report.warnings


def test_run_without_verifications_has_no_key_of_them(tmp_path: Path) -> None:
    """A run without verifications is written as if they did not exist."""
    _run(tmp_path)
    for file in ("orchestrator_checkpoint.json", "orchestrator_run_report.json"):
        written = (tmp_path / "out" / file).read_text()
        assert '"verif' not in written
        assert "clean_env" not in written
