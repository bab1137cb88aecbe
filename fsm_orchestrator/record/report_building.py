"""Makes the report that a checkpoint implies."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.gates.judging import have_passed, reason_codes
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import EventsHead, LifecycleName, Report, shared_fields
from fsm_orchestrator.vocabulary import Outcome

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import BudgetReport
    from fsm_orchestrator.model.waiting import WaitingFor


def build_report(
    checkpoint: Checkpoint, *, artifacts_intact: bool, outcome: Outcome | None = None
) -> Report:
    """Return the report that a checkpoint implies.

    `artifacts_intact`: True if all expected artifacts are good now. `outcome` overrides that of the
    current state, for a run that failed because a state could not be made durable.
    """
    is_over = checkpoint.invocation.finished_at or checkpoint.lifecycle.finally_stage is None
    terminal = outcome or (checkpoint.outcome if is_over else None)
    decisions = checkpoint.decisions_in_force(terminal)
    codes: tuple[str, ...] = ()
    awaited: tuple[WaitingFor, ...] = ()
    if terminal is Outcome.BLOCKED:
        from fsm_orchestrator.record import waiting  # noqa: PLC0415 - not for a good run

        refusing = waiting.refusing(checkpoint, decisions)
        awaited = waiting.waiting_for(checkpoint, refusing)
        stage = waiting.blocking_stage(checkpoint)
        codes = reason_codes(refusing) if stage is None else (waiting.stage_reason_code(stage),)
    is_done = terminal is Outcome.DONE
    unrun: tuple[str, ...] = ()
    nothing_ran = had_nothing_to_do = is_unfinished = False
    if is_done:
        from fsm_orchestrator.record import earned  # noqa: PLC0415 - at the end

        unrun, nothing_ran = earned.unrun_stages(checkpoint), earned.has_run_nothing(checkpoint)
        had_nothing_to_do, is_unfinished = earned.ends_open(checkpoint)
    is_open = unrun or nothing_ran or had_nothing_to_do or is_unfinished
    may_close = is_done and artifacts_intact and checkpoint.doubt is None and not is_open
    return Report(
        schema_version=1,
        product=PRODUCT,
        run_id=checkpoint.run_id,
        lifecycle=_named(checkpoint.lifecycle.name, checkpoint.lifecycle_sha256),
        terminal_state=terminal,
        closure_ready=may_close and have_passed(decisions, checkpoint.lifecycle.gates),
        unrun_stages=unrun,
        nothing_ran=nothing_ran,
        nothing_to_do=had_nothing_to_do,
        current_state=checkpoint.current_state,
        subject=checkpoint.subject,
        own_gates=checkpoint.lifecycle.gate,
        budget=_budget(checkpoint),
        blocked_reason_codes=codes,
        waiting_for=awaited,
        events_head=_head_in(checkpoint),
        invocations_moved=(
            0 if checkpoint.earlier is None else checkpoint.earlier.totals.last_number
        ),
        earlier_invocations=checkpoint.invocations[:-1],
        **{**shared_fields(checkpoint.invocation), "gate_decisions": decisions},
    )


@lru_cache(maxsize=64)  # repeated in each report of a run
def _named(name: str, sha256: str) -> LifecycleName:
    return LifecycleName(name=name, sha256=sha256)


def _budget(checkpoint: Checkpoint) -> BudgetReport | None:
    is_used = any(one.used is not None for one in checkpoint.invocations)
    if checkpoint.budget is None and not is_used:
        return None
    from fsm_orchestrator.record.spending import budget_report  # noqa: PLC0415 - only with a budget

    return budget_report(checkpoint)


def with_head(report: Report, checkpoint: Checkpoint) -> Report:
    """Return a report of a checkpoint, now that it has the end of the events."""
    return report.model_copy(update={"events_head": _head_in(checkpoint)})


def _head_in(checkpoint: Checkpoint) -> EventsHead | None:
    """Return the end of the events; None where reports have to be equal byte for byte."""
    sha256 = checkpoint.last_event_sha256
    if sha256 is None or checkpoint.invocation.has_fixed_clock:
        return None
    return EventsHead(seq=checkpoint.last_event_seq, sha256=sha256)
