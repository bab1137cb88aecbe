"""The checkpoint's shape: a run's whole record, with its lifecycle embedded, and how it grows.

checkpoint_reader.py reads a file without trusting it; recorder.py writes it.
"""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from fsm_orchestrator.config.origins import Origins
from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.constants import BYTES_MAX
from fsm_orchestrator.gates.judging import GateSignal
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.model.base import (
    Count,
    GateName,
    Many,
    RunId,
    SchemaVersion,
    Sha256,
    StateName,
    StrictModel,
    TaskQueue,
)
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import GateDecision, InvocationRecord, TransitionRecord
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.model.limits import GraceMilliseconds, Milliseconds
from fsm_orchestrator.model.open_attempt import AttemptRecord, cycle_in
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.record.earlier import Earlier
from fsm_orchestrator.record.events_mark import EventsMark
from fsm_orchestrator.record.folding import folded
from fsm_orchestrator.record.home import Home
from fsm_orchestrator.secrets.private_file import PrivateRef
from fsm_orchestrator.secrets.state_key import Mac
from fsm_orchestrator.vocabulary import OnLeak, Outcome, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.config.notice import Notice
    from fsm_orchestrator.gates.sources.base import SourceModel
    from fsm_orchestrator.model.budget import RunBudget
    from fsm_orchestrator.model.evidence import Subject
    from fsm_orchestrator.model.trust import Doubt
else:
    RunBudget = lazily("fsm_orchestrator.model.budget", "RunBudget")
    Notice = lazily("fsm_orchestrator.config.notice", "Notice")
    SourceModel = lazily("fsm_orchestrator.gates.sources.registry", "SourceGiven")
    Subject = lazily("fsm_orchestrator.model.evidence", "Subject")
    Doubt = lazily("fsm_orchestrator.model.trust", "Doubt")


