"""The endings of stages, the records of their artifacts and output, and their starts."""

from __future__ import annotations

import hashlib
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.stages.strict_json import judge_name
from tests.command.stage_cases import arguments, executable, log_of, only_execution, run
from tests.support.command import (
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
    statuses,
    tree_of,
)

LISTS = ("missing_artifacts", "malformed_artifacts", "stale_artifacts")
NO_LISTS: dict[str, list[str]] = {name: [] for name in LISTS}


def fields(execution: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return some fields of a stage execution."""
    return {name: execution[name] for name in names}


# Every way to end


def test_success_of_both_stages_closes_the_run(tmp_path: Path) -> None:
    """Two stages that exit with 0 end the run done, each with a full record and no error."""
    ended = run(tmp_path, *stages("echo planned", "echo applied >&2"), "--run-id", "r1")
    report = report_of(tmp_path / "out")
    assert (ended.code, report["exit_code"], report["terminal_state"]) == (0, 0, "done")
    assert statuses(report) == [("manager", "success"), ("executor", "success")]
    manager, executor = report["stage_executions"]
    for execution in (manager, executor):
        assert fields(execution, "error", "exit_code", "signal", *LISTS) == {
            "error": None,
            "exit_code": 0,
            "signal": None,
            **NO_LISTS,
        }
    assert fields(manager, "attempt", "idempotency_key", "command", "args", "cwd") == {
        "attempt": 1,
        "idempotency_key": "r1:manager:1",
        "command": "/bin/sh",
        "args": ["-c", "echo planned"],
        "cwd": str(tmp_path),
    }
    assert (manager["stderr_tail"], executor["stderr_tail"]) == ("", "applied")
    assert manager["resources"]["user_seconds"] >= 0
    assert manager["leaked_processes"] == []


@pytest.mark.parametrize(
    ("script", "exit_code", "signal", "words"),
    [
        ("exit 3", 3, None, "code 3"),
        ("exit 255", 255, None, "code 255"),
        ("ulimit -c 0; kill -SEGV $$", None, "SIGSEGV", "SIGSEGV"),
        ("kill -KILL $$", None, "SIGKILL", "SIGKILL"),
    ],
)
def test_stage_that_fails_fails_the_run(
    tmp_path: Path, script: str, exit_code: int | None, signal: str | None, words: str
) -> None:
    """A non-zero exit or a signal ends the run failed, and the execution names it exactly."""
    ended = run(tmp_path, *stages(f"echo the last word >&2; {script}", "touch started"))
    report, execution = report_of(tmp_path / "out"), only_execution(tmp_path)
    assert (ended.code, report["exit_code"], report["terminal_state"]) == (1, 1, "failed")
    assert fields(execution, "stage", "status", "exit_code", "signal", "stderr_tail", *LISTS) == {
        "stage": "manager",
        "status": "failed",
        "exit_code": exit_code,
        "signal": signal,
        "stderr_tail": "the last word",
        **NO_LISTS,
    }
    assert words in execution["error"]
    assert "None" not in execution["error"]
    assert words in ended.stdout
    assert not (tmp_path / "started").exists()


def test_executor_that_fails_fails_the_run(tmp_path: Path) -> None:
    """The last stage is like the first: its failure never becomes done."""
    ended = run(tmp_path, *stages("exit 0", "exit 3"))
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"], report["closure_ready"]) == (1, "failed", False)
    assert statuses(report) == [("manager", "success"), ("executor", "failed")]
    assert checkpoint_of(tmp_path / "out")["current_state"] == "failed"


def test_stage_over_its_time_ends_the_run_with_timeout(tmp_path: Path) -> None:
    """A stage that outlives its limit ends the run as `timeout` with exit code 124."""
    limits = ("--manager-timeout-ms", "50", "--kill-grace-ms", "20")
    ended = run(tmp_path, *stages("exec sleep 600", "touch started"), *limits)
    report, execution = report_of(tmp_path / "out"), only_execution(tmp_path)
    assert (ended.code, report["exit_code"], report["terminal_state"]) == (124, 124, "timeout")
    assert fields(execution, "stage", "status", "exit_code", *LISTS) == {
        "stage": "manager",
        "status": "timeout",
        "exit_code": None,
        **NO_LISTS,
    }
    assert "50ms" in execution["error"]
    assert "50ms" in ended.stdout
    assert report["transitions"][-1]["trigger"] == "stage_timed_out"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("binary", "words"),
    [
        ("no-such-program-anywhere", "not found"),
        ("./absent", "not found"),
        ("./plain", "not executable"),
        ("./folder", "directory"),
        ("./orphan", "interpreter"),
        ("./text", "format"),
    ],
)
def test_binary_that_cannot_be_started_is_a_spawn_failure(
    tmp_path: Path, binary: str, words: str
) -> None:
    """A binary that cannot be started ends the run failed; path and kind are in the error."""
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "folder").mkdir()
    executable(tmp_path / "orphan", "#!/nowhere/interpreter\n")
    executable(tmp_path / "text", "echo no first line\n")
    ended = run(tmp_path, "--manager-bin", binary, *shell("executor", "touch started"))
    report, execution = report_of(tmp_path / "out"), only_execution(tmp_path)
    assert (ended.code, report["exit_code"], report["terminal_state"]) == (1, 1, "failed")
    assert fields(execution, "status", "exit_code", "signal", "stderr_tail", *LISTS) == {
        "status": "spawn_failed",
        "exit_code": None,
        "signal": None,
        "stderr_tail": "",
        **NO_LISTS,
    }
    assert words in execution["error"]
    assert binary.removeprefix(".") in execution["error"]
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("place", ["absent", "plain"])
def test_directory_that_is_none_is_a_spawn_failure(tmp_path: Path, place: str) -> None:
    """A stage whose directory is missing or a file is not started; the error names it."""
    (tmp_path / "plain").touch()
    ended = run(tmp_path, *shell("manager", "exit 0"), "--manager-cwd", place)
    execution = only_execution(tmp_path)
    assert (ended.code, execution["status"]) == (1, "spawn_failed")
    assert str(tmp_path / place) in execution["error"]
    assert "directory" in execution["error"]


# Expected artifacts


def test_good_artifacts_are_recorded(tmp_path: Path) -> None:
    """An artifact of the stage is recorded with digest and size, by its absolute path."""
    (tmp_path / "old.json").write_text("{}")
    script = "printf '{}' >old.json; printf hello >made.txt"
    options = [f"--manager-expected-artifact={name}" for name in ("made.txt", "old.json")]
    assert run(tmp_path, *shell("manager", script), *options).code == 0
    execution = only_execution(tmp_path)
    assert execution["artifacts"] == [
        {
            "path": str(tmp_path / name),
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
            "judged_by": judge_name() if name.endswith(".json") else None,
        }
        for name, content in (("made.txt", b"hello"), ("old.json", b"{}"))
    ]
    assert fields(execution, "status", *LISTS) == {"status": "success", **NO_LISTS}


@pytest.mark.parametrize("exit_code", [0, 3])
def test_wrong_artifacts_are_all_named_by_kind(tmp_path: Path, exit_code: int) -> None:
    """Every wrong artifact is listed by its kind; a non-zero exit remains the first cause."""
    (tmp_path / "stale.txt").write_text("from before")
    (tmp_path / "folder").mkdir()
    script = f"echo '[1,]' >bad.json; echo good >good.txt; exit {exit_code}"
    names = ("gone.txt", "bad.json", "stale.txt", "good.txt", "folder", "gone.json")
    options = [f"--manager-expected-artifact={name}" for name in names]
    ended = run(tmp_path, *stages(script, "touch started"), *options)
    report, execution = report_of(tmp_path / "out"), only_execution(tmp_path)
    assert (ended.code, report["terminal_state"]) == (1, "failed")
    assert fields(execution, "exit_code", *LISTS) == {
        "exit_code": exit_code,
        "missing_artifacts": [str(tmp_path / name) for name in ("gone.txt", "gone.json")],
        "malformed_artifacts": [str(tmp_path / name) for name in ("bad.json", "folder")],
        "stale_artifacts": [str(tmp_path / "stale.txt")],
    }
    assert [one["path"] for one in execution["artifacts"]] == [str(tmp_path / "good.txt")]
    wrong = [str(tmp_path / name) for name in names if name != "good.txt"]
    assert [path for path in wrong if path not in execution["error"]] == []
    if exit_code:
        assert execution["status"] == "failed"
        assert execution["error"].startswith("exited with code 3")
    else:
        assert execution["status"] == "artifact_missing"
    assert not (tmp_path / "started").exists()


def test_stale_artifact_is_allowed_only_where_asked_for(tmp_path: Path) -> None:
    """A leftover that the stage did not touch fails it, unless the operator allows that."""
    (tmp_path / "old.txt").write_text("from before")
    options = (*shell("manager", "exit 0"), "--manager-expected-artifact", "old.txt")
    assert run(tmp_path, *options).code == 1
    execution = only_execution(tmp_path)
    assert execution["status"] == "artifact_missing"
    assert execution["stale_artifacts"] == [str(tmp_path / "old.txt")]
    assert run(tmp_path, *options, "--manager-allow-stale").code == 0
    execution = only_execution(tmp_path)
    assert fields(execution, "status", *LISTS) == {"status": "success", **NO_LISTS}


# Output of a stage


def test_logs_hold_exactly_what_was_printed(tmp_path: Path) -> None:
    """Both streams are in private files, byte for byte, and the report names the files."""
    code = (
        "import os, sys; block = bytes(range(256)) * 4096;"
        "sys.stdout.buffer.write(block); sys.stderr.buffer.write(block[::-1])"
    )
    options = ("--manager-bin", sys.executable, *arguments("manager", "-I", "-S", "-c", code))
    assert run(tmp_path, *options).code == 0
    block = bytes(range(256)) * 4096
    assert log_of(tmp_path, "manager", "stdout") == block
    assert log_of(tmp_path, "manager", "stderr") == block[::-1]
    execution = only_execution(tmp_path)
    names = ["logs/manager.1.stdout.log", "logs/manager.1.stderr.log"]
    assert [execution["stdout_log"], execution["stderr_log"]] == names
    modes = {stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in names}
    assert modes == {0o600}


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ("seq 1 100000 >&2; exit 1", [str(number) for number in range(99_981, 100_001)]),
        ("printf 'one\\ntwo\\n' >&2; exit 1", ["one", "two"]),
    ],
)
def test_tail_of_stderr_is_its_last_lines(tmp_path: Path, script: str, last: list[str]) -> None:
    """The report has only a few last lines of stderr, however many there were."""
    assert run(tmp_path, *shell("manager", script)).code == 1
    assert only_execution(tmp_path)["stderr_tail"].splitlines() == last


def test_tail_of_stderr_is_bounded_and_text(tmp_path: Path) -> None:
    """A megabyte in one line, not even UTF-8, becomes a few kilobytes of text from its end."""
    code = "import sys; sys.stderr.buffer.write(b'\\xff' * 1024**2 + b'the end'); sys.exit(1)"
    options = ("--manager-bin", sys.executable, *arguments("manager", "-I", "-S", "-c", code))
    assert run(tmp_path, *options).code == 1
    tail = only_execution(tmp_path)["stderr_tail"]
    assert tail.endswith("\ufffdthe end")
    assert len(tail) <= 8192


def test_tail_is_of_this_attempt_alone(tmp_path: Path) -> None:
    """The output of an earlier attempt is in its own file, and not in the next attempt's tail."""
    script = 'echo "attempt $ORCHESTRATOR_ATTEMPT" >&2; exit 1'
    run(tmp_path, *shell("manager", script))
    assert only_execution(tmp_path)["stderr_tail"] == "attempt 1"
    orchestrate("out", "--resume", cwd=tmp_path)
    assert only_execution(tmp_path)["stderr_tail"] == "attempt 2"
    assert log_of(tmp_path, "manager", "stderr") == b"attempt 1\n"


# The start of a stage


@pytest.mark.parametrize("given", ["manager", "executor", "neither"])
def test_stage_without_a_binary_is_passed_over(tmp_path: Path, given: str) -> None:
    """A stage without a binary has no execution; report and log warn, and the run is done."""
    options = () if given == "neither" else shell(given, "exit 0")
    ended = run(tmp_path, *options)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"]) == (0, "done")
    assert [one["stage"] for one in report["stage_executions"]] == [
        stage for stage in ("manager", "executor") if stage == given
    ]
    missing = [stage for stage in ("manager", "executor") if stage != given]
    assert len(report["warnings"]) == len(missing)
    for stage, warning in zip(missing, report["warnings"], strict=True):
        assert repr(stage) in warning
    logged = [one["message"] for one in events_of(tmp_path / "out") if one["level"] == "warning"]
    assert logged == report["warnings"]


@pytest.mark.parametrize(
    "gates",
    [
        (),
        ("--policy-status", "deny", "--ci-status", "success", "--review-status", "approved"),
        ("--policy-status", "allow", "--ci-status", "success"),
    ],
)
def test_nothing_is_spawned_before_the_gates_have_passed(
    tmp_path: Path, gates: tuple[str, ...]
) -> None:
    """Behind a refusing gate no process starts, not even on a resume."""
    ended = orchestrate("out", *gates, *stages("touch started", "touch started"), cwd=tmp_path)
    resumed = orchestrate("out", "--resume", cwd=tmp_path)
    report = report_of(tmp_path / "out")
    assert (ended.code, resumed.code, report["terminal_state"]) == (3, 3, "blocked")
    assert report["stage_executions"] == []
    assert [one["stage_executions"] for one in report["earlier_invocations"]] == [[]]
    assert not (tmp_path / "started").exists()
    assert not (tmp_path / "out" / "logs").exists()


def test_stages_start_after_the_gates_were_judged(tmp_path: Path) -> None:
    """The log has all three verdicts and the transition before the first stage's start."""
    assert run(tmp_path, *stages()).code == 0
    names = [event["event"] for event in events_of(tmp_path / "out")]
    assert names.count("gate.decided") == 3
    before = names[: names.index("stage.started")]
    assert before.count("gate.decided") == 3
    moves = [one["transition"] for one in events_of(tmp_path / "out") if "transition" in one]
    assert [move["trigger"] for move in moves[: before.count("transition")]] == [
        "start",
        "gates_passed",
    ]


# The time limit of a stage


def test_limit_of_a_stage_beats_that_of_the_run(tmp_path: Path) -> None:
    """A stage's own limit counts, whether shorter or longer than the one for all stages."""
    limits = ("--timeout-ms", "600000", "--executor-timeout-ms", "1")
    assert run(tmp_path, *stages("exit 0", "sleep 600"), *limits).code == 124
    report = report_of(tmp_path / "out")
    assert statuses(report) == [("manager", "success"), ("executor", "timeout")]
    assert "after 1ms" in report["stage_executions"][1]["error"]
    limits = ("--timeout-ms", "1", "--manager-timeout-ms", "600000")
    assert run(tmp_path, *stages("sleep 0.2", "sleep 600"), *limits).code == 124
    assert statuses(report_of(tmp_path / "out")) == [
        ("manager", "success"),
        ("executor", "timeout"),
    ]


def test_largest_limits_are_accepted(tmp_path: Path) -> None:
    """2147483647 milliseconds is a limit like any other, for the run and for a stage."""
    largest = "2147483647"
    limits = ("--timeout-ms", largest, "--manager-timeout-ms", largest, "--kill-grace-ms", largest)
    assert run(tmp_path, *stages(), *limits).code == 0
    kept = checkpoint_of(tmp_path / "out")
    assert (kept["timeout_ms"], kept["stages"]["manager"]["timeout_ms"]) == (2**31 - 1, 2**31 - 1)


@pytest.mark.parametrize("option", ["--timeout-ms", "--executor-timeout-ms"])
@pytest.mark.parametrize("value", ["0", "2147483648", "-1", "1.5", ""])
def test_limits_out_of_range_are_refused(tmp_path: Path, option: str, value: str) -> None:
    """Anything but a whole number from 1 to 2147483647 is a usage error; nothing is written."""
    ended = run(tmp_path, *stages("touch started"), option, value)
    assert ended.code == 2
    assert option in ended.stderr
    assert tree_of(tmp_path) == {}


def test_report_is_json_that_any_reader_takes(tmp_path: Path) -> None:
    """Whatever a stage prints or gets as arguments, the report is strict JSON in UTF-8."""
    script = "printf '\\033[31m\\001\\377\\000 \\342\\230\\203' >&2; exit 1"
    run(tmp_path, *shell("manager", script), *arguments("manager", "☃", "\x1b[31m"))
    report = report_of(tmp_path / "out")
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["stage_executions"][0]["args"][-2:] == ["☃", "\x1b[31m"]
    assert "☃" in report["stage_executions"][0]["stderr_tail"]
