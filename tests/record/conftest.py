"""Checkpoints of real runs, which are made once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.record.history_cases import DENIED, PLAN, PLANNED, RAN, ended_in_mid_stage
from tests.support.command import PASSING, orchestrate, shell, stages
from tests.support.shared import made_once


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a run for each way of ending, which tests must not change."""
    return made_once(tmp_path_factory.getbasetemp(), "recorded-runs", make_runs)


def make_runs(cwd: Path) -> None:
    """Make a run for each way of ending, with the command itself."""
    hang = (*stages(PLAN, "exec sleep 60"), "--executor-timeout-ms", "1")
    commands = {
        ("blocked", *DENIED, *stages(PLAN, RAN)): 3,
        ("failed", *PASSING, *stages(PLAN, "exit 7")): 1,
        ("timeout", *PASSING, *hang): 124,
        ("done", *PASSING, *stages(PLAN, RAN)): 0,
        ("resumed", *PASSING, *stages(PLAN, "exit 7")): 1,
        ("resumed", "--resume", *shell("executor", RAN)): 0,
        ("repeated", *PASSING, *stages(PLAN, "exit 7")): 1,
        ("repeated", "--resume", "--rerun", "manager", *shell("executor", RAN)): 0,
        ("repeated", "--resume"): 0,
        ("set_aside", *DENIED, *stages(PLAN, "exit 7")): 3,
        ("set_aside", "--resume", *PASSING): 1,
        ("set_aside", "--resume", "--rerun", "manager", *shell("manager", "exit 8")): 1,
        ("passed_over", *PASSING, *shell("executor", RAN)): 0,
    }
    for command, code in commands.items():
        planned = PLANNED if PLAN in command else ()
        assert orchestrate(*command, *planned, cwd=cwd).code == code
    assert ended_in_mid_stage("interrupted", signal.SIGTERM, cwd) == 143
    for name in ("killed", "revived"):
        assert ended_in_mid_stage(name, signal.SIGKILL, cwd) == -signal.SIGKILL
    assert orchestrate("revived", "--resume", *shell("executor", RAN), cwd=cwd).code == 0
