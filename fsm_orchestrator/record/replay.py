"""A record replayed from its start, by the functions of the checkpoint that made it first.

Pure, and in one pass: what the checkpoint would count over its whole history is counted on the way.
"""

from __future__ import annotations

from collections import Counter

from fsm_orchestrator.model.execution import StageExecution, fact_of
from fsm_orchestrator.model.invocation import InvocationRecord, TransitionRecord
from fsm_orchestrator.model.open_attempt import cycle_in
from fsm_orchestrator.model.together import worst_of
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.record.earlier import Earlier
from fsm_orchestrator.vocabulary import Ending, StageStatus, Trigger


class Replay:
    """The record as far as it has been replayed.

    Attributes:
        draft: the record so far, without what earlier invocations did.
        configured: the stages that the record has settings of.
        seq: the number of the last transition.
        attempts: how many attempts each stage has had.
        successes: the last success of each stage.
        last_attempts: the last attempt of each stage.
    """

    def __init__(self, record: Checkpoint) -> None:
        # Only its completion says with which settings a stage succeeded. attempt_check.py checks
        # that they are those of the attempt.
        settings = {completion.stage: completion.settings for completion in record.completions}
        self.draft = record.model_copy(
            update={
                "current_state": record.lifecycle.initial,
                "completions": (),
                "open_attempts": (),
                "earlier": None,
                "invocations": (),
                "stages": {**record.stages, **settings},
            }
        )
        self.configured = frozenset(record.stages)
        self.seq = 0
        self.attempts: Counter[str] = Counter()
        self._repeats: Counter[str] = Counter()
        self.successes: dict[str, StageExecution] = {}
        self.last_attempts: dict[str, StageExecution] = {}
        self._facts: dict[str, Trigger | None] = {}
        if record.earlier is not None:
            self._go_on_from(record.earlier)

    def _go_on_from(self, earlier: Earlier) -> None:
        """Begin after the invocations that the record no longer has."""
        totals = earlier.totals
        self.seq = totals.last_seq
        self.attempts.update({one.stage: one.attempts for one in totals.stages})
        self.draft = self.draft.model_copy(
            update={"current_state": totals.current_state, "completions": earlier.completions}
        )
        for loop in totals.loops:
            for stage in self.draft.lifecycle.stages_from(loop.dest):
                self._repeats[stage] += loop.times
        completed = {(one.stage, one.attempt) for one in earlier.completions}
        for one in earlier.executions:
            if (one.stage, one.attempt) in completed:
                self.successes[one.stage] = one
            if one.attempt == self.attempts[one.stage]:
                self.last_attempts[one.stage] = one

    @property
    def executions_needed(self) -> tuple[StageExecution, ...]:
        """The attempts that made the completions, and the last attempt of each stage."""
        completed = (self.successes[one.stage] for one in self.draft.completions)
        both = (*completed, *self.last_attempts.values())
        found = {(one.stage, one.attempt): one for one in both}
        return tuple(found[key] for key in sorted(found))

    def begin(self, invocation: InvocationRecord) -> None:
        """Begin an invocation."""
        empty = {"transitions": (), "stage_executions": ()}
        earlier_left_out = self.draft.model_copy(update={"invocations": ()})
        self.draft = earlier_left_out.begun(invocation.model_copy(update=empty))
        self._facts = {}

    def take(self, transition: TransitionRecord) -> None:
        """Take a transition."""
        self._repeats.update(self.draft.repeated_by(transition))
        self.draft = self.draft.taken(transition)
        self.seq += 1
        self._facts = {}

    def repeat(self, invocation: InvocationRecord) -> None:
        """Count the transitions of the invocations that only repeated this one."""
        self.seq = max(self.seq, invocation.last_seq or 0)

    def add(self, execution: StageExecution) -> None:
        """Add a stage execution, or a failure of the program itself."""
        if execution.attempt == 0:
            self.draft = self.draft.with_execution(execution)
            return
        is_by_sibling = execution.ending is Ending.SIBLING_FAILED
        self._facts[execution.stage] = None if is_by_sibling else fact_of(execution)
        if execution.status is StageStatus.SKIPPED:
            self.draft = self.draft.with_execution(execution)
        else:
            self.attempts[execution.stage] += 1
            self.last_attempts[execution.stage] = execution
            if execution.status is StageStatus.SUCCESS:
                self.successes[execution.stage] = execution
            self.draft = self.draft.attempt_ended(execution)

    def cycle_of(self, stage: str) -> int:
        """Return the loop cycle that a stage is in, from 1."""
        return 1 + self._repeats[stage]

    def belongs_here(self, execution: StageExecution) -> bool:
        """Return whether an execution can be of this visit to the current state."""
        if execution.attempt == 0:
            return True
        stage = execution.stage
        has_moved = bool(self.draft.invocation.transitions)  # else the visit was an earlier one's
        is_here = has_moved and stage in self._here
        return is_here and cycle_in(execution) <= self.cycle_of(stage)

    def gives(self, trigger: Trigger) -> bool:
        """Return whether what was done in the current state amounts to a trigger."""
        passed_over = set(self.draft.invocation.passed_over) - self._facts.keys()
        facts = dict.fromkeys(passed_over, Trigger.STAGE_SUCCEEDED) | self._facts
        found = [facts.get(stage) for stage in self._here]
        told = [one for one in found if one is not None]
        is_whole = trigger is not Trigger.STAGE_SUCCEEDED or len(told) == len(found)
        return is_whole and bool(told) and worst_of(told) is trigger

    @property
    def _here(self) -> tuple[str, ...]:
        """The stages that run in the current state."""
        return self.draft.lifecycle.stages_in(self.draft.current_state)

    def skippable(self, stage: str) -> Completion | None:
        """Return an earlier invocation's completion by which a stage may be skipped, or None."""
        completion = self.draft.completion_of(stage)
        is_of_now = completion is not None and (
            completion.invocation == self.draft.invocation.number
        )
        return None if is_of_now else completion
