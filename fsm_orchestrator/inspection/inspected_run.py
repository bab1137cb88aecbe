"""A run as seen from its output directory: report, checkpoint, and the process at work there.

Reads only. The checkpoint is believed before the report, and a file that cannot be used is
reported, never passed over.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.constants import CHECKPOINT_FILE, EVENTS_FILE, REPORT_FILE
from fsm_orchestrator.disk import archive, files
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import CheckpointError, Holder, ReportError
from fsm_orchestrator.inspection.holder import holder_now, standing_of_held
from fsm_orchestrator.inspection.run_directories import run_directory
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.record.closure import judge_artifacts
from fsm_orchestrator.record.events_mark import lost_events
from fsm_orchestrator.record.home import Whereabouts
from fsm_orchestrator.record.kept import kept_settings
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.report_building import build_report
from fsm_orchestrator.record.report_check import checked
from fsm_orchestrator.record.report_reader import read_report
from fsm_orchestrator.stages.artifacts import JudgingCutShortError, MayGoOn, always
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Outcome, Standing

ORCHESTRATOR_DIED: Final = "its orchestrator died without recording an outcome"
"""The sentence on a run that was interrupted."""
CUT_SHORT_ELSEWHERE: Final = "its record ends in the middle of the run, which was elsewhere then"
"""The sentence on a run that was interrupted, or continued, in another directory."""
ORCHESTRATOR_STOPPED: Final = "its orchestrator is stopped, by Ctrl-Z or SIGSTOP"
"""The sentence on a run that is suspended."""


def continuing(holder: Holder) -> tuple[str, ...]:
    """Return the command that continues a suspended run."""
    return ("kill", "-CONT", str(holder.pid))


@dataclass(frozen=True, slots=True)
class InspectedRun:
    """A run as far as it can be known from outside.

    Attributes:
        directory: where its files are, absolute.
        report: its report; if none was written, the one that the checkpoint implies.
        saved: its checkpoint and private file; None if the checkpoint cannot be used, and
            `trouble` says why.
        trouble: what is wrong with its files, as a sentence; None if nothing is.
        holder: the process at work there now; None if there is none.
        is_archived: True if a later run has taken its place.
        bundle: the bundle that it was read from, as it may be shown; None for one in a directory.
            A bundled run counts as archived: nothing on this machine belongs to it.
    """

    directory: Path
    report: Report
    saved: SavedRun | None
    trouble: str | None
    holder: Holder | None
    is_archived: bool
    bundle: str | None = None

    @property
    def run_directory(self) -> Path:
        """The run as its user names it: under an engine its record is in an epoch below."""
        return run_of(self.directory)

    @property
    def has_engine(self) -> bool:
        """True if an engine decides when and where it continues."""
        return self.run_directory != self.directory

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint; None if it cannot be used."""
        return None if self.saved is None else self.saved.checkpoint

    @property
    def standing(self) -> Standing:
        """The run's standing."""
        return standing_of(self.report, self.directory, self.holder)

    @property
    def open_attempts(self) -> tuple[AttemptRecord, ...]:
        """The attempts at work, or those without a recorded end: several only in a group."""
        return () if self.checkpoint is None else self.checkpoint.open_attempts

    def open_attempt_of(self, stage: str) -> AttemptRecord | None:
        """Return the open attempt of a stage, or None."""
        return next((one for one in self.open_attempts if one.stage == stage), None)

    @property
    def invocations(self) -> Sequence[InvocationRecord]:
        """Every start of the command that the report records, the latest last."""
        latest = self.report.latest
        if self.checkpoint is not None:
            kept = self.checkpoint.invocation
            latest = latest.model_copy(
                update={"passed_over": kept.passed_over, "rerun": kept.rerun}
            )
        return (*self.report.earlier_invocations, latest)

    @property
    def invocation_count(self) -> int:
        """The number of times that the command was started for the run."""
        return self.report.latest_number

    @property
    def relocation_sentence(self) -> str | None:
        """The sentence on a record that is not where it was written; None for others."""
        if self.checkpoint is None or self.is_archived:
            return None
        home = self.checkpoint.home
        if self.where.is_home and not home.copied_from:
            return None
        from fsm_orchestrator.record import relocation  # noqa: PLC0415 - rare

        if self.where.is_home:
            return relocation.copy_sentence(home)
        return relocation.relocation_sentence(self.checkpoint, self.where)

    @property
    def where(self) -> Whereabouts:
        """The place of the record, compared with the directory that it was written in."""
        return Whereabouts.HOME if self.saved is None else self.saved.where

    @property
    def cut_short_words(self) -> str:
        """The sentence on a run whose record has no outcome, and that is not at work here."""
        return ORCHESTRATOR_DIED if self.where.has_processes else CUT_SHORT_ELSEWHERE

    @property
    def since(self) -> str:
        """The time since which the run has its standing."""
        if self.report.finished_at is not None and self.holder is None:
            return self.report.finished_at
        walks = [one.transitions for one in self.invocations if one.transitions]
        return walks[-1][-1].at if walks else self.report.started_at


def standing_of(report: Report, directory: Path, holder: Holder | None) -> Standing:
    """Return the standing of a run; `holder` is the process at work in its directory."""
    if holder is not None:
        return standing_of_held(directory, holder)
    match report.terminal_state:
        case None:
            return Standing.INTERRUPTED
        case Outcome.DONE:
            return Standing.DONE if report.closure_ready else Standing.NOT_CLOSABLE
        case Outcome.BLOCKED:
            return Standing.WAITING if report.is_waiting else Standing.BLOCKED
        case Outcome.FAILED:
            return Standing.INTERRUPTED if report.next_task_queue else Standing.FAILED
        case Outcome.TIMEOUT:
            return Standing.TIMEOUT