class Checkpoint(StrictModel):
    """Everything a resume needs to know, and everything that ever happened in the run."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    product: Literal["fsm-orchestrator"] = Field(
        description="The program that wrote the checkpoint."
    )
    version: str = Field(description="Version of the program that wrote the checkpoint.")
    run_id: RunId = Field(description="Identifies the run, over all its invocations.")
    private_ref: PrivateRef | None = Field(
        description=(
            "Name of the run's private file, which holds what may not be in the output directory;"
            " null when the run has no such values."
        )
    )
    secret_keys: tuple[str, ...] = Field(
        description="The names of all secrets that were declared in the run, in any invocation."
    )
    home: Home = Field(
        description=(
            "The output directory that the record was written in. In a copy of it, the run's"
            " processes and private file are left alone."
        )
    )
    current_state: StateName = Field(description="The state that the run is in.")
    lifecycle_sha256: Sha256 = Field(
        description="SHA-256 of the relation that `lifecycle` says, in hexadecimal."
    )
    lifecycle: Lifecycle = Field(description="The lifecycle that the run follows, whole.")
    gate_signals: Annotated[tuple[GateSignal, ...], Many] = Field(
        description="The signal of each gate, in judging order."
    )
    sources: dict[GateName, SourceModel] = Field(
        description="The source of each gate's evidence, where it has one."
    )
    subject: Subject | None = Field(
        description="What the run is about; null where that was not said."
    )
    timeout_ms: Milliseconds | None = Field(
        description=(
            "How long each stage may run, in milliseconds, where its own settings do not say;"
            " null when it was not given."
        )
    )
    kill_grace_ms: GraceMilliseconds | None = Field(
        description=(
            "How long each stage may take to end after SIGTERM, in milliseconds, where its own"
            " settings do not say; null when it was not given."
        )
    )
    on_leak: OnLeak = Field(
        description="What it means for a stage that it exits with 0 and leaves processes running."
    )
    budget: RunBudget | None = left_out(
        None, "What the run may take over all its stages; left out where nothing was said."
    )
    allow_empty: bool = left_out(
        False,
        "Whether the run may be closed although stages were passed over for lack of a binary, or"
        " nothing was run.",
    )
    skip_stages: tuple[StateName, ...] = left_out(
        (), "Stages that were to be passed over: the run may be closed without them."
    )
    task_queue: TaskQueue | None = left_out(
        None, "The task queue of the machines that its stages need; left out where none was given."
    )
    notify: tuple[Notice, ...] = left_out(
        (), "Who is notified of the ends of the run, and how; left out where nobody is."
    )
    stages: Annotated[dict[StateName, StageRecord], Field(max_length=200)] = Field(
        description="The settings of every stage that has a binary, by stage name."
    )
    origins: Origins = Field(description="Where the settings came from.")
    completions: Annotated[tuple[Completion, ...], Many] = Field(
        description="The stages that are complete, in the order in which they succeeded."
    )
    open_attempts: Annotated[tuple[AttemptRecord, ...], Many] = Field(
        description=(
            "The attempts that have begun and whose end is not recorded: several in a group alone."
        )
    )
    last_event_seq: Count = Field(
        le=BYTES_MAX,
        description=(
            "Number of the last event that had been written; what was not durable by then may be"
            " missing after a power cut."
        ),
    )
    last_event_sha256: Sha256 | None = Field(
        description=(
            "SHA-256 of that event's line without its newline: the head of the chain that the"
            " events are; null before there is one."
        )
    )
    events: EventsMark | None = Field(
        description=(
            "The end of the events file when an invocation ended last; null before one has."
        )
    )
    earlier: Earlier | None = Field(
        description=(
            "What is kept of the oldest invocations, which were moved to"
            " orchestrator_invocations.jsonl; null before that."
        )
    )
    doubt: Doubt | None = Field(
        description=(
            "The doubt whether the record that the run continued from was the one that had been"
            " left; null where it was, or somebody has accepted it."
        )
    )
    invocations: Annotated[tuple[InvocationRecord, ...], Many, Field(min_length=1)] = Field(
        description="The invocations of the run after those, in order; the last is the latest."
    )
    mac: Mac | None = Field(
        description=(
            "The name of a key of the private state, and HMAC-SHA-256 by it, cut to 128 bits, of"
            " the file as it is with null here and without its newline; null where there is none."
        )
    )

    @property
    def invocation(self) -> InvocationRecord:
        """The latest invocation."""
        return self.invocations[-1]

    @property
    def transitions(self) -> Iterator[TransitionRecord]:
        """The transitions of the invocations that it has, in order."""
        return (one for invocation in self.invocations for one in invocation.transitions)

    @property
    def executions(self) -> Iterator[StageExecution]:
        """The stage executions of its invocations, in order; of old ones, those that count."""
        if self.earlier is not None:
            yield from self.earlier.executions
        for invocation in self.invocations:
            yield from invocation.stage_executions

    @property
    def last_seq(self) -> int:
        """The number of the last transition, over all invocations; 0 before there is one."""
        numbers = (one.last_seq for one in reversed(self.invocations))
        before = 0 if self.earlier is None else self.earlier.totals.last_seq
        return next((number for number in numbers if number is not None), before)

    def decisions_in_force(self, outcome: Outcome | None) -> tuple[GateDecision, ...]:
        """Return this invocation's decisions, or those that closed a done run that was resumed.

        `outcome` is the run's outcome, or the one that it is reported with.
        """
        if self.invocation.gate_decisions or outcome is not Outcome.DONE:
            return self.invocation.gate_decisions
        found = (one.gate_decisions for one in reversed(self.invocations) if one.gate_decisions)
        return next(found, () if self.earlier is None else self.earlier.totals.gate_decisions)

    def times_taken(self, edge: Edge) -> int:
        """Count how often a loop's edge was taken in the run, over all invocations."""
        before = 0 if self.earlier is None else self.earlier.times_taken(edge)
        return before + sum(
            (one.source, one.trigger, one.dest) == (edge.source, edge.trigger, edge.dest)
            for one in self.transitions
        )

    def cycle_of(self, stage: str) -> int:
        """Return the loop cycle of a stage, from 1: one more each time a loop led back to it."""
        return 1 + sum(
            self.times_taken(edge)
            for edge in self.lifecycle.loops
            if stage in self.lifecycle.stages_from(edge.dest)
        )

    def completion_of(self, stage: str) -> Completion | None:
        """Return the completion of a stage that is in force, or None."""
        return next((one for one in self.completions if one.stage == stage), None)

    @property
    def completed(self) -> tuple[Completion, ...]:
        """The completions in force, in the lifecycle's order of stages."""
        found = map(self.completion_of, self.lifecycle.stages)
        return tuple(completion for completion in found if completion is not None)

    def run_id_in(self, invocation: int) -> str:
        """Return the id that the run had in an invocation: a copy gets another one."""
        copied = (one for one in self.home.copied_from if invocation <= one.invocations)
        return next((one.run_id for one in copied), self.run_id)

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the current state; None while the run works."""
        return self.lifecycle.states[self.current_state].outcome

    @property
    def is_done(self) -> bool:
        """True if the run has reached done."""
        return self.outcome is Outcome.DONE

    def attempts_of(self, stage: str) -> tuple[StageExecution, ...]:
        """Return the ended attempts of a stage; of old ones, those that still count."""
        return tuple(one for one in self.executions if one.is_attempt_of(stage))

    def open_attempt_of(self, stage: str) -> AttemptRecord | None:
        """Return the attempt of a stage that has begun and not ended, or None."""
        return next((one for one in self.open_attempts if one.stage == stage), None)

    def attempts_made(self, stage: str) -> int:
        """Count a stage's attempts in its current loop cycle, over all invocations."""
        cycle = self.cycle_of(stage)
        kept = (one for invocation in self.invocations for one in invocation.stage_executions)
        before = 0 if self.earlier is None else self.earlier.attempts_in(stage, cycle)
        return before + sum(one.is_attempt_of(stage) and cycle_in(one) == cycle for one in kept)

    def next_attempt(self, stage: str) -> int:
        """Return the number of the next attempt of a stage, over all invocations, from 1."""
        numbers = [execution.attempt for execution in self.attempts_of(stage)]
        numbers += [one.attempt for one in self.open_attempts if one.stage == stage]
        return 1 + max(numbers, default=0)

    # -- each change to a run: the record after it ------------------------------------------
    # Recording calls these; a record that is read is proved by calling them again.

    def with_invocation(self, **changes: Any) -> Self:
        """Change the record of the latest invocation."""
        latest = self.invocation.model_copy(update=changes)
        return self.model_copy(update={"invocations": (*self.invocations[:-1], latest)})

    def with_execution(self, execution: StageExecution) -> Self:
        """Add a stage execution that completes nothing."""
        return self.with_invocation(stage_executions=(*self.invocation.stage_executions, execution))

    def begun(self, invocation: InvocationRecord) -> Self:
        """Begin an invocation, and set aside the completions of the stages that it runs again.

        Earlier invocations that only repeated each other are folded.
        """
        return self.model_copy(
            update={
                "invocations": (*self._folded(), invocation),
                "completions": self.in_force_without(invocation.rerun),
            }
        )

    def _folded(self) -> tuple[InvocationRecord, ...]:
        latest = self.invocations[-1:]  # none yet in a replay
        has_looped = any(self.repeated_by(one) for here in latest for one in here.transitions)
        return self.invocations if has_looped else folded(self.invocations)

    def taken(self, transition: TransitionRecord, **invocation_changes: Any) -> Self:
        """Take a transition; a loop sets aside the completions of the stages that it repeats.

        An attempt that was begun but never made no longer counts.
        """
        transitions = (*self.invocation.transitions, transition)
        draft = self.with_invocation(transitions=transitions, **invocation_changes)
        changes = {
            "current_state": transition.dest,
            "completions": self.in_force_without(self.repeated_by(transition)),
            "open_attempts": (),
        }
        return draft.model_copy(update=changes)

    def attempt_begun(self, attempt: AttemptRecord) -> Self:
        """Begin an attempt, or update the one that has begun."""
        known = {one.stage: one for one in self.open_attempts} | {attempt.stage: attempt}
        return self.model_copy(update={"open_attempts": tuple(known.values())})

    def attempt_ended(self, execution: StageExecution) -> Self:
        """End an attempt; success completes its stage (the one that always runs: in a done run)."""
        still_open = tuple(one for one in self.open_attempts if one.stage != execution.stage)
        changes: dict[str, Any] = {"open_attempts": still_open}
        is_lasting = self.is_done or execution.stage != self.lifecycle.finally_stage
        if execution.status is StageStatus.SUCCESS and is_lasting:
            completion = Completion(
                stage=execution.stage,
                cycle=cycle_in(execution),
                attempt=execution.attempt,
                invocation=self.invocation.number,
                settings=self.stages[execution.stage],
                artifacts=execution.artifacts,
                inputs=execution.inputs,
            )
            changes["completions"] = (*self.completions, completion)
        return self.with_execution(execution).model_copy(update=changes)

    def repeated_by(self, transition: TransitionRecord) -> tuple[str, ...]:
        """Return the stages that a transition repeats: none unless it closes a loop."""
        step = (transition.source, transition.trigger, transition.dest)
        is_loop = any(step == (one.source, one.trigger, one.dest) for one in self.lifecycle.loops)
        return self.lifecycle.stages_from(transition.dest) if is_loop else ()

    def in_force_without(self, stages: Collection[str]) -> tuple[Completion, ...]:
        """Return the completions in force, except those of some stages."""
        return tuple(one for one in self.completions if one.stage not in stages)
