"""A run whose checkpoint could never be written: its resume starts from the beginning."""

from __future__ import annotations

from pathlib import Path

from fsm_orchestrator.constants import REPORT_FILE
from fsm_orchestrator.errors import ReportError
from fsm_orchestrator.record.left_file import lines_of
from fsm_orchestrator.record.report_reader import read_report


def is_nothing_kept(output: Path) -> bool:
    """Return whether the report proves that nothing was spawned, and nothing contradicts it.

    If an invocation of the run is known to have ended, its checkpoint was there.
    """
    try:
        report = read_report(output / REPORT_FILE)
    except ReportError:
        return False
    known = (one for one in lines_of(output) if one.run_id == report.run_id)
    return report.is_nothing_kept and not any(one.is_sealed for one in known)
