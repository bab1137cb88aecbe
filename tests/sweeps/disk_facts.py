"""The facts that a sweep reads from the disk."""

from __future__ import annotations

import json
from pathlib import Path

from fsm_orchestrator import load_report
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report
from tests.support.command import REPORT
from tests.sweeps.desk import EARLIER, Desk
from tests.sweeps.histories import checkpoint_in


def report_in(directory: Path) -> Report | None:
    """Return the report in a directory, or None if it is missing or torn by a power cut."""
    path = directory / REPORT
    try:
        json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return load_report(directory)


def begun_checkpoint(desk: Desk) -> Checkpoint | None:
    """Return the checkpoint of the run that is to be resumed, or None if it has none."""
    kept = checkpoint_in(desk.out)
    return None if kept is None or kept.run_id == EARLIER else kept


def are_values_lost(kept: Checkpoint | None) -> bool:
    """Return whether the run has warned that a resume will ask for environment values."""
    warnings = () if kept is None else kept.invocation.warnings
    return any("cannot be kept" in warning for warning in warnings)


def own_failures(report: Report) -> list[StageExecution]:
    """Return the program's own failures in a report."""
    return [one for one in report.stage_executions if one.attempt == 0]
