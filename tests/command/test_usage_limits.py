"""Limits on the resources of a stage: memory, processes, processor time, the size of files."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from fsm_orchestrator.model.stage_options import BOUNDS
from tests.command.stage_cases import only_execution, run
from tests.support.command import orchestrate, report_of, shell

pytestmark = pytest.mark.one_in(2)

MIB = 1 << 20
HOLD = "x = bytearray(80 << 20); import time; time.sleep(60)"


def python(code: str) -> tuple[str, ...]:
    """Return the options of a manager that is Python code."""
    words = [word for one in ("-S", "-I", "-c", code) for word in ("--manager-arg", one)]
    return ("--manager-bin", "/usr/bin/python3", *words)


@pytest.mark.parametrize(
    ("stage", "option", "limit", "least"),
    [
        (python(HOLD), ("--manager-memory-max", "40MiB"), "memory_bytes_max", 40 * MIB + 1),
        (
            shell("manager", f"python3 -c '{HOLD}' & python3 -c '{HOLD}' & wait"),
            ("--manager-memory-max", "120MiB"),
            "memory_bytes_max",
            120 * MIB + 1,
        ),
        (
            shell("manager", "for i in 1 2 3 4 5 6; do sleep 60 & done; wait"),
            ("--manager-processes-max", "4"),
            "processes_max",
            5,
        ),
        (
            shell("manager", "while :; do :; done & while :; do :; done"),
            ("--manager-cpu-seconds-max", "1"),
            "cpu_seconds_max",
            2,
        ),
        (
            shell("manager", "for i in 1 2 3 4 5 6 7 8 9; do python3 -c 'sum(range(9**8))'; done"),
            ("--manager-cpu-seconds-max", "1"),
            "cpu_seconds_max",
            2,
        ),
    ],
    ids=["memory", "memory together", "processes", "processor", "processor of ended ones"],
)
def test_limit_of_all_processes_together(
    tmp_path: Path, stage: tuple[str, ...], option: tuple[str, str], limit: str, least: int
) -> None:
    """Use beyond a limit ends the stage and its descendants, and is recorded."""
    ended = run(tmp_path, *stage, *option, "--manager-timeout", "2m")
    execution = only_execution(tmp_path)
    assert ended.code == 1
    assert (execution["status"], execution["ending"]) == ("failed", "limit_exceeded")
    exceeded = execution["limit_exceeded"]
    assert (exceeded["limit"], exceeded["held_by"]) == (limit, "sampled")
    assert exceeded["used"] >= least > exceeded["allowed"]
    explained = json.loads(orchestrate("explain", "out", "--json", cwd=tmp_path).stdout)
    words = explained["next_step"]["words"]
    assert BOUNDS[limit].read(words[words.index(option[0]) + 1]) > exceeded["used"]
    report = report_of(tmp_path / "out")
    assert report["current_state"] == "failed"
    leader = f"ORCHESTRATOR_RUN_ID={report['run_id']}"
    for process in psutil.process_iter():
        try:
            assert leader not in Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
        except (OSError, psutil.Error):
            continue


def test_file_beyond_its_limit(tmp_path: Path) -> None:
    """The kernel ends a process that writes a larger file; the limit does not apply to its logs."""
    ended = run(
        tmp_path,
        *shell("manager", "head -c 3000000 /dev/zero; exec head -c 2000000 /dev/zero > big"),
        *("--manager-file-max", "1MiB"),
    )
    execution = only_execution(tmp_path)
    assert ended.code == 1
    assert execution["ending"] == "limit_exceeded"
    assert execution["limit_exceeded"] == {
        "limit": "file_bytes_max",
        "allowed": MIB,
        "used": MIB,
        "held_by": "rlimit",
    }
    assert (tmp_path / "big").stat().st_size == MIB
    assert (tmp_path / "out" / "logs" / "manager.1.stdout.log").stat().st_size == 3_000_000


def test_next_stage_has_limits_of_its_own(tmp_path: Path) -> None:
    """Neither the keeper that started a limited stage nor the next stage is limited."""
    ended = run(
        tmp_path,
        *shell("manager", "true"),
        *("--manager-file-max", "1k", "--manager-processes-max", "50"),
        *shell("executor", "head -c 5000 /dev/zero > big; ulimit -f"),
    )
    assert ended.code == 0
    assert (tmp_path / "big").stat().st_size == 5000


def test_limit_is_offered_doubled(tmp_path: Path) -> None:
    """`explain` names who can raise the limit, and the command for it."""
    run(tmp_path, *shell("manager", "exec head -c 5000 /dev/zero > big"), "--manager-file-max=4000")
    explained = orchestrate("explain", "out", cwd=tmp_path).stdout
    assert "--manager-file-max 8kB" in explained
    assert "make it use less, or raise its limit" in explained


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--manager-memory-max", "0"), "from 1 to"),
        (("--manager-processes-max", "many"), "a whole number of processes"),
        (("--manager-cpu-seconds-max", "-1"), "a whole number of seconds"),
    ],
)
def test_values_that_mean_nothing(tmp_path: Path, option: tuple[str, str], said: str) -> None:
    """Meaningless values are refused before anything starts."""
    ended = run(tmp_path, *shell("manager", "true"), *option)
    assert ended.code == 2
    assert said in ended.stderr