class StateNow(NamedTuple):
    """The differences between a done run now and at its closure, as sentences.

    Attributes:
        wrong: what keeps it from being closed.
        changed: of that, artifacts that are valid but not as their stage left them.
    """

    wrong: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def state_now(view: InspectedRun, may_go_on: MayGoOn = always) -> StateNow:
    """Return the changes to a run since it was done; none for a run that is not done.

    An archived run is judged by the artifacts that were archived with it, a bundled run by none. If
    `may_go_on` says no, the artifacts count as they were recorded.
    """
    is_done = view.standing in {Standing.DONE, Standing.NOT_CLOSABLE}
    if view.saved is None or view.bundle is not None or not is_done:
        return StateNow()
    checkpoint, kept = view.saved.checkpoint, kept_settings(view.saved)
    try:
        verdict = judge_artifacts(checkpoint, kept.completed, may_go_on=may_go_on)
    except JudgingCutShortError:
        return StateNow()
    if view.is_archived:
        verdict = verdict.below(view.directory)
    if verdict.is_intact:
        return StateNow()
    wrong = kept.masker.mask(verdict.summary())
    return StateNow(
        wrong=(f"it is done, but expected artifacts are wrong now: {wrong}",),
        changed=kept.masker.mask_all(one.difference for one in verdict.changed),
    )


def inspect_run(output: Path, run_id: str | None = None) -> InspectedRun:
    """Read the run in an output directory, or the archived run with that id.

    Raises:
        UsageError: there is no run with that id.
        ReportError: neither report nor checkpoint can be used.
    """
    directory = run_directory(output, run_id)
    is_archived = directory != output
    holder = None if is_archived else holder_now(output)
    saved, trouble = _saved(directory)
    report, report_trouble = _report(directory, saved, trouble, is_at_work=holder is not None)
    if holder is None and saved is not None:
        trouble = _events_trouble(directory, saved.checkpoint) or _rebuilding_trouble(
            directory, saved, is_archived=is_archived
        )
    if holder is None and not is_archived:
        trouble = archive.half_archived(output, report.run_id) or trouble
    if holder is not None and trouble is not None and not _has_checkpoint(directory):
        trouble = None  # the run has only begun
    return InspectedRun(directory, report, saved, trouble or report_trouble, holder, is_archived)


def inspect_ended(output: Path, report: Report) -> InspectedRun:
    """Inspect the run in an output directory whose latest invocation ended with `report`."""
    saved, trouble = _saved(output)
    return InspectedRun(output, report, saved, trouble, holder=None, is_archived=False)


def _has_checkpoint(directory: Path) -> bool:
    return os.path.lexists(directory / CHECKPOINT_FILE)


def _saved(directory: Path) -> tuple[SavedRun | None, str | None]:
    try:
        return checkpoint_reader.load_saved(directory), None
    except CheckpointError as error:
        return None, str(error)


def _events_trouble(directory: Path, checkpoint: Checkpoint) -> str | None:
    """Return what has become of the events that the record has marked; None if all are there."""
    path = directory / EVENTS_FILE
    try:
        lost = lost_events(path, checkpoint.events)
    except OSError as error:
        return f"cannot read {copyable(path)}: {files.reason(error)}"
    return None if lost is None else lost.sentence


def _rebuilding_trouble(directory: Path, saved: SavedRun, *, is_archived: bool) -> str | None:
    """Return the finding that the record differs from its file, and its repair; else None."""
    if saved.rebuilt is None:
        return None
    finding = saved.rebuilt.finding(directory / CHECKPOINT_FILE)
    return finding if is_archived else f"{finding}; a resume repairs it"


def _report(
    directory: Path, saved: SavedRun | None, trouble: str | None, *, is_at_work: bool
) -> tuple[Report, str | None]:
    """Return the report to use, and what is wrong with the one that was written.

    `trouble` is what is wrong with the checkpoint if `saved` is None.

    Raises:
        ReportError: neither can be used.
    """
    try:
        report = read_report(directory / REPORT_FILE)
        if saved is None:  # nothing may be closed on the word of the report alone
            return report.model_copy(update={"closure_ready": False}), None
        if saved.relocation is not None:
            report = saved.relocation.report(report)
        if is_at_work:
            return report, None
        found = checked(report, saved.checkpoint, lambda: _is_intact(saved))
        if not found.contradicted:
            return found.report, None
        return found.report, (
            f"{copyable(directory / REPORT_FILE)} is not what {CHECKPOINT_FILE} beside it says, in"
            f" {', '.join(found.contradicted)}: the checkpoint is believed"
        )
    except ReportError as error:
        if saved is None:
            raise _nothing_known(directory, error, trouble) from error
        return build_report(saved.checkpoint, artifacts_intact=_is_intact(saved)), str(error)


def _nothing_known(directory: Path, error: ReportError, trouble: str | None) -> ReportError:
    """Return the error for a run that no resume could help: a resume needs the checkpoint."""
    if not os.path.lexists(directory / REPORT_FILE) and not _has_checkpoint(directory):
        return error
    said = f"{error}; {trouble}" if _has_checkpoint(directory) else str(error)
    return ReportError(said, remedy=checkpoint_reader.REMEDY)


def _is_intact(saved: SavedRun) -> bool:
    return judge_artifacts(saved.checkpoint, kept_settings(saved).completed).is_intact
