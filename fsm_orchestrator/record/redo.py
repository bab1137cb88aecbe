"""A record rebuilt from the events, by the functions of the checkpoint that made it first.

The events are the write-ahead log of the checkpoint: what they say of a run was durable before it
was taken. A step counts once the line that makes it count is there; what follows the last such line
of an invocation never became part of the run. Pure.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from fsm_orchestrator.model.invocation import GateDecision, TransitionRecord
from fsm_orchestrator.record.budget_events import BudgetSpent
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.events import (
    AttemptInterrupted,
    ClosureRefused,
    EventLine,
    RunEnded,
    RunWarning,
    StageEnded,
    StageRetrying,
    StageSkipped,
    TransitionTaken,
)
from fsm_orchestrator.record.failure_events import RecordingFailed
from fsm_orchestrator.record.gate_events import GateDecided
from fsm_orchestrator.record.moving_out import divided
from fsm_orchestrator.record.record_events import (
    AttemptBegun,
    InvocationsMoved,
    RecordBegun,
    RecordKept,
)
from fsm_orchestrator.record.unseen import attempts_unseen
from fsm_orchestrator.record.unsettled import success_taken_back, unsettled_success
from fsm_orchestrator.vocabulary import Containment, StateKind


class ContradictionError(ValueError):
    """A contradiction between events and the record that they are to follow."""


class Redo:
    """The record as far as it has been rebuilt.

    Attributes:
        kept: the record after the last line that counts; None before there was a whole one.
        steps: how many lines have counted.
    """

    def __init__(self, kept: Checkpoint | None) -> None:
        self.kept = self._draft = kept
        self.steps = 0

    def forget(self) -> None:
        """Start over at the next whole record: something before it is missing."""
        self.kept = self._draft = None

    def follow(self, event: EventLine, digest: str) -> None:
        """Apply an event to the record; `digest` is that of its line.

        Raises:
            ContradictionError: it cannot be one of this record.
        """
        if isinstance(event, RecordKept):
            self._draft = _record(event.record)
        elif self._draft is None or event.run_id != self._draft.run_id:
            return
        elif isinstance(event, RecordBegun):
            self._draft = _begun(self.kept, event)
        else:
            self._draft = _after(self._draft, event)
        if _counts(self._draft, event):
            last = {"last_event_seq": event.seq, "last_event_sha256": digest}
            self.kept = self._draft.model_copy(update=last)
            self.steps += 1


def _counts(draft: Checkpoint, event: EventLine) -> bool:
    """Return whether a line makes those before it count. An end counts with its last line."""
    match event:
        case TransitionTaken():
            return draft.outcome is None
        case AttemptBegun() | StageRetrying():
            return True
        case StageEnded():  # in a group each end is a step: the others continue
            return draft.lifecycle.states[draft.current_state].kind is StateKind.GROUP
        case RunEnded():
            return draft.outcome is not None
        case _:
            return False


def _record(document: dict[str, Any]) -> Checkpoint:
    try:
        return Checkpoint.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise ContradictionError("they hold a record that cannot be used") from error


def _begun(kept: Checkpoint | None, event: RecordBegun) -> Checkpoint:
    if kept is None or event.invocation.number != kept.invocation.last_number + 1:
        raise ContradictionError(
            f"they continue with invocation {event.invocation.number}, which does not follow"
        )
    draft = attempts_unseen(kept).begun(event.invocation)
    return _record({**draft.model_dump(mode="json"), **event.settings})


def _after(draft: Checkpoint, event: EventLine) -> Checkpoint:
    """Return the record after an event, without the number and digest of its line."""
    invocation = draft.invocation
    match event:
        case TransitionTaken():
            return _taken(draft, event.transition)
        case GateDecided():
            return draft.with_invocation(
                gate_decisions=_decided(invocation.gate_decisions, event.decision)
            )
        case AttemptBegun():
            begun = draft.with_invocation(containment=event.containment)
            return begun.attempt_begun(event.record)
        case StageEnded():
            ended = draft.attempt_ended(event.execution)
            is_lost = event.execution.has_lost_keeper
            return ended.with_invocation(
                containment=Containment.PROCESS_GROUP if is_lost else invocation.containment
            )
        case StageSkipped() | ClosureRefused() | BudgetSpent():
            return draft.with_execution(event.execution)
        case RecordingFailed():
            return draft if event.execution is None else draft.with_execution(event.execution)
        case AttemptInterrupted():
            return _interrupted(draft, event)
        case RunWarning():
            return _warned(draft, event)
        case InvocationsMoved():
            division = divided(draft)
            return draft if division is None else division.with_mark(event.file)
        case RunEnded():
            used = invocation.used
            if used is not None:
                used = used.model_copy(update={"worked_ms": event.worked_ms})
            return draft.with_invocation(
                finished_at=event.finished_at,
                exit_code=event.exit_code,
                stop_reason=event.stop_reason,
                next_task_queue=event.next_task_queue,
                used=used,
            )
        case _:
            return draft


def _taken(draft: Checkpoint, transition: TransitionRecord) -> Checkpoint:
    if (transition.seq, transition.source) != (draft.last_seq + 1, draft.current_state):
        raise ContradictionError(
            f"their transition {transition.seq} is from {transition.source!r}, and the record has"
            f" {draft.last_seq} and is in {draft.current_state!r}"
        )
    if transition.dest not in draft.lifecycle.states:
        raise ContradictionError(f"they name an unknown state {transition.dest!r}")
    return draft.taken(transition)


def _decided(
    decisions: tuple[GateDecision, ...], decision: GateDecision
) -> tuple[GateDecision, ...]:
    found = {one.gate: one for one in decisions}
    return tuple({**found, decision.gate: decision}.values())


def _interrupted(draft: Checkpoint, event: AttemptInterrupted) -> Checkpoint:
    """Settle an attempt of this invocation; earlier ones were settled when this one began."""
    execution = event.execution
    if execution is None or event.invocation != draft.invocation.number:
        return draft
    success = unsettled_success(draft)
    if draft.open_attempt_of(execution.stage) is None and success is not None:
        return success_taken_back(draft, success, execution)
    return draft.attempt_ended(execution)


def _warned(draft: Checkpoint, event: RunWarning) -> Checkpoint:
    invocation = draft.invocation
    passed_over = invocation.passed_over
    if event.is_passed_over and event.stage is not None:
        passed_over = tuple(dict.fromkeys((*passed_over, event.stage)))
    return draft.with_invocation(
        warnings=(*invocation.warnings, event.message), passed_over=passed_over
    )
