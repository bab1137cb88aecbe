"""Reading a report back. Writing it is recorder.py's duty."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fsm_orchestrator import files
from fsm_orchestrator.errors import ReportError
from fsm_orchestrator.report import Report

REPORT_BYTES_MAX: Final = 64 * 1024 * 1024


def read_report(file: Path) -> Report:
    """The report in a file.

    Raises:
        ReportError: there is none, or it cannot be understood.
    """
    try:
        return Report.model_validate_json(files.read_bounded(file, REPORT_BYTES_MAX))
    except FileNotFoundError:
        raise ReportError(
            f"no run has left a report in {file.parent}", remedy="check the directory"
        ) from None
    except (OSError, ValidationError) as error:
        reason = files.reason(error) if isinstance(error, OSError) else "it is not a report of ours"
        raise ReportError(
            f"cannot read {file}: {reason}", remedy="a resume of the run writes it again"
        ) from None
