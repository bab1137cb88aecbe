"""The overview of a run in one line of a long list, read from the beginnings of its files.

The report holds earlier invocations at its end; they are not read. Of the checkpoint, the beginning
says the run's id, state, lifecycle and outcome, and the last event when it ended: where a report
says otherwise, the run is looked at whole. What else they say, and whether the run can be resumed,
is for `status OUT` and `explain`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.constants import CHECKPOINT_FILE, EVENTS_FILE, REPORT_FILE
from fsm_orchestrator.disk import files, peek
from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.errors import CommandError, ReportError
from fsm_orchestrator.inspection.holder import standing_of_held
from fsm_orchestrator.inspection.inspected_run import inspect_run, standing_of
from fsm_orchestrator.model.base import Count, RunId, StateName, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.record.events_mark import document_of, line_before
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.report_reader import read_latest_invocation
from fsm_orchestrator.secrets.of_run import known_secrets
from fsm_orchestrator.stages.output_files import LatestLog, latest_logs
from fsm_orchestrator.stages.output_tail import last_line
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.terminal import last_lines, shown_line
from fsm_orchestrator.vocabulary import EventName, Outcome, Standing

LINE_CHARACTERS_MAX: Final = 500
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class RunOverview(StrictModel):
    """A run's standing, in one line."""

    output_directory: str = Field(description="The run's directory, as it was named.")
    run_id: RunId | None = Field(None, description="Identifies the run; null when not known.")
    standing: Standing | None = Field(
        None, description="Where the run stands; null when its report cannot be read."
    )
    current_state: StateName | None = Field(
        None, description="The last state that was made durable; null when it is not known."
    )
    since: Timestamp | None = Field(
        None, description="Since when it is in that state, in UTC; null when it is not known."
    )
    stage: StateName | None = Field(
        None, description="The stage that was run last; null when none was, or it is not known."
    )
    attempt: Count = Field(0, description="Number of that stage's last attempt; 0 without one.")
    blocked_reason_codes: tuple[str, ...] = Field(
        (), description="Reason codes of the gates that refused."
    )
    exit_code: int | None = Field(None, description="The exit code of the latest command.")
    last_line: str = Field(
        "",
        description=(
            "The last line that a stage printed, masked; empty where there is none, or where it may"
            " hold a value that is no longer known."
        ),
    )
    trouble: str | None = Field(None, description="Why nothing more is known; null when it is.")


def is_run_directory(directory: Path) -> bool:
    """Return whether a run has left its files here."""
    for name in (REPORT_FILE, CHECKPOINT_FILE):
        try:
            os.stat(os.path.join(directory, name))
        except OSError as error:
            if error.errno not in _ABSENT:  # not readable: reported later, never passed over
                return True
        else:
            return True
    return False


def overview_of(directory: Path, shown: str) -> RunOverview:
    """Read the run in a directory, to be shown as `shown`. Never raises for what is there."""
    known: dict[str, Any] = {"output_directory": shown}
    try:
        holder = holder_of(directory)
    except CommandError as error:
        return RunOverview(**known, trouble=str(error))
    if holder is not None:
        known |= {"run_id": holder.run_id, "standing": standing_of_held(directory, holder)}
    logs = latest_logs(directory)
    if logs:
        newest = max(logs, key=lambda one: (one.status.st_ctime_ns, one))
        known |= {"stage": newest.stage, "attempt": newest.attempt}
    try:
        report = read_latest_invocation(directory / REPORT_FILE)
    except ReportError as error:
        return RunOverview(**known, trouble=str(error))
    members = _leading_members(directory)
    if holder is None and (
        _may_be_contradicted(directory, report, members) or not _is_last_end(directory, report)
    ):
        try:
            view = inspect_run(directory)
        except CommandError as error:
            return RunOverview(**known, trouble=str(error))
        report, known["trouble"] = view.report, view.trouble
    known |= {
        "run_id": report.run_id,
        "standing": standing_of(report, directory, holder),
        "current_state": report.current_state,
        "since": report.transitions[-1].at if report.transitions else report.started_at,
        "blocked_reason_codes": report.blocked_reason_codes,
        "exit_code": report.exit_code,
        "last_line": _of_record(report) or _last_line(directory, logs, report, members),
    }
    return RunOverview(**known)


def _leading_members(directory: Path) -> Mapping[str, Any] | None:
    try:
        return peek.leading(peek.beginning(directory / CHECKPOINT_FILE))
    except OSError:
        return None


def _may_be_contradicted(
    directory: Path, report: Report, members: Mapping[str, Any] | None
) -> bool:
    """Return whether the beginning of the checkpoint says, or hints at, what the report does not.

    In most lifecycles each end has the name of its outcome; others are looked at whole. Without a
    checkpoint, only a run that is said to be done has to be looked at again.
    """
    here = None if members is None else peek.standpoint(members)
    outcome = report.terminal_state
    if here is None:
        has_none = not os.path.lexists(directory / CHECKPOINT_FILE)
        return outcome is Outcome.DONE or not has_none
    if report.lifecycle is None:  # refused before the checkpoint was looked at
        return report.run_id != here.run_id or outcome is not Outcome.FAILED
    if here != (report.run_id, report.current_state, report.lifecycle.sha256):
        return True
    ends = {one.value for one in Outcome}
    is_named = here.current_state == outcome if outcome else here.current_state not in ends
    return not is_named or (report.closure_ready and outcome is not Outcome.DONE)


def _is_last_end(directory: Path, report: Report) -> bool:
    """Return whether the events end with the end that the report tells of.

    A power cut can leave report and checkpoint of an invocation before the one that ended last.
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


def run_directories(directory: Path) -> Iterator[Path]:
    """Return the run directories right below a directory, by name; each is looked for when due.

    Raises:
        ReportError: the directory cannot be read.
    """
    try:
        with os.scandir(directory) as entries:
            names = sorted(one.name for one in entries if _may_be_directory(one))
    except OSError as error:
        raise ReportError(f"cannot read {copyable(directory)}: {files.reason(error)}") from error
    return filter(is_run_directory, (directory / name for name in names))


def _may_be_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links, or what lies behind a link may not be seen
        return False


def _of_record(report: Report) -> str:
    """Return what the record has to tell in the place of the last line: empty for nothing."""
    if report.is_unearned:
        return f"no binary: {', '.join(report.unrun_stages)}"[:LINE_CHARACTERS_MAX]
    last = report.stage_executions[-1:]
    failed = next((one.failed_verification for one in last), None)
    if failed is None:
        return ""
    tails = (failed.stdout_tail, failed.stderr_tail)
    lines = [line for text in tails for line in last_lines(text, 1)]
    return shown_line(lines[-1]).strip()[:LINE_CHARACTERS_MAX] if lines else ""


def _last_line(
    directory: Path, logs: Sequence[LatestLog], report: Report, members: Mapping[str, Any] | None
) -> str:
    """Return the last printed line; none if it may hold a value that is no longer known."""
    secrets = known_secrets(directory, members)
    if secrets.are_lost or secrets.unknown:
        return ""
    for execution in report.stage_executions:
        if not secrets.cover(execution.stage, execution.env_keys):
            return ""
    return last_line(logs, secrets.masker)[:LINE_CHARACTERS_MAX]
