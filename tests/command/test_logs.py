"""`logs`: the output of real runs, seen from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.cli_cases import on_terminal
from tests.command.supervision_cases import working
from tests.support.command import (
    COMMAND,
    PASSING,
    environment,
    orchestrate,
    shell,
    stages,
    start,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.one_in(2)

LOOKS = (("logs", "out"), ("status", "out", "out"))
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""
"""Prints the peak memory of a command in KiB; a child of the tests would inherit their peak."""


def test_logs_are_prefixed_by_stage_in_the_order_of_work(tmp_path: Path) -> None:
    """Each line has the name of its stage; stderr is marked, and attempts come in order."""
    once = "echo try; test -e once || { touch once; echo no >&2; exit 1; }"
    orchestrate("out", *PASSING, *stages("echo planned", once), cwd=tmp_path)
    orchestrate("out", "--resume", cwd=tmp_path)
    ended = orchestrate("logs", "out", cwd=tmp_path)
    assert ended.code == 0
    assert ended.stdout.splitlines() == [
        "manager    | planned",
        "executor   | try",
        "executor   ! no",
        "executor.2 | try",
    ]
    one = orchestrate("logs", "out", "executor", "--attempt", "2", cwd=tmp_path)
    assert one.stdout == "executor.2 | try\n"


def test_last_lines_of_each_log(tmp_path: Path) -> None:
    """`--lines` shows the end of each log, with a last line that has no newline."""
    script = "seq 1 1000; printf half; seq 1 3 >&2"
    orchestrate("out", *PASSING, *stages(script), cwd=tmp_path)
    ended = orchestrate("logs", "out", "--lines", "2", cwd=tmp_path)
    assert ended.stdout.splitlines() == [
        "manager  | 1000",
        "manager  | half",
        "manager  ! 2",
        "manager  ! 3",
    ]


def test_logs_that_are_followed_are_live_and_end_with_the_run(tmp_path: Path) -> None:
    """A line is shown while its stage still runs; the command ends with the run, exit code 0."""
    gate = "echo one; until test -e go; do sleep 0.05; done; echo two; printf three"
    with working(tmp_path, *stages(gate, "echo four >&2")) as process:
        following = subprocess.Popen(
            [*COMMAND, "logs", "out", "--follow"],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        assert following.stdout.readline() == "manager | one\n"
        assert process.poll() is None
        (tmp_path / "go").touch()
        assert process.wait(PATIENCE_SECONDS) == 0
        rest, _ = following.communicate(timeout=PATIENCE_SECONDS)
        assert following.returncode == 0
        assert sorted(re.sub(r" +", " ", line) for line in rest.splitlines()) == [
            "executor ! four",
            "manager | three",
            "manager | two",
        ]


def test_follower_ends_when_nobody_reads_or_by_ctrl_c(tmp_path: Path) -> None:
    """`| head -1` ends it, and SIGINT ends it with 130; the run continues in both cases."""
    chatty = "while :; do echo line; sleep 0.05; done"
    with working(tmp_path, *stages(chatty), "--timeout-ms", "100000") as process:
        line = subprocess.run(
            ["/bin/sh", "-c", f"{' '.join(COMMAND)} logs out --follow | head -1"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
        assert (line.stdout, line.stderr) == ("manager | line\n", "")
        following = subprocess.Popen(
            [*COMMAND, "logs", "out", "-f"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate(timeout=PATIENCE_SECONDS)
        assert (following.returncode, errors.strip()) == (130, "")
        assert process.poll() is None


def test_logs_of_an_unknown_stage_are_refused_with_the_nearest(tmp_path: Path) -> None:
    """A mistyped stage is an error, not an empty log."""
    orchestrate("out", *PASSING, *stages(), cwd=tmp_path)
    ended = orchestrate("logs", "out", "managr", cwd=tmp_path)
    assert ended.code == 2
    assert "did you mean 'manager'" in ended.stderr


def test_logs_show_neither_secrets_nor_control_characters(tmp_path: Path) -> None:
    """Known values are masked; a terminal gets no control characters, a pipe all other bytes."""
    script = "printf 'a hunter2-hunter2 \\033[31m \\377\\000 z\\n'; exit 1"
    options = (*stages(script), "--manager-env", "KEY=hunter2-hunter2")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    code, seen = on_terminal("logs", "out", cwd=tmp_path)
    assert (code, seen) == (0, "manager | a ***  \\xff\\x00 z\n")
    piped = subprocess.run(
        [*COMMAND, "logs", "out"],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        check=True,
    )
    assert piped.stdout == b"manager | a ***  \xff\x00 z\n"


def test_value_stays_masked_when_the_run_becomes_done(tmp_path: Path) -> None:
    """The last read of a follower masks values that the run has forgotten by then."""
    gate = "echo go; until test -e go; do sleep 0.05; done; echo x-$KEY"
    options = (*shell("manager", gate), "--manager-env", "KEY=hunter2-hunter2")
    with working(tmp_path, *options) as process:
        following = subprocess.Popen(
            [*COMMAND, "logs", "out", "--follow"],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        assert following.stdout.readline() == "manager | go\n"
        (tmp_path / "go").touch()
        assert process.wait(PATIENCE_SECONDS) == 0
        rest, _ = following.communicate(timeout=PATIENCE_SECONDS)
    assert rest == "manager | x-***\n"


@pytest.mark.parametrize(
    ("value", "script"),
    [
        ("first of two lines\nsecond of two lines", 'echo "$KEY" >&2'),
        ("hunter2-hunter2", "head -c 16374 /dev/zero | tr '\\000' a; printf %s $KEY; seq 60000"),
        ("hunter2-hunter2", "printf %s $KEY; head -c 4089 /dev/zero | tr '\\000' b"),
    ],
    ids=["several lines", "cut into pieces", "cut by the tail"],
)
def test_no_piece_of_a_value_is_shown(tmp_path: Path, value: str, script: str) -> None:
    """Neither logs nor status show a part of a value, wherever it is."""
    options = (*stages(f"{script}; exit 3"), "--manager-env", f"KEY={value}")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    shown = [orchestrate(*words, cwd=tmp_path).stdout for words in LOOKS]
    for path in (tmp_path / "state").rglob("*.json"):
        path.unlink()
    shown.append(orchestrate("status", "out", "out", cwd=tmp_path).stdout)
    for text in shown:
        assert not re.search("hunter2|r2-hun|of two lines", text)


def test_stop_and_follow_mean_one_run(tmp_path: Path) -> None:
    """`stop` refuses a directory of runs, an archived run is not followed, and typos are errors."""
    orchestrate("runs/out", *PASSING, *stages("echo one"), "--run-id", "one", cwd=tmp_path)
    assert orchestrate("stop", "runs", cwd=tmp_path).code == 2
    options = (*stages("echo go; exec sleep 60"), "--run-id", "two")
    orchestrate("out", *PASSING, *stages("echo one"), "--run-id", "one", cwd=tmp_path)
    process = start("out", *PASSING, *options, cwd=tmp_path)
    try:
        archived = tmp_path / "out" / "archive" / "one" / "logs" / "manager.1.stdout.log"
        log = tmp_path / "out" / "logs" / "manager.1.stdout.log"
        wait_until(lambda: archived.exists() and log.exists() and log.stat().st_size > 0, "no log")
        words = ("logs", "out", "--follow", "--run-id", "one")
        assert orchestrate(*words, cwd=tmp_path).stdout == "manager  | one\n"
        assert orchestrate("logs", "out", "mangr", "--follow", cwd=tmp_path).code == 2
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)


def test_log_that_is_a_link_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    """A file that was put in a log's place is neither followed nor waited for."""
    orchestrate("out", *PASSING, *stages("echo mine"), cwd=tmp_path)
    logs = tmp_path / "out" / "logs"
    (tmp_path / "secret").write_text("not yours\n")
    (logs / "manager.2.stdout.log").symlink_to(tmp_path / "secret")
    os.mkfifo(logs / "manager.3.stdout.log")
    assert orchestrate("logs", "out", cwd=tmp_path).stdout == "manager  | mine\n"
    assert orchestrate("status", "out", "out", cwd=tmp_path).code == 0


def test_line_without_an_end_does_not_fill_memory(tmp_path: Path) -> None:
    """Twenty megabytes in one line are shown in pieces, and the command stays small."""
    script = "head -c 20000000 /dev/zero | tr '\\000' x"
    orchestrate("out", *PASSING, *shell("manager", script), cwd=tmp_path)
    with (tmp_path / "shown").open("wb") as shown:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *COMMAND, "logs", "out"],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            stdout=shown,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    assert (tmp_path / "shown").stat().st_size > 20_000_000
    assert int(done.stderr) < 120_000


def test_earlier_runs_logs(tmp_path: Path) -> None:
    """The logs of an archived run are shown from its archive."""
    orchestrate("out", *PASSING, *stages("echo first"), "--run-id", "first", cwd=tmp_path)
    orchestrate("out", *PASSING, *stages("echo second"), "--run-id", "second", cwd=tmp_path)
    ended = orchestrate("logs", "out", "--run-id", "first", cwd=tmp_path)
    assert ended.stdout == "manager  | first\n"
