"""Refused requests: one message, the right exit code, and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.cli.cli_cases import GOOD_RUN, assert_one_message, everything, through_shell
from tests.support.command import (
    EVENTS,
    PASSING,
    environment,
    events_of,
    orchestrate,
    report_of,
    shell,
    spawned,
    stages,
)

# Usage errors

USAGE_ERRORS: Mapping[str, tuple[Sequence[str], str]] = {
    "second positional": (("./out", "extra"), "extra"),
    "second positional after options": (("./out", *PASSING, "true"), "true"),
    "second positional of plan": (("plan", "./out", "extra"), "extra"),
    "second positional of explain": (("explain", "./out", "extra"), "extra"),
    "no OUT for run": (("run",), "OUT"),
    "no OUT for plan": (("plan",), "OUT"),
    "only options": (PASSING, "OUT"),
    "empty OUT": (("",), "OUT"),
    "empty OUT for run": (("run", ""), "OUT"),
    "mistyped plan": (("plna", "./out"), "'plan'"),
    "mistyped status": (("staus", "./out"), "'status'"),
    "unknown option": (("./out", "--polcy-status", "allow"), "--policy-status"),
    "unknown option first": (("--polcy-status", "allow", "./out"), "--policy-status"),
    "unknown stage option": (("./out", "--manager-bni", "x"), "--manager-bin"),
    "unknown stage": (("./out", "--reviewer-bin", "x"), "--reviewer-bin"),
    "unknown short option": (("./out", "-x"), "-x"),
    "shortened option": (("./out", "--policy", "allow"), "--policy-status"),
    "option of run for status": (("status", "./out", "--resume"), "--resume"),
    "no value": (("./out", "--manager-bin"), "--manager-bin"),
    "value for a flag": (("./out", "--resume=yes"), "--resume"),
    "wrong policy": (("./out", "--policy-status", "maybe"), "one of allow, deny, unknown"),
    "wrong ci": (("./out", "--ci-status", "passed"), "one of success, pending"),
    "wrong review": (("./out", "--review-status", "ok"), "one of approved, "),
    "wrong policy for plan": (
        ("plan", "./out", "--policy-status", "maybe"),
        "one of allow, deny, unknown",
    ),
    "other case": (("./out", "--policy-status", "ALLOW"), "'allow'"),
    "empty gate": (("./out", "--policy-status", ""), "--policy-status"),
    "policy twice": (("./out", *PASSING, "--policy-status", "deny"), "--policy-status"),
    "policy twice alike": (("./out", *PASSING, "--policy-status", "allow"), "--policy-status"),
    "ci twice": (("./out", *PASSING, "--ci-status", "failure"), "--ci-status"),
    "review twice": (("./out", *PASSING, "--review-status", "missing"), "--review-status"),
    "binary twice": (("./out", *stages(), "--manager-bin", "true"), "--manager-bin"),
    "timeout twice": (("./out", "--timeout-ms", "1", "--timeout-ms", "1"), "--timeout-ms"),
    "timeout 0": (("./out", "--timeout-ms", "0"), "1 to 2147483647"),
    "timeout below 0": (("./out", "--timeout-ms", "-1"), "1 to 2147483647"),
    "timeout too long": (("./out", "--timeout-ms", "2147483648"), "1 to 2147483647"),
    "timeout of part": (("./out", "--timeout-ms", "1.5"), "is no duration: write 90s"),
    "timeout with another unit": (("./out", "--manager-timeout", "1.5x"), "'1.5x' is no duration"),
    "empty timeout": (("./out", "--timeout-ms", ""), "--timeout-ms"),
    "grace below 0": (("./out", "--kill-grace-ms", "-1"), "0 to 2147483647"),
    "empty binary": (("./out", "--manager-bin", ""), "--manager-bin"),
    "empty artifact": (("./out", "--manager-expected-artifact", ""), "artifact"),
    "empty directory": (("./out", *stages(), "--manager-cwd", ""), "--manager-cwd"),
    "argument without binary": (("./out", "--manager-arg", "x"), "--manager-bin"),
    "environment without binary": (("./out", "--executor-env", "A=1"), "--executor-bin"),
    "artifact without binary": (("./out", "--manager-expected-artifact", "x"), "--manager-bin"),
    "timeout without binary": (("./out", "--manager-timeout-ms", "5"), "--manager-bin"),
    "directory without binary": (("./out", "--manager-cwd", "."), "--manager-bin"),
    "stale without binary": (("./out", "--manager-allow-stale"), "--manager-bin"),
    "pair without equals sign": (("./out", *stages(), "--manager-env", "hunter2"), "KEY=VALUE"),
    "pair without key": (("./out", *stages(), "--manager-env", "=hunter2"), "KEY=VALUE"),
    "empty pair": (("./out", *stages(), "--manager-env", ""), "KEY=VALUE"),
    "run id with a path": (("./out", "--run-id", "../up"), "run id"),
    "empty run id": (("./out", "--run-id", ""), "run id"),
    "run id too long": (("./out", "--run-id", "x" * 65), "run id"),
    "unknown lifecycle": (("./out", "--lifecycle", "nowhere"), "governed_run"),
    "lifecycle file that is not there": (("./out", "--lifecycle", "./no.toml"), "no.toml"),
    "empty lifecycle": (("./out", "--lifecycle", ""), "--lifecycle"),
    "no time": (("./out", "--fixed-clock", "yesterday"), "yesterday"),
    "wrong log format": (("./out", "--log-format", "xml"), "one of auto, json, text"),
    "wrong change rule": (("./out", "--on-changed-stage", "maybe"), "keep, rerun"),
    "change rule without resume": (("./out", "--on-changed-stage", "keep"), "--resume"),
    "rerun without resume": (("./out", "--rerun", "manager"), "--resume"),
    "status of nothing": (("status", "./out"), "does not exist"),
}


@pytest.mark.parametrize("name", list(USAGE_ERRORS))
def test_usage_error(tmp_path: Path, name: str) -> None:
    """A wrong command exits 2 with one message that names the mistake, and writes nothing."""
    arguments, fragment = USAGE_ERRORS[name]
    ended = orchestrate(*arguments, cwd=tmp_path)
    assert_one_message(ended)
    assert fragment in ended.stderr
    assert "hunter2" not in ended.stderr
    assert everything(tmp_path) == {}


def test_refused_request_leaves_an_earlier_run_alone(tmp_path: Path) -> None:
    """A request refused for the directory's contents changes nothing; plan refuses alike."""
    first = (*PASSING, *stages("exit 0", "exit 1"), "--run-id", "first")
    assert orchestrate("./out", *first, cwd=tmp_path).code == 1
    before = everything(tmp_path)
    for arguments in (
        (*PASSING, "--manager-arg", "x"),
        (*PASSING, "--run-id", "first"),
        (*PASSING, "--rerun", "manager"),
        (*PASSING, "--lifecycle", "nowhere"),
        ("--resume", "--run-id", "other"),
        ("--resume", "--rerun", "nobody"),
        ("--resume", *shell("manager", "something else")),
    ):
        ended = orchestrate("./out", *arguments, cwd=tmp_path)
        assert ended.code == 2, arguments
        assert ended.stdout == ""
        assert ended.stderr.startswith("fsm-orchestrator: ")
        assert "Traceback" not in ended.stderr
        assert orchestrate("plan", "./out", *arguments, cwd=tmp_path) == ended
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [b"./a\xff"],
        [b"./out", b"--manager-bin", b"./tool\xff"],
        [b"./out", b"--manager-bin", b"/bin/sh", b"--manager-arg", b"\xff"],
        [b"./out", b"--manager-bin", b"/bin/sh", b"--manager-env", b"A=hunter2\xff"],
        [b"status", b"./a\xff"],
    ],
)
def test_argument_that_is_not_utf8(tmp_path: Path, arguments: list[bytes]) -> None:
    """Bytes that are not UTF-8 are refused at any position, and are not echoed."""
    text = [os.fsdecode(argument) for argument in arguments]
    ended = orchestrate(*text, cwd=tmp_path)
    assert_one_message(ended)
    assert "UTF-8" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert everything(tmp_path) == {}


