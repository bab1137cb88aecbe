"""Copies of killed runs, and kills while a copy becomes a run of its own."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import Report, RunConfig, StageGiven, resume, run
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CheckpointError, UsageError
from fsm_orchestrator.record import checkpoint_reader
from tests.support.command import CHECKPOINT, tree_of
from tests.support.soak import SOAK

GATES: Final = {"policy": "allow", "ci": "success", "review": "approved"}
STAGES: Final = {"manager": StageGiven(bin="true"), "executor": StageGiven(bin="true")}
OPERATIONS: Final = 60
"""More than the operations before the first stage begins, fewer than those of a whole run."""
SEED: Final = 1904


def moments() -> list[int]:
    """Return the operations to kill before: some, drawn by a seed, or all of them in a soak."""
    every = range(4, OPERATIONS)  # the directory exists by then
    return list(every) if SOAK else sorted(random.Random(SEED).sample(every, 5))  # noqa: S311 - a seed


def killed(number: int, work: Callable[[], Report]) -> bool:
    """Work in a process that is killed before its n-th operation; return whether it was."""
    child = os.fork()
    if child == 0:
        count, real = 0, files.perform

        def perform(operation: Any, call: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                if operation is files.SystemCall.WRITE:  # half of the data is written
                    call(args[0], args[1][: len(args[1]) // 2])
                os._exit(9)
            return real(operation, call, *args, **kwargs)

        files.perform = perform
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def config(output: Path, **more: Any) -> RunConfig:
    """Return the request of a run in a directory."""
    return RunConfig(output_directory=str(output), directory=str(output.parent), **more)


def copied(source: Path, target: Path) -> None:
    """Copy with `cp -a`."""
    subprocess.run(["/bin/cp", "-a", source, target], check=True)


@pytest.mark.parametrize("number", moments())
def test_copy_of_a_killed_run(tmp_path: Path, number: int) -> None:
    """Whenever the run was killed, its copy continues as a new run, and the original as itself."""
    out, copy = tmp_path / "out", tmp_path / "copy"
    assert killed(number, lambda: run(config(out, gates=GATES, stages=STAGES, run_id="first")))
    copied(out, copy)
    if not (copy / CHECKPOINT).exists():
        with pytest.raises(CheckpointError, match="nothing to resume"):
            resume(config(copy))
        return
    with pytest.raises(UsageError, match="is a copy of the run in"):
        resume(config(copy))
    before = tree_of(out)
    report = resume(config(copy, as_copy=True, run_id="second"))
    assert (report.run_id, report.terminal_state) == ("second", "done")
    assert tree_of(out) == before
    report = resume(config(out))
    assert (report.run_id, report.terminal_state) == ("first", "done")


@pytest.mark.parametrize("number", moments())
def test_kill_while_a_copy_becomes_a_run(tmp_path: Path, number: int) -> None:
    """The copy is still a copy or the new run, never a mixture; the original is unchanged."""
    out, copy = tmp_path / "out", tmp_path / "copy"
    failing = {**STAGES, "executor": StageGiven(bin="false")}
    assert run(config(out, gates=GATES, stages=failing, run_id="first")).terminal_state == "failed"
    copied(out, copy)
    before = tree_of(out)
    fixed = {"executor": StageGiven(bin="true")}
    again = config(copy, as_copy=True, run_id="second", stages=fixed)
    killed(number, lambda: resume(again))
    found = checkpoint_reader.load_saved(copy)
    is_new = found.checkpoint.run_id == "second"
    assert found.checkpoint.run_id in {"first", "second"}
    assert [one.run_id for one in found.checkpoint.home.copied_from] == ["first"] * is_new
    report = resume(config(copy, stages=fixed) if is_new else again)
    assert (report.run_id, report.terminal_state) == ("second", "done")
    kept = checkpoint_reader.load(copy)
    assert [one.invocations for one in kept.home.copied_from] == [1]
    assert tree_of(out) == before
