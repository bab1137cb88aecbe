"""The end of a run names the next command, and that command works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.cli_cases import GOOD_RUN, ONCE_FAILING, next_command
from tests.support.command import (
    CHECKPOINT,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    orchestrate,
    report_of,
    spawned,
    stages,
)

# The end of a run names the next command


@pytest.mark.parametrize("out", ["./out", "./with space & quote's", "-dashed"])
def test_next_command_after_blocked_works(tmp_path: Path, out: str) -> None:
    """A blocked run's next command, typed, reaches done, however OUT is spelled."""
    ended = orchestrate(*stages(), "--ci-status", "success", "--", out, cwd=tmp_path)
    assert ended.code == 3
    again = orchestrate(*next_command(ended), cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert spawned(report_of(tmp_path / out)) == ["manager", "executor"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (ONCE_FAILING, 1),
        (f"{ONCE_FAILING} || kill -KILL $$", 1),
        (f"{ONCE_FAILING} || exec sleep 60", 124),
        (f"{ONCE_FAILING} || {{ kill -TERM {ORCHESTRATOR_PID}; exec sleep 60; }}", 143),
        (f"{ONCE_FAILING} || {{ kill -INT {ORCHESTRATOR_PID}; exec sleep 60; }}", 130),
    ],
    ids=["failed", "killed", "timeout", "SIGTERM", "SIGINT"],
)
def test_next_command_after_a_failure_works(tmp_path: Path, script: str, code: int) -> None:
    """A run that did not reach done names report, logs and a command that, typed, reaches done."""
    limit = ("--timeout-ms", "200") if code == 124 else ()
    ended = orchestrate("./out", *PASSING, *stages(script), *limit, cwd=tmp_path)
    assert ended.code == code
    assert str(tmp_path / "out" / REPORT) in ended.stdout
    assert "  output   fsm-orchestrator logs ./out manager\n" in ended.stdout
    status = orchestrate("status", "./out", cwd=tmp_path)
    assert next_command(status) == next_command(ended)
    again = orchestrate(*next_command(ended), cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert spawned(report_of(tmp_path / "out")) == ["manager", "executor"]


def test_following_the_next_commands_never_closes_an_empty_run(tmp_path: Path) -> None:
    """Typing the suggested commands closes no run that could not be recorded."""
    obstacle = tmp_path / "out" / CHECKPOINT
    obstacle.mkdir(parents=True)
    ended = orchestrate("./out", *GOOD_RUN, cwd=tmp_path)
    assert ended.code == 1
    obstacle.rmdir()
    for _ in range(2):
        if ended.code != 0 and re.search(r"^ +next ", ended.stdout, flags=re.MULTILINE):
            ended = orchestrate(*next_command(ended), cwd=tmp_path)
    assert ended.code != 0 or spawned(report_of(tmp_path / "out")) == ["manager", "executor"]
