"""Moves the oldest invocations out of a record, and proves what is kept of them. Writes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.model.open_attempt import cycle_in
from fsm_orchestrator.record.attempt_check import ran_with
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.earlier import (
    KEPT_MAX,
    KEPT_MIN,
    Earlier,
    LoopTotals,
    MovedInvocation,
    SideMark,
    StageTotals,
    Totals,
)
from fsm_orchestrator.record.replay import Replay
from fsm_orchestrator.vocabulary import StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import UsedBefore


class Division(NamedTuple):
    """A record that has grown long, divided.

    Attributes:
        checkpoint: the record without the invocations to be moved, and without `earlier`.
        moved: the lines to be added to the file of old invocations.
        totals: the totals of all invocations in that file.
        replay: the record as it was after them.
    """

    checkpoint: Checkpoint
    moved: tuple[MovedInvocation, ...]
    totals: Totals
    replay: Replay

    def with_mark(self, mark: SideMark) -> Checkpoint:
        """Return the record as it is once the lines are durable."""
        earlier = Earlier(
            totals=self.totals,
            file=mark,
            completions=self.replay.draft.completions,
            executions=self.replay.executions_needed,
        )
        return self.checkpoint.model_copy(update={"earlier": earlier})


def divided(checkpoint: Checkpoint) -> Division | None:
    """Divide a record that has more invocations than it may have; return None for any other."""
    if len(checkpoint.invocations) <= KEPT_MAX:
        return None
    going, staying = checkpoint.invocations[:-KEPT_MIN], checkpoint.invocations[-KEPT_MIN:]
    replay = Replay(checkpoint)
    for invocation in going:
        _replay(replay, invocation)
    totals = _totals(checkpoint, replay, going)
    moved = [MovedInvocation(invocation=one, totals=None) for one in going[:-1]]
    moved.append(MovedInvocation(invocation=going[-1], totals=totals))
    rest = checkpoint.model_copy(update={"invocations": staying})
    return Division(rest, tuple(moved), totals, replay)


def _replay(replay: Replay, invocation: InvocationRecord) -> None:
    """Replay an invocation that has been proved."""
    replay.begin(invocation)
    waiting = deque(invocation.stage_executions)
    for transition in invocation.transitions:
        while waiting and replay.belongs_here(waiting[0]):
            replay.add(waiting.popleft())
        replay.take(transition)
    for execution in waiting:
        replay.add(execution)
    replay.repeat(invocation)


def _totals(checkpoint: Checkpoint, replay: Replay, going: tuple[InvocationRecord, ...]) -> Totals:
    before = checkpoint.earlier
    judged = [one.gate_decisions for one in going if one.gate_decisions]
    known = () if before is None else before.totals.gate_decisions
    walked = [one.passed_over for one in going if one.transitions]
    passed_before = () if before is None else before.totals.passed_over
    return Totals(
        last_number=going[-1].last_number,
        last_seq=replay.seq,
        current_state=replay.draft.current_state,
        gate_decisions=judged[-1] if judged else known,
        stages=tuple(_stages(checkpoint, replay, going)),
        passed_over=walked[-1] if walked else passed_before,
        loops=_loops(checkpoint, going),
        used=_used(checkpoint, going),
    )


def _used(checkpoint: Checkpoint, going: tuple[InvocationRecord, ...]) -> UsedBefore | None:
    before = None if checkpoint.earlier is None else checkpoint.earlier.totals.used
    if before is None and all(one.used is None for one in going):
        return None
    from fsm_orchestrator.record.spending import used_by  # noqa: PLC0415 - only with a budget

    return used_by(going, before)


def _stages(
    checkpoint: Checkpoint, replay: Replay, going: tuple[InvocationRecord, ...]
) -> Iterator[StageTotals]:
    for stage, attempts in sorted(replay.attempts.items()):
        last = replay.last_attempts[stage]
        cycle = cycle_in(last)
        completion = replay.draft.completion_of(stage)
        before = 0 if checkpoint.earlier is None else checkpoint.earlier.attempts_in(stage, cycle)
        yield StageTotals(
            stage=stage,
            attempts=attempts,
            cycle=cycle,
            attempts_in_cycle=before + sum(_is_of(one, stage, cycle) for one in _all(going)),
            completed_by=None if completion is None else completion.attempt,
        )


def _all(going: tuple[InvocationRecord, ...]) -> Iterator[StageExecution]:
    return (one for invocation in going for one in invocation.stage_executions)


def _is_of(execution: StageExecution, stage: str, cycle: int) -> bool:
    is_attempt = execution.attempt > 0 and execution.status is not StageStatus.SKIPPED
    return is_attempt and execution.stage == stage and cycle_in(execution) == cycle


def _loops(checkpoint: Checkpoint, going: tuple[InvocationRecord, ...]) -> tuple[LoopTotals, ...]:
    before = () if checkpoint.earlier is None else checkpoint.earlier.totals.loops
    times = {(one.source, one.trigger, one.dest): one.times for one in before}
    closing = {(one.source, one.trigger, one.dest) for one in checkpoint.lifecycle.loops}
    for transition in (one for invocation in going for one in invocation.transitions):
        step = (transition.source, transition.trigger, transition.dest)
        if step in closing:
            times[step] = times.pop(step, 0) + 1  # taken last, so it is listed last
    return tuple(
        LoopTotals(source=source, trigger=trigger, dest=dest, times=count)
        for (source, trigger, dest), count in times.items()
    )


def earlier_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Find contradictions in what a record keeps of its old invocations."""
    earlier = checkpoint.earlier
    if earlier is None:
        return
    totals, states = earlier.totals, checkpoint.lifecycle.states
    if totals.current_state not in states:
        yield f"earlier.totals.current_state: there is no state {totals.current_state!r}"
    known = {one.stage: one for one in totals.stages}
    if known.keys() - set(checkpoint.lifecycle.stages) or len(known) < len(totals.stages):
        yield "earlier.totals.stages: are not stages of the lifecycle, each once"
    taken = [one for one in totals.loops for edge in checkpoint.lifecycle.loops if one.is_of(edge)]
    if len(taken) != len(totals.loops):
        yield "earlier.totals.loops: are not loops of the lifecycle, each once"
    complete = {one.stage: one.completed_by for one in totals.stages if one.completed_by}
    if complete != {one.stage: one.attempt for one in earlier.completions}:
        yield "earlier.completions: are not those that the totals name"
    found = {(one.stage, one.attempt): one for one in earlier.executions}
    needed = {*complete.items(), *((one.stage, one.attempts) for one in totals.stages)}
    if found.keys() != needed or len(found) < len(earlier.executions):
        yield "earlier.executions: are not those that the totals name"
        return
    for completion in earlier.completions:
        success = found[completion.stage, completion.attempt]
        is_in_force = completion in checkpoint.completions
        # The settings of a completion that was set aside since are no longer known: replay.py.
        is_so = not is_in_force or ran_with(success, completion.settings)
        if success.status is not StageStatus.SUCCESS or not is_so:
            yield f"earlier.executions: attempt {success.attempt} of {success.stage!r} does not fit"
