"""Proves that a checkpoint is one that this program writes: a walk over its lifecycle, and no lie.

Pure. The record is replayed from its start, and each step is checked against what it says: a forged
`done`, a transition that no edge allows, a verdict that no gate gave, and a success that no attempt
had are found and named.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from fsm_orchestrator.gates.judging import decision_problem, have_passed, signal_problem
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.model.invocation import InvocationRecord, TransitionRecord
from fsm_orchestrator.record.attempt_check import (
    completion_problems,
    execution_problems,
    open_attempt_problems,
    stage_problems,
)
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.folding import is_foldable
from fsm_orchestrator.record.moving_out import earlier_problems
from fsm_orchestrator.record.origin_check import given_problems, origin_problems, secret_problems
from fsm_orchestrator.record.replay import Replay
from fsm_orchestrator.vocabulary import (
    ExecutionMode,
    GateSource,
    Guard,
    Trigger,
)


def problem_of(checkpoint: Checkpoint) -> str | None:
    """Return the first contradiction in a checkpoint, with its field, or None."""
    return next(_problems(checkpoint), None)


def _problems(checkpoint: Checkpoint) -> Iterator[str]:
    lifecycle = checkpoint.lifecycle
    if checkpoint.lifecycle_sha256 != lifecycle.sha256:
        yield "lifecycle_sha256: is not the digest of the lifecycle in the file"
    if checkpoint.current_state not in lifecycle.states:
        yield f"current_state: the lifecycle has no state {checkpoint.current_state!r}"
    yield from _signal_problems(checkpoint)
    yield from stage_problems(checkpoint)
    contradictions = tuple(earlier_problems(checkpoint))
    yield from contradictions
    if contradictions:  # nothing can be replayed from them
        return
    before = 0 if checkpoint.earlier is None else checkpoint.earlier.totals.last_number
    replay = Replay(checkpoint)
    for position, invocation in enumerate(checkpoint.invocations):
        where = f"invocations[{position}]"
        number = 1 + (checkpoint.invocations[position - 1].last_number if position else before)
        if invocation.number != number:
            yield f"{where}.number: is {invocation.number}, not {number}"
        yield from _repeats_problems(checkpoint, invocation, where)
        yield from _invocation_problems(lifecycle, invocation, where)
        yield from _decision_problems(lifecycle, invocation, where)
        yield from _walk_problems(replay, invocation, where)
    state = replay.draft.current_state
    if checkpoint.current_state != state:
        yield f"current_state: is {checkpoint.current_state!r}, but the history ends in {state!r}"
    yield from _loop_problems(checkpoint)
    yield from open_attempt_problems(replay, checkpoint.open_attempts)
    yield from completion_problems(replay, checkpoint.completions)
    yield from _closure_problems(checkpoint)
    yield from given_problems(checkpoint)
    yield from secret_problems(checkpoint)
    yield from origin_problems(checkpoint)


def _walk_problems(replay: Replay, invocation: InvocationRecord, where: str) -> Iterator[str]:
    """Replay an invocation; what it did in a state comes before it left that state."""
    replay.begin(invocation)
    waiting = deque(enumerate(invocation.stage_executions))

    def done_here(*, is_last: bool) -> Iterator[str]:
        while waiting and (is_last or replay.belongs_here(waiting[0][1])):
            index, execution = waiting.popleft()
            at = f"{where}.stage_executions[{index}]"
            yield from execution_problems(replay, execution, at)
            replay.add(execution)

    for index, transition in enumerate(invocation.transitions):
        at = f"{where}.transitions[{index}]"
        yield from done_here(is_last=False)
        is_rejudged = _is_rejudged(replay.draft.lifecycle, invocation, index)
        yield from _transition_problems(replay, transition, at, is_rejudged=is_rejudged)
        yield from _order_problems(transition, at, is_first=index == 0)
        replay.take(transition)
    yield from done_here(is_last=True)
    replay.repeat(invocation)


def _repeats_problems(
    checkpoint: Checkpoint, invocation: InvocationRecord, where: str
) -> Iterator[str]:
    """Find repeats of an invocation that cannot have been repeated, or is the latest."""
    if invocation.repeats is None:
        return
    if invocation is checkpoint.invocation:
        yield f"{where}.repeats: the latest invocation repeats nothing yet"
    has_looped = any(checkpoint.repeated_by(one) for one in invocation.transitions)
    if has_looped or not is_foldable(invocation):
        yield f"{where}.repeats: what it did cannot be done again in the same way"


def _is_rejudged(lifecycle: Lifecycle, invocation: InvocationRecord, index: int) -> bool:
    """Return whether sources were asked again after a transition: its decisions are then not kept.

    Typed signals alone do not change while an invocation works.
    """
    if all(one.evidence is None for one in invocation.gate_decisions):
        return False
    return any(
        one.trigger in {Trigger.GATES_PASSED, Trigger.GATES_REFUSED}
        or any(
            edge.dest == one.dest and edge.unless is Guard.GATES_HOLD
            for edge in lifecycle.edges_from(one.source, one.trigger)
        )
        for one in invocation.transitions[index + 1 :]
    )


def _transition_problems(
    replay: Replay, transition: TransitionRecord, at: str, *, is_rejudged: bool
) -> Iterator[str]:
    state, trigger = replay.draft.current_state, transition.trigger
    if transition.seq != replay.seq + 1:
        yield f"{at}.seq: is {transition.seq}, not {replay.seq + 1}"
    if transition.source != state:
        yield f"{at}.source: is {transition.source!r}, but the run was in {state!r}"
    lifecycle = replay.draft.lifecycle
    if all(edge.dest != transition.dest for edge in _edges_from(lifecycle, state, trigger)):
        yield f"{at}: no edge leads from {state!r} to {transition.dest!r} on {trigger.value}"
    match trigger:
        case Trigger.GATES_PASSED | Trigger.GATES_REFUSED:
            decisions = replay.draft.invocation.gate_decisions
            passed = have_passed(decisions, lifecycle.judged_in(lifecycle.states[state]))
            if not decisions:
                yield f"{at}: no gate decision is recorded"
            if passed is not (trigger is Trigger.GATES_PASSED) and not is_rejudged:
                yield f"{at}: the recorded gate decisions say otherwise"
        case (
            Trigger.STAGE_SUCCEEDED
            | Trigger.STAGE_FAILED
            | Trigger.STAGE_TIMED_OUT
            | Trigger.STAGE_DECLINED
            | Trigger.STAGE_BLOCKED
            | Trigger.REWORK_REQUESTED
        ):
            if not replay.gives(trigger):
                yield f"{at}: no recorded execution of {state!r} ended like that"
        case Trigger.START | Trigger.RESUME | Trigger.RUN_ABORTED | Trigger.RUN_TIMED_OUT:
            pass


def _edges_from(lifecycle: Lifecycle, state: str, trigger: Trigger) -> tuple[Edge, ...]:
    """Return the edges that are tried, including those that no file declares."""
    if trigger is not Trigger.RUN_TIMED_OUT:
        return lifecycle.edges_from(state, trigger)
    from fsm_orchestrator.lifecycle.timing import edges_from  # noqa: PLC0415 - rare

    return edges_from(lifecycle, state, trigger)


def _order_problems(transition: TransitionRecord, at: str, *, is_first: bool) -> Iterator[str]:
    """Find an invocation that does not begin with start or resume, or has one of them elsewhere.

    That includes steps after the end: no other edge leads from a terminal state.
    """
    begins = transition.trigger in {Trigger.START, Trigger.RESUME}
    aborts = transition.trigger in {Trigger.RUN_ABORTED, Trigger.RUN_TIMED_OUT}
    if is_first and not begins and not aborts:
        yield f"{at}.trigger: an invocation begins with start or resume"
    if not is_first and begins:
        yield f"{at}.trigger: {transition.trigger.value} in the middle of an invocation"


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
    ran = {one.stage for one in invocation.stage_executions}
    for stage in ran.intersection(invocation.passed_over):
        yield f"{where}.passed_over: {stage!r} was not passed over"


def _signal_problems(checkpoint: Checkpoint) -> Iterator[str]:
    gates = checkpoint.lifecycle.gates
    if [signal.gate for signal in checkpoint.gate_signals] != list(gates):
        yield "gate_signals: must hold one signal for each gate, in judging order"
    for gate in checkpoint.sources:
        if gate not in gates:
            yield f"sources: the lifecycle has no gate {gate!r}"
    in_force = checkpoint.decisions_in_force(checkpoint.outcome)
    by_signal = (one for one in in_force if one.source is not GateSource.EVIDENCE)
    judged = {one.gate: one.status for one in by_signal}
    for index, signal in enumerate(checkpoint.gate_signals):
        problem = signal_problem(gates, signal)
        if problem is not None:
            yield f"gate_signals[{index}].status: {problem}"
        if judged.get(signal.gate, signal.status) != signal.status:
            yield f"gate_signals[{index}].status: the gate was judged by another"


def _decision_problems(
    lifecycle: Lifecycle, invocation: InvocationRecord, where: str
) -> Iterator[str]:
    decisions = invocation.gate_decisions
    if not decisions:
        return
    if [decision.gate for decision in decisions] != list(lifecycle.gates):
        yield f"{where}.gate_decisions: must be none, or one for each gate in judging order"
    for index, decision in enumerate(decisions):
        problem = decision_problem(lifecycle.gates, decision)
        if problem is not None:
            yield f"{where}.gate_decisions[{index}]: {problem}"


def _closure_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Find a done run whose gates did not all pass in the invocation that closed it."""
    if not checkpoint.is_done:
        return
    walked = (one.gate_decisions for one in reversed(checkpoint.invocations) if one.transitions)
    before = () if checkpoint.earlier is None else checkpoint.earlier.totals.gate_decisions
    if not have_passed(next(walked, before), checkpoint.lifecycle.gates):
        yield "current_state: is done, but the gates of the invocation that closed it did not pass"
