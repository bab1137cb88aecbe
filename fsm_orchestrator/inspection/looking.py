"""Reads a run for one line of a long list: its report, and the beginnings of the other files.

The report holds earlier invocations at its end; they are not read. If another file contradicts the
report, the run is inspected in full. Anything else in the files, and whether the run can be
resumed, is for `status OUT` and `explain`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.constants import ARCHIVE_DIRECTORY, LOCK_FILE, REPORT_FILE
from fsm_orchestrator.disk.where import record_of
from fsm_orchestrator.errors import Holder, OrchestratorError, ReportError
from fsm_orchestrator.inspection.at_work import stages_at_work
from fsm_orchestrator.inspection.beginnings import is_believed, leading_members
from fsm_orchestrator.inspection.blame import last_words_of
from fsm_orchestrator.inspection.holder import holder_now, standing_of_held
from fsm_orchestrator.inspection.inspected_run import (
    ORCHESTRATOR_DIED,
    InspectedRun,
    inspect_run,
    standing_of,
)
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.reasons import reason_of
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.report_reader import read_latest_invocation
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.of_run import known_secrets
from fsm_orchestrator.stages.output_files import LatestLog, latest_logs
from fsm_orchestrator.stages.output_tail import last_line
from fsm_orchestrator.text.instants import is_instant
from fsm_orchestrator.vocabulary import Standing

LINE_CHARACTERS_MAX: Final = 500


class Looked(NamedTuple):
    """A run that was looked at.

    Attributes:
        masker: masks what its stages print; None if that is not shown.
        printed: a digest of its logs when their last line was read.
    """

    overview: RunOverview
    masker: Masker | None = None
    printed: int = 0

    def with_words(self, logs: Sequence[LatestLog]) -> Looked:
        """Return the same with the last line of the stage in question, from its present logs."""
        stamps = ((one.name, one.status.st_size, one.status.st_mtime_ns) for one in logs)
        printed = hash(tuple(stamps))
        if self.masker is None or printed == self.printed:
            return self
        about = {(one.stage, one.attempt) for one in self.overview.at_work}
        about = about or {(self.overview.stage or "", self.overview.attempt)}
        own = (one for one in logs if (one.stage, one.attempt) in about)
        words = last_line(own, self.masker)[:LINE_CHARACTERS_MAX]
        overview = replace(self.overview, last_line=words)
        return self._replace(overview=overview, printed=printed)


def overview_of(directory: Path, shown: str) -> RunOverview:
    """Read the run in a directory, to be shown as `shown`. Never raises for its contents."""
    return look_at(directory, shown).overview


def overview_of_archived(output: Path, run_id: str, shown: str) -> RunOverview:
    """Read an archived run by its id, in the same way as `overview_of`."""
    directory = output / ARCHIVE_DIRECTORY / run_id
    return _looked_at(directory, shown, lambda: inspect_run(output, run_id)).overview


def look_at(directory: Path, shown: str) -> Looked:
    """Read a run like `overview_of`, for callers that will read its stages' output again."""
    directory = record_of(directory)
    return _looked_at(directory, shown, lambda: inspect_run(directory))


def _looked_at(directory: Path, shown: str, inspected: Callable[[], InspectedRun]) -> Looked:
    """Read a run; `inspected` inspects it in full, and its errors are reported."""
    holder: Holder | None = None
    try:
        has_no_holder = _names_no_holder(directory)
        if not has_no_holder:
            holder = holder_now(directory)
        report = _report_of(directory, is_held=holder is not None)
        if has_no_holder and (report is None or report.terminal_state is None):
            holder = holder_now(directory)
            report = _report_of(directory, is_held=holder is not None)
    except OrchestratorError as error:
        return Looked(_unreadable(directory, shown, holder, error))
    if report is None:
        return Looked(_only_begun(directory, shown, holder))
    members = leading_members(directory)
    seen = _Seen(directory, shown, holder, report, members)
    if holder is None and not is_believed(directory, report, members):
        try:
            view = inspected()
        except OrchestratorError as error:
            return Looked(RunOverview(shown, trouble=str(error)))
        seen = seen._replace(report=view.report, trouble=view.trouble, died=view.cut_short_words)
    return _looked(seen)


