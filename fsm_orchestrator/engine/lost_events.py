"""Logs and warnings about events that are missing when a run is resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsm_orchestrator.record.chain import Gap, GapCause
from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.record.events_mark import Loss
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import EventName

if TYPE_CHECKING:
    from fsm_orchestrator.engine.context import RunContext


def log_gap(context: RunContext, event_file: EventFile) -> None:
    """Log that the events do not continue from the last line that was written."""
    gap = event_file.gap
    accepted = context.recorder.draft.invocation.accepted
    if gap is None and accepted is not None:
        known = context.preparation.checkpoint
        gap = Gap(known.last_event_seq, known.last_event_sha256, 0, is_torn_only=False)
    if gap is None:
        return
    told: dict[str, Any] = {"last_seq": gap.last_seq, "cut_bytes": gap.cut_bytes}
    if gap.last_sha256 is not None:
        told["last_sha256"] = gap.last_sha256
    if context.preparation.found_sha256 is not None:
        told["checkpoint_sha256"] = context.preparation.found_sha256
    cause = GapCause.TORN if gap.is_torn_only else GapCause.POWER_CUT
    if event_file.lost is not None:
        cause = GapCause.LOST
    if accepted is not None:
        cause = GapCause.ACCEPTED
    context.log.emit(EventName.CHAIN_GAP, level="warning", cause=cause.value, **told)


def warn_of_missing(context: RunContext, event_file: EventFile) -> None:
    """Warn of events that are gone with their whole file, or were lost in a machine crash."""
    if event_file.failure is not None:
        return  # its contents are not known
    lost, known = event_file.lost, context.recorder.draft.last_event_seq
    if lost is not None and lost.loss is Loss.MISSING:
        context.recorder.add_warning(f"{lost.sentence}; this invocation begins a new one")
    elif lost is None and event_file.found_seq < known:
        context.recorder.add_warning(
            f"the events file {copyable(event_file.path)} ends with event"
            f" {event_file.found_seq}, and {known} had been written: the machine went"
            " down before they were on disk, or they were removed"
        )
