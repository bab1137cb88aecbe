"""The surroundings of a stage: environment, directory, arguments, standard input."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.command.stage_cases import arguments, executable, log_of, only_execution, run
from tests.support.command import (
    COMMAND,
    PASSING,
    environment,
    orchestrate,
    report_of,
    shell,
    stages,
    statuses,
)


def environment_in(directory: Path, stage: str, attempt: int = 1) -> dict[str, str]:
    """Return the environment of a stage that ran `env -0`."""
    pairs = os.fsdecode(log_of(directory, stage, attempt=attempt)).rstrip("\0").split("\0")
    return dict(pair.split("=", maxsplit=1) for pair in pairs)


def is_alive(pid: int) -> bool:
    """Return whether a process exists; a zombie does not count."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# The surroundings of a stage


def test_environment_of_a_stage(tmp_path: Path) -> None:
    """A stage has the operator's variables, overlaid by the given ones, then by the program's."""
    operators = {
        "KEPT": "as it is",
        "EMPTY": "",
        "LINES_AND_SIGNS": "one\ntwo=three",
        "NOT_TEXT": "caf\udce9",
        "OVERLAID": "by the operator",
        "ORCHESTRATOR_STAGE": "of an orchestrator around us",
    }
    around = {"ORCHESTRATOR_REWORK_CYCLE": "2", "ORCHESTRATOR_REWORK_REPORT": "/of/its/stage"}
    ended = run(
        tmp_path,
        *("--manager-bin", "env", "--manager-arg", "-0"),
        *("--manager-env", "OVERLAID=by a pair", "--manager-env", "TWICE=first"),
        *("--manager-env", "TWICE=last=wins", "--manager-env", "NO_VALUE="),
        *("--executor-bin", "env", "--executor-arg", "-0"),
        env={**operators, **around},
    )
    assert ended.code == 0
    report, seen = report_of(tmp_path / "out"), environment_in(tmp_path, "manager")
    assert seen.pop("ORCHESTRATOR_ATTEMPT_TOKEN")
    assert seen == {
        **environment(XDG_STATE_HOME=str(tmp_path / "state")),
        **operators,
        "OVERLAID": "by a pair",
        "TWICE": "last=wins",
        "NO_VALUE": "",
        "PWD": str(tmp_path),
        "ORCHESTRATOR_RUN_ID": report["run_id"],
        "ORCHESTRATOR_STAGE": "manager",
        "ORCHESTRATOR_ATTEMPT": "1",
        "ORCHESTRATOR_OUTPUT_DIR": str(tmp_path / "out"),
        "ORCHESTRATOR_IDEMPOTENCY_KEY": report["stage_executions"][0]["idempotency_key"],
    }
    assert report["stage_executions"][0]["env_keys"] == ["OVERLAID", "TWICE", "NO_VALUE"]
    others = environment_in(tmp_path, "executor")
    assert others["OVERLAID"] == "by the operator"
    assert others["ORCHESTRATOR_STAGE"] == "executor"
    assert others["ORCHESTRATOR_IDEMPOTENCY_KEY"] != seen["ORCHESTRATOR_IDEMPOTENCY_KEY"]


def test_idempotency_key_is_equal_over_attempts(tmp_path: Path) -> None:
    """A second attempt has the key of the same piece of work."""
    script = 'env -0; test "$ORCHESTRATOR_ATTEMPT" = 2'
    assert run(tmp_path, *shell("manager", script)).code == 1
    first = only_execution(tmp_path)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    second = only_execution(tmp_path)
    assert [first["attempt"], second["attempt"]] == [1, 2]
    assert second["status"] == "success"
    seen = [environment_in(tmp_path, "manager", attempt) for attempt in (1, 2)]
    assert [one["ORCHESTRATOR_ATTEMPT"] for one in seen] == ["1", "2"]
    keys = {one["ORCHESTRATOR_IDEMPOTENCY_KEY"] for one in seen}
    assert keys == {first["idempotency_key"]} == {second["idempotency_key"]}


def test_directory_of_a_stage(tmp_path: Path) -> None:
    """A stage runs in the operator's directory, or in its own, relative to the operator's."""
    (tmp_path / "place").mkdir()
    ended = run(tmp_path, *stages("pwd -P", "pwd -P"), "--executor-cwd", "place")
    assert ended.code == 0
    places = [tmp_path.resolve(), tmp_path.resolve() / "place"]
    seen = [log_of(tmp_path, stage) for stage in ("manager", "executor")]
    assert seen == [os.fsencode(place) + b"\n" for place in places]
    executions = report_of(tmp_path / "out")["stage_executions"]
    assert [one["cwd"] for one in executions] == [str(tmp_path), str(tmp_path / "place")]


