"""Endings that are hard to recognize: each cause names its own, and its remedy works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.processes.memory_kills import MemoryKill, MemoryKills
from tests.support.command import (
    COMMAND,
    PASSING,
    environment,
    orchestrate,
    report_of,
    shell,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="is about what Linux says")
MEGABYTE: Final = 1024**2
GROUP: Final = Path("/sys/fs/cgroup/memory")


def script(path: Path, text: bytes) -> str:
    """Make an executable file and return its path."""
    path.write_bytes(text)
    path.chmod(0o755)
    return str(path)


def failure(directory: Path, *options: str) -> dict[str, Any]:
    """Run a first stage that fails; return the message about it, with the remedies of `explain`."""
    ended = orchestrate("out", *PASSING, *options, cwd=directory)
    assert ended.code == 1, ended.stderr
    (execution,) = report_of(directory / "out")["stage_executions"]
    explained = orchestrate("explain", "out", cwd=directory)
    return {**execution, "explained": explained.stdout}


# Programs that cannot be run


@linux_only
def test_script_with_windows_line_ends_is_named_and_its_remedy_works(tmp_path: Path) -> None:
    """The interpreter exists; the missing one has a carriage return in its name."""
    path = script(tmp_path / "tool", b"#!/bin/sh\r\nexit 0\r\n")
    said = failure(tmp_path, "--manager-bin", path)
    assert (said["status"], said["start_problem"]) == ("spawn_failed", "Windows line ends")
    assert "ends with a carriage return" in said["error"]
    remedy = "sed -i 's/\\r$//'"
    assert remedy in said["explained"]
    subprocess.run(["/bin/sh", "-c", f"{remedy} tool"], cwd=tmp_path, check=True)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


@linux_only
def test_script_whose_interpreter_gets_the_carriage_return_is_named(tmp_path: Path) -> None:
    """`env` is started and does not find a program of that name: only the script shows why."""
    path = script(tmp_path / "tool", b"#!/usr/bin/env sh\r\nexit 0\r\n")
    said = failure(tmp_path, "--manager-bin", path)
    assert (said["exit_code"], said["start_problem"]) == (127, "Windows line ends")
    assert "ends with a carriage return" in said["error"]
    assert "sed -i" in said["explained"]


@linux_only
@pytest.mark.parametrize(
    ("text", "problem", "words"),
    [
        (b"#!/nowhere/perl\n", "bad interpreter", "names /nowhere/perl, which is not"),
        (b"\xef\xbb\xbf#!/bin/sh\nexit 0\n", "bad format", "byte order mark"),
        (b"#!{other}\n", "bad interpreter", "names /nowhere/perl, which is not"),
    ],
)
def test_script_that_cannot_be_started_says_what_is_missing(
    tmp_path: Path, text: bytes, problem: str, words: str
) -> None:
    """The message holds at any depth, for an interpreter may be a script as well."""
    other = script(tmp_path / "other", b"#!/nowhere/perl\n")
    path = script(tmp_path / "tool", text.replace(b"{other}", other.encode()))
    said = failure(tmp_path, "--manager-bin", path)
    assert said["start_problem"] == problem
    assert words in said["error"]


@linux_only
def test_program_without_its_loader_is_named(tmp_path: Path) -> None:
    """A program for another C library exists, but its loader does not."""
    data = Path(os.path.realpath(shutil.which("true") or "")).read_bytes()
    at = data.find(b"/ld-")
    if not data.startswith(b"\x7fELF") or at < 0:
        pytest.skip("no dynamically linked program here")
    path = script(tmp_path / "tool", data[:at] + b"/xx-" + data[at + 4 :])
    said = failure(tmp_path, "--manager-bin", path)
    assert (said["status"], said["start_problem"]) == ("spawn_failed", "missing loader")
    assert "/xx-" in said["error"]
    assert "loader" in said["explained"].split("tool", 1)[1]


def test_failure_of_a_good_script_is_not_put_down_to_its_lines(tmp_path: Path) -> None:
    """A script with good lines fails by its own exit code alone."""
    path = script(tmp_path / "tool", b"#!/bin/sh\nexit 3\r\n")
    said = failure(tmp_path, "--manager-bin", path)
    assert said["start_problem"] is None
    assert "carriage" not in said["error"]


# SIGKILL


@linux_only
@pytest.mark.parametrize("how", ["kill -9 $$", "exit 137"])
def test_kill_by_somebody_says_what_is_known_of_memory(tmp_path: Path, how: str) -> None:
    """The orchestrator did not send the signal; the message says what is known of memory."""
    said = failure(tmp_path, *shell("manager", how))
    known = {one.value for one in MemoryKill}
    assert len(known & set(said["problem"]["details"])) == 1
    assert "memory" in said["explained"]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (MemoryKills(1, None), MemoryKills(2, None), MemoryKill.OURS),
        (MemoryKills(1, None), MemoryKills(1, None), MemoryKill.NOBODY),
        (MemoryKills(None, 1), MemoryKills(None, 3), MemoryKill.SOMEBODY),
        (MemoryKills(None, 1), MemoryKills(None, 1), MemoryKill.NOBODY),
        (MemoryKills(None, None), MemoryKills(None, None), MemoryKill.UNKNOWN),
        (MemoryKills(1, None), MemoryKills(None, 1), MemoryKill.UNKNOWN),
    ],
)
def test_counts_say_no_more_than_they_know(
    before: MemoryKills, after: MemoryKills, verdict: MemoryKill
) -> None:
    """A count that cannot be read proves nothing."""
    assert before.until(after) is verdict


@linux_only
def test_stage_that_runs_out_of_memory_is_told_so(tmp_path: Path) -> None:
    """In a control group with a limit the kernel kills the stage and counts the kill."""
    group = GROUP / f"fsm-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(160 * MEGABYTE))
    except OSError:
        pytest.skip("no control group of memory can be made here")
    try:
        words = ("-I", "-S", "-c", "x = bytearray(600 << 20); print(len(x))")
        options = ("--manager-bin", sys.executable, *(f"--manager-arg={one}" for one in words))
        enter = f'echo $$ >{group}/cgroup.procs; exec "$@"'
        done = subprocess.run(
            ["/bin/sh", "-c", enter, "sh", *COMMAND, "out", *PASSING, *options],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    finally:
        group.rmdir()
    assert done.returncode == 1, done.stderr
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    assert execution["signal"] == "SIGKILL"
    assert MemoryKill.OURS.value in execution["problem"]["details"]


@pytest.mark.parametrize(("end", "code"), [("kill -9 $$", "137"), ("kill -SEGV $$", "139")])
def test_retry_by_an_exit_code_above_128_matches_its_signal(
    tmp_path: Path, end: str, code: str
) -> None:
    """A retry after 137, a shell's code for SIGKILL, includes the signal itself."""
    options = (
        *("--manager-max-attempts", "3", "--manager-backoff-ms", "1"),
        *("--manager-retry-exit-code", code),
    )
    once = f'test "$ORCHESTRATOR_ATTEMPT" = 1 || exit 0; {end}'
    ended = orchestrate("out", *PASSING, *shell("manager", once), *options, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    report = report_of(tmp_path / "out")
    assert statuses(report) == [("manager", "failed"), ("manager", "success")]


def test_retry_by_another_signals_code_does_not_match(tmp_path: Path) -> None:
    """A rule for another signal's code gives no retry."""
    options = ("--manager-max-attempts", "3", "--manager-retry-exit-code", "143")
    ended = orchestrate("out", *PASSING, *shell("manager", "kill -9 $$"), *options, cwd=tmp_path)
    assert ended.code == 1
    assert statuses(report_of(tmp_path / "out")) == [("manager", "failed")]


# Memory


@linux_only
def test_memory_of_a_stage_is_its_own_or_not_known(tmp_path: Path) -> None:
    """A small stage does not get the memory use of the program that started it."""
    words = ("-I", "-S", "-c", "x = bytearray(100 << 20)")
    large = ("--executor-bin", sys.executable, *(f"--executor-arg={one}" for one in words))
    ended = orchestrate("out", *PASSING, "--manager-bin", "true", *large, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    used = [one["resources"] for one in report_of(tmp_path / "out")["stage_executions"]]
    assert used[0]["rss_bytes_max"] is None
    assert 100 * MEGABYTE < used[1]["rss_bytes_max"] < 200 * MEGABYTE
