"""Whether a checkpoint's history is a walk over its lifecycle, agreeing with what it records.

Pure: nothing is re-fired. A forged `done`, a transition that no edge allows, a verdict that no
gate gave, a success that no attempt had: each is found here and named.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsm_orchestrator.gates.judging import have_passed
from fsm_orchestrator.gates.rules import GATE_RULES
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.execution import fact_of
from fsm_orchestrator.model.invocation import GateDecision, InvocationRecord, TransitionRecord
from fsm_orchestrator.record.attempt_check import attempt_problems
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.vocabulary import ExecutionMode, Gate, GateSource, Outcome, StateKind, Trigger


def problem_of(checkpoint: Checkpoint) -> str | None:
    """The first contradiction in a checkpoint, in words with its field; None when there is none."""
    return next(_problems(checkpoint), None)


def _problems(checkpoint: Checkpoint) -> Iterator[str]:
    lifecycle = checkpoint.lifecycle
    if checkpoint.lifecycle_sha256 != lifecycle.sha256:
        yield "lifecycle_sha256: is not the digest of the lifecycle in the file"
    if checkpoint.current_state not in lifecycle.states:
        yield f"current_state: the lifecycle has no state {checkpoint.current_state!r}"
        return
    yield from _signal_problems(checkpoint)
    state = lifecycle.initial
    seq = 0
    for position, invocation in enumerate(checkpoint.invocations):
        where = f"invocations[{position}]"
        if invocation.number != position + 1:
            yield f"{where}.number: is {invocation.number}, not {position + 1}"
        yield from _invocation_problems(lifecycle, invocation, where)
        yield from _decision_problems(invocation, where)
        for index, transition in enumerate(invocation.transitions):
            seq += 1
            at = f"{where}.transitions[{index}]"
            if transition.seq != seq:
                yield f"{at}.seq: is {transition.seq}, not {seq}"
            if transition.source != state:
                yield f"{at}.source: is {transition.source!r}, but the run was in {state!r}"
            yield from _transition_problems(lifecycle, invocation, transition, at)
            yield from _order_problems(lifecycle, transition, at, is_first=index == 0)
            state = transition.dest
    if checkpoint.current_state != state:
        yield f"current_state: is {checkpoint.current_state!r}, but the history ends in {state!r}"
    yield from _loop_problems(checkpoint)
    yield from attempt_problems(checkpoint)
    yield from _closure_problems(checkpoint)


def _loop_problems(checkpoint: Checkpoint) -> Iterator[str]:
    for edge in checkpoint.lifecycle.loops:
        taken = checkpoint.times_taken(edge)
        if taken > (edge.at_most or 0):
            yield (
                f"invocations: the edge from {edge.source!r} to {edge.dest!r} on"
                f" {edge.trigger.value} was taken {taken} times, and may be at most {edge.at_most}"
            )


def _invocation_problems(
    lifecycle: Lifecycle, invocation: InvocationRecord, where: str
) -> Iterator[str]:
    if invocation.number > 1 and invocation.execution_mode is not ExecutionMode.RESUME:
        yield f"{where}.execution_mode: only the first invocation can begin a run"
    for name in {*invocation.passed_over, *invocation.rerun} - set(lifecycle.stages):
        yield f"{where}: the lifecycle has no stage {name!r}"


def _signal_problems(checkpoint: Checkpoint) -> Iterator[str]:
    if tuple(signal.gate for signal in checkpoint.gate_signals) != tuple(Gate):
        yield "gate_signals: must hold one signal for each gate, in judging order"
    for index, signal in enumerate(checkpoint.gate_signals):
        rule = GATE_RULES[signal.gate]
        if signal.status not in rule.values:
            yield f"gate_signals[{index}].status: unknown value for {signal.gate.value}"
        if signal.source is GateSource.DEFAULT and signal.status != rule.default:
            yield f"gate_signals[{index}].status: was not given, but is not {rule.default!r}"
    judged = {one.gate: one.status for one in _last_decisions(checkpoint)}
    for index, signal in enumerate(checkpoint.gate_signals):
        if judged.get(signal.gate, signal.status) != signal.status:
            yield f"gate_signals[{index}].status: the gate was judged by another"


def _last_decisions(checkpoint: Checkpoint) -> tuple[GateDecision, ...]:
    """What the gates said of the signals in force; none if they have not been judged yet.

    Whoever visits a done run judges nothing, and changes no signal.
    """
    state = checkpoint.lifecycle.states[checkpoint.current_state]
    if state.outcome is Outcome.DONE:
        judging = (one for one in reversed(checkpoint.invocations) if one.gate_decisions)
        return next((one.gate_decisions for one in judging), ())
    return checkpoint.invocation.gate_decisions


def _decision_problems(invocation: InvocationRecord, where: str) -> Iterator[str]:
    decided = tuple(decision.gate for decision in invocation.gate_decisions)
    if decided not in {(), tuple(Gate)}:
        yield f"{where}.gate_decisions: must be none, or one for each gate in judging order"
    for index, decision in enumerate(invocation.gate_decisions):
        rule = GATE_RULES[decision.gate]
        passed = decision.status == rule.passing
        code = None if passed else rule.reason_code
        if decision.status not in rule.values:
            yield f"{where}.gate_decisions[{index}].status: unknown value for the gate"
        if decision.source is GateSource.DEFAULT and decision.status != rule.default:
            yield f"{where}.gate_decisions[{index}].status: was not given, yet not the default"
        if (decision.passed, decision.reason_code) != (passed, code):
            yield f"{where}.gate_decisions[{index}]: the verdict does not follow from the status"


def _order_problems(
    lifecycle: Lifecycle, transition: TransitionRecord, at: str, *, is_first: bool
) -> Iterator[str]:
    """An invocation begins with start or resume, and only there are they allowed."""
    begins = transition.trigger in {Trigger.START, Trigger.RESUME}
    if is_first and not begins and transition.trigger is not Trigger.RUN_ABORTED:
        yield f"{at}.trigger: an invocation begins with start or resume"
    if not is_first and begins:
        yield f"{at}.trigger: {transition.trigger.value} in the middle of an invocation"
    source = lifecycle.states.get(transition.source)
    if not is_first and source is not None and source.kind is StateKind.TERMINAL:
        yield f"{at}.source: the invocation had already ended in {source.name!r}"


def _transition_problems(
    lifecycle: Lifecycle, invocation: InvocationRecord, transition: TransitionRecord, at: str
) -> Iterator[str]:
    edges = lifecycle.edges_from(transition.source, transition.trigger)
    if not any(edge.dest == transition.dest for edge in edges):
        yield (
            f"{at}: no edge leads from {transition.source!r} to {transition.dest!r}"
            f" on {transition.trigger.value}"
        )
        return
    source = lifecycle.states[transition.source]
    match transition.trigger:
        case Trigger.GATES_PASSED | Trigger.GATES_REFUSED:
            passed = have_passed(invocation.gate_decisions, source.judged_gates)
            if not invocation.gate_decisions:
                yield f"{at}: no gate decision is recorded"
            if passed is not (transition.trigger is Trigger.GATES_PASSED):
                yield f"{at}: the recorded gate decisions say otherwise"
        case (
            Trigger.STAGE_SUCCEEDED
            | Trigger.STAGE_FAILED
            | Trigger.STAGE_TIMED_OUT
            | Trigger.REWORK_REQUESTED
        ):
            if not _has_ending(invocation, transition):
                yield f"{at}: no recorded execution of {source.name!r} ended so"
        case Trigger.START | Trigger.RESUME | Trigger.RUN_ABORTED:
            pass


def _has_ending(invocation: InvocationRecord, transition: TransitionRecord) -> bool:
    """Whether this invocation recorded an ending of the stage that gives this fact."""
    if transition.trigger is Trigger.STAGE_SUCCEEDED and transition.source in (
        invocation.passed_over
    ):
        return True
    return any(
        execution.stage == transition.source
        and execution.attempt > 0
        and fact_of(execution) is transition.trigger
        for execution in invocation.stage_executions
    )


def _closure_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """A done run had all its gates passed in the invocation that closed it."""
    state = checkpoint.lifecycle.states[checkpoint.current_state]
    if state.outcome is not Outcome.DONE:
        return
    closing = next(
        (one for one in reversed(checkpoint.invocations) if one.transitions),
        checkpoint.invocation,
    )
    if not have_passed(closing.gate_decisions, Gate):
        yield "current_state: is done, but the gates of the invocation that closed it did not pass"
