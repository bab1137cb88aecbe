"""Records that would be larger than any reader accepts."""

from __future__ import annotations

from pathlib import Path

from fsm_orchestrator.disk.peek import RECORD_BYTES_MAX, RECORD_VALUES_MAX
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Operation


def too_large(operation: Operation, path: Path, size_bytes: int) -> OperationError:
    """Return the error that refuses to write a file of that size."""
    return OperationError(
        operation,
        f"cannot write {copyable(path)}: it would have {size_bytes} bytes, and no reader takes"
        f" more than {RECORD_BYTES_MAX}, or {RECORD_VALUES_MAX} values",
        remedy="start a new run without --resume; this one is then archived",
    )


def shortened(report: Report, checkpoint: Path) -> Report:
    """Return a report without its earlier invocations, which the checkpoint has."""
    warning = f"earlier invocations are left out here: {copyable(checkpoint)} has them"
    shorter = {
        "invocations_moved": report.latest_number - 1,
        "earlier_invocations": (),
        "warnings": (*report.warnings, warning),
    }
    return report.model_copy(update=shorter)
