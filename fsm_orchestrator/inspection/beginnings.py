"""Decides by the beginnings and ends of the other files whether a report may be believed alone.

The beginning of a checkpoint gives the run's id, state, lifecycle and outcome, the last event the
time of its end: a report that says otherwise is not believed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.constants import CHECKPOINT_FILE, EVENTS_FILE
from fsm_orchestrator.disk import files, peek
from fsm_orchestrator.record.events_mark import document_of, line_before
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import EventName, Outcome

_ENDS: Final = frozenset(one.value for one in Outcome)


def leading_members(directory: Path) -> Mapping[str, Any] | None:
    """Return the leading members of a run's checkpoint, or None if it cannot be read."""
    try:
        return peek.leading(peek.beginning(directory / CHECKPOINT_FILE))
    except OSError:
        return None


def is_believed(directory: Path, report: Report, members: Mapping[str, Any] | None) -> bool:
    """Return whether no other file says, or hints at, something that is not in the report."""
    return not _may_be_contradicted(directory, report, members) and _is_last_end(directory, report)


def _may_be_contradicted(
    directory: Path, report: Report, members: Mapping[str, Any] | None
) -> bool:
    """Return whether the beginning of the checkpoint says, or hints at, more than the report.

    In most lifecycles each end has the name of its outcome; others are read in full. Without a
    checkpoint, only a run that is said to be done has to be looked at again.
    """
    here = None if members is None else peek.standpoint(members)
    outcome = report.terminal_state
    if here is None:
        has_none = not os.path.lexists(directory / CHECKPOINT_FILE)
        return outcome is Outcome.DONE or not has_none
    if report.lifecycle is None:  # refused before the checkpoint was read
        return report.run_id != here.run_id or outcome is not Outcome.FAILED
    if here != (report.run_id, report.current_state, report.lifecycle.sha256):
        return True
    is_named = here.current_state == outcome if outcome else here.current_state not in _ENDS
    return not is_named or (report.closure_ready and outcome is not Outcome.DONE)


def _is_last_end(directory: Path, report: Report) -> bool:
    """Return whether the events end with the end that the report records.

    A power cut can leave the report and checkpoint of an invocation before the last one.
    """
    try:
        descriptor = files.open_regular(directory / EVENTS_FILE)
        try:
            last = document_of(line_before(descriptor, os.fstat(descriptor).st_size)) or {}
        finally:
            os.close(descriptor)
    except OSError:
        return False
    told = last.get("event"), last.get("run_id"), last.get("finished_at")
    return told == (EventName.RUN_ENDED, report.run_id, report.finished_at)
