"""The causes that blocked a run, and the gates that it waits for. Pure; loaded for blocked runs."""

from __future__ import annotations

from collections.abc import Iterable

from fsm_orchestrator.gates.judging import is_awaited
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.model.waiting import WaitingFor
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.work import asking_state
from fsm_orchestrator.vocabulary import StateKind, Trigger


def blocking_stage(checkpoint: Checkpoint) -> str | None:
    """Return the stage that said that it is blocked, and so blocked the run; else None."""
    taken = checkpoint.invocation.transitions
    return taken[-1].source if taken and taken[-1].trigger is Trigger.STAGE_BLOCKED else None


def stage_reason_code(stage: str) -> str:
    """Return the reason code of a run that is blocked by a stage."""
    return f"STAGE_{stage.upper()}_BLOCKED"


def blocking_gates(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the gates that can have blocked a run, in judging order.

    If a gate state has blocked it, those that this state judges; if its closing was refused, all.
    None if a stage has blocked it.
    """
    if blocking_stage(checkpoint) is not None:
        return ()
    lifecycle, taken = checkpoint.lifecycle, checkpoint.invocation.transitions
    here = lifecycle.states.get(taken[-1].source) if taken else None
    if here is None or here.kind is not StateKind.GATE:
        return tuple(lifecycle.gates)
    return lifecycle.judged_in(here)


def refusing(checkpoint: Checkpoint, decisions: Iterable[GateDecision]) -> tuple[GateDecision, ...]:
    """Return those of the decisions in force that can have blocked a run."""
    gates = blocking_gates(checkpoint)
    return tuple(one for one in decisions if one.gate in gates)


def waiting_for(
    checkpoint: Checkpoint, decisions: Iterable[GateDecision]
) -> tuple[WaitingFor, ...]:
    """Return the gates that a blocked run waits for, from the decisions that blocked it."""
    return tuple(_waiting(checkpoint, one) for one in decisions if is_awaited(one))


def _waiting(checkpoint: Checkpoint, decision: GateDecision) -> WaitingFor:
    asked = None if decision.evidence is None else decision.evidence.approval
    if asked is None:
        return WaitingFor(
            gate=decision.gate,
            state=asking_state(checkpoint, decision.gate).name,
            request=None,
            approvers=(),
            given=0,
            needed=1,
            expires_at=None,
        )
    return WaitingFor(
        gate=decision.gate,
        state=asked.state,
        request=asked.request,
        approvers=asked.approvers,
        given=asked.given,
        needed=asked.needed,
        expires_at=asked.expires_at,
    )