def test_relative_paths_are_the_operators_also_when_resumed_from_elsewhere(tmp_path: Path) -> None:
    """Binary, artifacts and OUT are always relative to the directory where the run was started."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    executable(home / "bin/plan", "#!/bin/sh\necho planned >made.txt\n")
    executable(home / "bin/apply", '#!/bin/sh\ntest "$ORCHESTRATOR_ATTEMPT" = 2 && touch done\n')
    executable(home / "place/bin/apply", "#!/bin/sh\nexit 99\n")
    executable(elsewhere / "bin/apply", "#!/bin/sh\nexit 99\n")
    options = (
        *("--manager-bin", "./bin/plan", "--manager-expected-artifact", "made.txt"),
        *("--executor-bin", "bin/apply", "--executor-cwd", "place"),
        *("--executor-expected-artifact", "place/done"),
    )
    assert run(home, *options).code == 1
    report = report_of(home / "out")
    assert statuses(report) == [("manager", "success"), ("executor", "failed")]
    assert [one["exit_code"] for one in report["stage_executions"]] == [0, 1]
    ended = orchestrate("../home/out", "--resume", cwd=elsewhere)
    assert ended.code == 0
    report = report_of(home / "out")
    assert statuses(report) == [("manager", "skipped"), ("executor", "success")]
    executor = report["stage_executions"][1]
    assert executor["command"] == str(home / "bin/apply")
    assert [one["path"] for one in executor["artifacts"]] == [str(home / "place/done")]


def test_bare_name_is_found_on_the_operators_path(tmp_path: Path) -> None:
    """A bare name is looked up on PATH, from the operator's directory, and stays bare."""
    executable(tmp_path / "bin/tool", "#!/bin/sh\necho right\n")
    executable(tmp_path / "tool", "#!/bin/sh\necho wrong\n")
    executable(tmp_path / "place/bin/tool", "#!/bin/sh\necho wrong\n")
    options = ("--manager-bin", "tool", "--manager-cwd", "place")
    ended = run(tmp_path, *options, env={"PATH": f"bin:{os.environ['PATH']}"})
    assert (ended.code, log_of(tmp_path, "manager")) == (0, b"right\n")
    assert only_execution(tmp_path)["command"] == "tool"


LIKE_OURS = (
    *("--resume", "--lifecycle=x", "--lifecycle", "x", "-c", "--", "", "--help", "-h", "--version"),
    *("--json", "--manager-bin", "--executor-arg=y", "--policy-status=deny", "status", "-", "run"),
    *("two\nlines", "näïve ☃", "$HOME `id` *", "'\"\\", " padded ", "a=b", "\ttab"),
)


@pytest.mark.parametrize("form", ["run", "bare", "options first"])
def test_arguments_that_look_like_ours_reach_the_stage(tmp_path: Path, form: str) -> None:
    """Every argument reaches the stage byte for byte, in order, also on a later attempt."""
    script = '#!/bin/sh\nprintf \'%s\\0\' "$@"\ntest "$ORCHESTRATOR_ATTEMPT" != 1\n'
    printer = str(executable(tmp_path / "printer", script))
    options = (*PASSING, "--manager-bin", printer, *arguments("manager", *LIKE_OURS))
    options = (*options, *(f"--manager-arg={value}" for value in LIKE_OURS))
    command = {
        "run": ("run", "out", *options),
        "bare": ("out", *options),
        "options first": ("run", *options, "out"),
    }[form]
    assert orchestrate(*command, cwd=tmp_path).code == 1
    expected = "".join(f"{value}\0" for value in LIKE_OURS * 2).encode()
    assert log_of(tmp_path, "manager") == expected
    assert only_execution(tmp_path)["args"] == list(LIKE_OURS * 2)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert log_of(tmp_path, "manager", attempt=2) == expected


def test_stdin_of_the_operator_is_left_alone(tmp_path: Path) -> None:
    """A stage that reads its stdin gets nothing, and the operator's input is left unread."""
    reader, writer = os.pipe()
    os.write(writer, b"the operator's")
    os.close(writer)
    done = subprocess.run(
        [*COMMAND, "out", *PASSING, *stages("cat; echo read", "cat; echo read")],
        cwd=tmp_path,
        env=environment(),
        stdin=reader,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert log_of(tmp_path, "manager") == log_of(tmp_path, "executor") == b"read\n"
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == b"the operator's"


def test_leftovers_of_a_stage_that_ended_well_are_ended_and_listed(tmp_path: Path) -> None:
    """A background child does not outlive its stage, and report and log name it."""
    script = "sleep 600 & echo $!"
    assert run(tmp_path, *shell("manager", script)).code == 0
    execution, pid = only_execution(tmp_path), int(log_of(tmp_path, "manager"))
    assert execution["status"] == "success"
    assert [one["pid"] for one in execution["leaked_processes"]] == [pid]
    assert set(execution["leaked_processes"][0]) == {"pid", "command", "age_seconds", "rss_bytes"}
    assert any(str(pid) in warning for warning in report_of(tmp_path / "out")["warnings"])
    assert not is_alive(pid)