class _Seen(NamedTuple):
    """The parts of a run that were read.

    Attributes:
        members: the leading members of its checkpoint.
        died: the sentence on a run that was cut short.
    """

    directory: Path
    shown: str
    holder: Holder | None
    report: Report
    members: Mapping[str, Any] | None
    trouble: str | None = None
    died: str = ORCHESTRATOR_DIED


def _names_no_holder(directory: Path) -> bool:
    """Return whether the lock file is empty: a process at work names itself there."""
    try:
        return os.stat(os.path.join(directory, LOCK_FILE)).st_size == 0
    except OSError:
        return False


def _report_of(directory: Path, *, is_held: bool) -> Report | None:
    """Return the report; None if a run that is at work has only begun.

    Raises:
        ReportError: it cannot be used.
    """
    try:
        return read_latest_invocation(directory / REPORT_FILE)
    except ReportError:
        if is_held and not os.path.lexists(directory / REPORT_FILE):
            return None
        raise


def _unreadable(
    directory: Path, shown: str, holder: Holder | None, error: OrchestratorError
) -> RunOverview:
    if holder is None:
        return RunOverview(shown, trouble=str(error))
    standing = standing_of_held(directory, holder)
    return RunOverview(
        shown, run_id=holder.run_id, standing=standing, holder=holder, trouble=str(error)
    )


def _only_begun(directory: Path, shown: str, holder: Holder | None) -> RunOverview:
    held = Holder() if holder is None else holder
    standing = standing_of_held(directory, held)
    return RunOverview(
        shown,
        run_id=held.run_id,
        standing=standing,
        since=_time(held.since),
        started_at=_time(held.since),
        holder=held,
    )


def _looked(seen: _Seen) -> Looked:
    report, directory = seen.report, seen.directory
    standing = standing_of(report, directory, seen.holder)
    has_open = standing.is_held or standing is Standing.INTERRUPTED
    at_work = stages_at_work(directory) if has_open else ()
    executions = report.failures[:1] or report.stage_executions[-1:]
    about = [(one.stage, one.attempt) for one in at_work]
    about += [(one.stage, one.attempt) for one in executions]
    stage, attempt = about[0] if about else (None, 0)
    died = standing is Standing.INTERRUPTED
    overview = RunOverview(
        seen.shown,
        run_id=report.run_id,
        standing=standing,
        reason=reason_of(report, standing) or (seen.died if died else ""),
        current_state=report.current_state,
        since=_time(report.transitions[-1].at if report.transitions else report.started_at),
        started_at=_time(report.started_at),
        finished_at=_time(report.finished_at),
        stage=stage,
        attempt=attempt,
        at_work=() if died else at_work,
        waiting_for=report.waiting_for if standing is Standing.WAITING else (),
        blocked_reason_codes=report.blocked_reason_codes,
        exit_code=report.exit_code,
        holder=seen.holder,
        trouble=seen.trouble,
    )
    if not _tells_last_line(report, standing):
        return Looked(overview)
    looked = Looked(overview, _masker_of(directory, report, seen.members))
    return looked.with_words(latest_logs(directory))


def _time(text: str | None) -> str | None:
    """Return a time of a record, or None if it is not a valid time."""
    return text if is_instant(text) else None


def _tells_last_line(report: Report, standing: Standing) -> bool:
    """Return whether a person would want to see the last line that the stage printed."""
    match standing:
        case Standing.WORKING | Standing.SUSPENDED | Standing.INTERRUPTED:
            return report.next_task_queue is None
        case Standing.FAILED | Standing.TIMEOUT:  # unless the reason has it already
            return not any(last_words_of(one, 1) for one in report.failures[:1])
        case _:
            return False


def _masker_of(directory: Path, report: Report, members: Mapping[str, Any] | None) -> Masker | None:
    """Return the masker for output; None if the output may hold a value that is not known."""
    secrets = known_secrets(directory, members)
    if secrets.are_lost or secrets.unknown:
        return None
    executions = report.stage_executions
    if not all(secrets.cover(one.stage, one.env_keys) for one in executions):
        return None
    return secrets.masker
