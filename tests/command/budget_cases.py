"""Stages that meter what they spend, and what the record says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.command import report_of


def spend(amount: str, unit: str = "usd") -> str:
    """Return the shell command by which a stage meters an amount."""
    return f"""echo '{{"unit": "{unit}", "amount": {amount}}}' >> $ORCHESTRATOR_METER"""


def last_execution(directory: Path) -> dict[str, Any]:
    """Return the last stage execution of the last run in a directory."""
    found = report_of(directory / "out")["stage_executions"][-1]
    assert isinstance(found, dict)
    return found


def spent(directory: Path) -> dict[str, tuple[str, str | None, dict[str, str]]]:
    """Return what was spent and allowed of each unit, by the report, and each stage's part."""
    units = report_of(directory / "out")["budget"]["units"]
    return {one["unit"]: (one["spent"], one["allowed"], one["by_stage"]) for one in units}


def stopped_by(directory: Path) -> dict[str, Any]:
    """Return the part of the run's budget that ended the last stage execution."""
    found = last_execution(directory)["metering"]["stopped_by"]
    assert isinstance(found, dict)
    return found