def test_out_is_a_file(tmp_path: Path) -> None:
    """A file, or a link to nothing, in OUT's place is refused and left unchanged."""
    (tmp_path / "out").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("./out", "./link"):
        for words in ((), ("plan",)):
            ended = orchestrate(*words, name, *GOOD_RUN, cwd=tmp_path)
            assert_one_message(ended)
            assert str(tmp_path / name) in ended.stderr
    assert (tmp_path / "out").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


@pytest.mark.parametrize("command", ["run", "plan"])
def test_out_that_cannot_be_made(tmp_path: Path, command: str) -> None:
    """An OUT below a file is refused with its path, by plan as by run."""
    (tmp_path / "file").touch()
    ended = orchestrate(command, "./file/out", *GOOD_RUN, cwd=tmp_path)
    assert_one_message(ended)
    assert str(tmp_path / "file/out") in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_current_directory_is_gone(tmp_path: Path) -> None:
    """The command, started in a deleted directory, is refused with that reason."""
    command = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    ended = through_shell(command, "./out", *GOOD_RUN, cwd=tmp_path)
    assert_one_message(ended)
    assert "current directory" in ended.stderr
    assert everything(tmp_path) == {}


# A bug of this program

BROKEN_GATES = """\
import sys
from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.engine import invocation  # with all that judges before the run begins
from fsm_orchestrator.gates import judging

def judge(rules, signals, evidence):
    raise ZeroDivisionError("broken on purpose")

judging.judge = judge
sys.exit(run_command_line(sys.argv[1:]))
"""


def test_bug_is_told_as_a_bug(tmp_path: Path) -> None:
    """An unexpected exception exits 70, is called a bug, leaves a traceback and a failed report."""
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_GATES, "./out", *GOOD_RUN],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 70
    crashes = [event for event in events_of(tmp_path / "out") if event["event"] == "run.crashed"]
    assert "Traceback" in crashes[0]["traceback"]
    assert "ZeroDivisionError: broken on purpose" in crashes[0]["traceback"]
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["exit_code"]) == ("failed", 70)
    assert report["closure_ready"] is False
    assert spawned(report) == []
    assert not (tmp_path / "planned").exists()
    messages = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert any("bug" in line for line in messages), messages
    assert any(str(tmp_path / "out" / EVENTS) in line for line in messages), messages
    again = orchestrate("./out", "--resume", cwd=tmp_path)
    assert again.code == 0, again.stderr
