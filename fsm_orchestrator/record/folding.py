"""Folds invocations that ran nothing and had the same result as the one before them.

Otherwise a run whose gates are checked again and again would grow with every answer. The record
keeps how many there were and when the first and the last of them worked; the events have each of
them in full.
"""

from __future__ import annotations

from typing import Any

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import InvocationRecord, Repeats, TransitionRecord
from fsm_orchestrator.vocabulary import ExitCode, StageStatus

_FOLDED_CODES = frozenset({ExitCode.DONE, ExitCode.BLOCKED})


def folded(invocations: tuple[InvocationRecord, ...]) -> tuple[InvocationRecord, ...]:
    """Fold the last of some invocations into the one before it, if it repeats that one."""
    if len(invocations) < 2:  # noqa: PLR2004 - the two that are compared
        return invocations
    *rest, before, last = invocations
    finished_at = last.finished_at
    if finished_at is None or not is_foldable(before) or _essence(before) != _essence(last):
        return invocations
    if (before.used is None) is not (last.used is None):
        return invocations
    count = last.last_number - before.number
    repeats = Repeats(count=count, last_started_at=last.started_at, last_finished_at=finished_at)
    used = None if before.used is None else before.used.with_more(last.used)
    return (*rest, before.model_copy(update={"repeats": repeats, "used": used}))


def is_foldable(invocation: InvocationRecord) -> bool:
    """Return whether an invocation can be repeated: it ran nothing, and led back to its start."""
    walk = invocation.transitions
    return (
        invocation.exit_code in _FOLDED_CODES
        and all(one.status is StageStatus.SKIPPED for one in invocation.stage_executions)
        and (not walk or walk[0].source == walk[-1].dest)
    )


def _essence(invocation: InvocationRecord) -> dict[str, Any]:
    """Return the fields that a repetition has to share: all but times, numbers and traces."""
    apart = {"number", "started_at", "finished_at", "repeats", "used", "epoch"}
    said = {key: value for key, value in invocation if key not in apart}
    if invocation.origin is not None and invocation.origin.trace is not None:
        said["origin"] = invocation.origin.model_copy(update={"trace": None})
    return said | {
        "transitions": tuple(map(_step, invocation.transitions)),
        "stage_executions": tuple(map(_skip, invocation.stage_executions)),
    }


def _step(transition: TransitionRecord) -> TransitionRecord:
    return transition.model_copy(update={"seq": 0, "at": ""})


def _skip(execution: StageExecution) -> StageExecution:
    return execution.model_copy(update={"started_at": "", "duration_ms": 0})
