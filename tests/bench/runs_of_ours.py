"""Runs through the Python interface, as the figures need them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fsm_orchestrator import KeeperPool, RunConfig, StageGiven, run
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Gate

PASSED: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
PASSING_FLAGS: Final = (
    *("--policy-status", "allow"),
    *("--ci-status", "success"),
    *("--review-status", "approved"),
)


def stage(program: str, *args: str, **given: Any) -> StageGiven:
    """Return a stage that runs a program."""
    return StageGiven(bin=program, args=args, **given)


def run_once(
    output: Path, manager: StageGiven, executor: StageGiven, keepers: KeeperPool | None = None
) -> Report:
    """Make one run whose gates pass, in `output`.

    Raises:
        RuntimeError: it does not end in done.
    """
    stages = {"manager": manager, "executor": executor}
    config = RunConfig(output_directory=output, gates=PASSED, stages=stages)
    report = run(config, keepers=keepers)
    if report.exit_code != 0:
        raise RuntimeError(f"a run ended with exit code {report.exit_code}")
    return report


def run_true(output: Path, true: str, keepers: KeeperPool | None = None) -> Report:
    """Make one run whose two stages do nothing."""
    return run_once(output, stage(true), stage(true), keepers)
