"""The run report, the supervision artifact: a pure rendering of the checkpoint."""

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.gates.judging import is_awaited
from fsm_orchestrator.lifecycle.own_gate import OwnGate, rules_with
from fsm_orchestrator.model.base import (
    Count,
    EpochName,
    Many,
    RunId,
    SchemaVersion,
    Sha256,
    StateName,
    StrictModel,
    TaskQueue,
    Timestamp,
)
from fsm_orchestrator.model.declared import Field, left_out, model_validator
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.gate_rules import GateRules
from fsm_orchestrator.model.invocation import (
    GateDecision,
    InvocationOrigin,
    InvocationRecord,
    Rebuilding,
    TransitionRecord,
)
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.model.waiting import WaitingFor
from fsm_orchestrator.text.json_output import escaped
from fsm_orchestrator.vocabulary import (
    Containment,
    Ending,
    ExecutionMode,
    Operation,
    Outcome,
    StopReason,
    Trigger,
)

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import BudgetReport
    from fsm_orchestrator.model.evidence import Subject
    from fsm_orchestrator.model.trust import Acceptance
else:
    BudgetReport = lazily("fsm_orchestrator.model.budget", "BudgetReport")
    Acceptance = lazily("fsm_orchestrator.model.trust", "Acceptance")
    Subject = lazily("fsm_orchestrator.model.evidence", "Subject")

_KEEPING: Final = frozenset({Operation.CHECKPOINT_PERSIST, Operation.EVENTS_PERSIST})
"""The operations that keep a step."""


class LifecycleName(StrictModel):
    """The lifecycle that a run followed: its name, and the digest of its relation."""

    name: StateName = Field(description="Name of the lifecycle.")
    sha256: Sha256 = Field(
        description="SHA-256 of its relation, in hexadecimal: equal for files that say the same."
    )


class EventsHead(StrictModel):
    """The end of the events when a report was written: the head of their chain."""

    seq: Count = Field(description="Number of the last event; 0 before there is one.")
    sha256: Sha256 = Field(description="SHA-256 of its line without its newline.")


class Report(StrictModel):
    """The report of a run. The order of the fields fixes the order of the keys."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    product: Literal["fsm-orchestrator"] = Field(description="The program that wrote the report.")
    version: str = Field(description="Version of the program that wrote the report.")
    run_id: RunId = Field(description="Identifies the run, over all its invocations.")
    lifecycle: LifecycleName | None = Field(
        description=(
            "The lifecycle that the run follows; null when the checkpoint could not be used."
        )
    )
    subject: Subject | None = Field(
        description="What the run is about, as digests; null where that was not said.",
    )
    own_gates: Annotated[tuple[OwnGate, ...], Many] = Field(
        description="The gates that the lifecycle has besides policy, ci and review, in judging"
        " order."
    )
    execution_mode: ExecutionMode = Field(
        description="Whether this invocation was asked for a new run or for a resume."
    )
    terminal_state: Outcome | None = Field(description="How the run ended; null while it works.")
    closure_ready: bool = Field(
        description=(
            "Whether a supervisor may close the run: it is done, every gate passed, no stage was"
            " passed over without permission, and every expected artifact was present, valid and as"
            " its stage left it when this was written."
        )
    )
    nothing_to_do: bool = left_out(
        False,
        "Whether the run is done because a stage had nothing to do: the stages after it were not"
        " entered, and there is nothing to close. Left out where it is not so.",
    )
    unrun_stages: tuple[StateName, ...] = left_out(
        (),
        "The stages that a run that is done has passed over for lack of a binary, and may not be"
        " closed without: neither --allow-empty nor --skip-stage was given. Left out where there"
        " are none.",
    )
    nothing_ran: bool = left_out(
        False,
        "Whether a run that is done may not be closed because no stage was ever run in it. Left out"
        " where it is not so.",
    )
    exit_code: int | None = Field(
        description="What this invocation's command exits with; null while it works."
    )
    stop_reason: StopReason | None = left_out(
        None,
        "Why this invocation was asked to end; left out where nobody asked, or it had ended by"
        " then.",
    )
    next_task_queue: TaskQueue | None = left_out(
        None,
        "The task queue on which the run continues: this invocation ended before a stage that needs"
        " its machines, and a resume there enters that stage. Left out where it ended for another"
        " reason.",
    )
    current_state: StateName | None = Field(
        description=(
            "The last state that was made durable; null when the checkpoint could not be used."
        )
    )
    blocked_reason_codes: Annotated[tuple[str, ...], Many] = Field(
        description=(
            "Reason codes of the gates that refused, in judging order, but for those that only a"
            " later state judges; or STAGE_<NAME>_BLOCKED of the stage that said that it is"
            " blocked. Empty unless terminal_state is blocked."
        )
    )
    epoch: EpochName | None = left_out(
        None,
        "The epoch in which this invocation held the run, under an engine; left out where there is"
        " none.",
    )
    waiting_for: Annotated[tuple[WaitingFor, ...], Many] = Field(
        description=(
            "The gates that are missing, unknown or pending, in judging order: what somebody can"
            " still give; empty unless terminal_state is blocked."
        )
    )
    gate_decisions: Annotated[tuple[GateDecision, ...], Many] = Field(
        description=(
            "The decisions in force, in judging order: this invocation's, or those that closed a"
            " done run; empty before the gates have been judged."
        )
    )
    stage_executions: Annotated[tuple[StageExecution, ...], Many] = Field(
        description=(
            "What this invocation did about stages, in order, and what the program itself failed"
            " to do."
        )
    )
    budget: BudgetReport | None = left_out(
        None,
        "What the run may take over all its stages, and what it took; left out where nothing was"
        " said and nothing metered.",
    )
    transitions: Annotated[tuple[TransitionRecord, ...], Many] = Field(
        description="The transitions that this invocation took, in order."
    )
    containment: Containment | None = Field(
        description=(
            "How far the ending of a stage's processes reached in this invocation: all their"
            " descendants (subreaper), or those that stayed in its group and session"
            " (process_group); null before a stage was run."
        )
    )
    warnings: Annotated[tuple[str, ...], Many] = Field(
        description="What the operator should know although it did not end the run."
    )
    rebuilt: Rebuilding | None = Field(
        description=(
            "How the record was made again from the events when this invocation began; null where"
            " the checkpoint was unchanged."
        ),
    )
    accepted: Acceptance | None = Field(
        description=(
            "The record that this invocation continued from, where somebody had to accept it"
            " (--accept-record); null where nobody had to."
        )
    )
    origin: InvocationOrigin | None = Field(
        description=(
            "Who started this invocation, where, and at which revision; null with --fixed-clock."
        )
    )
    started_at: Timestamp = Field(description="When this invocation began, in UTC.")
    finished_at: Timestamp | None = Field(
        description="When this invocation ended, in UTC; null while it works."
    )
    events_head: EventsHead | None = Field(
        description=(
            "The end of the events when this was written; null before there is one, and with"
            " --fixed-clock, because events name the place of a run."
        )
    )
    invocations_moved: Count = Field(
        description=(
            "Number of the last invocation that is left out of `earlier_invocations`, with those"
            " before it: they are in orchestrator_invocations.jsonl, or in the checkpoint where a"
            " warning says so; 0 when all are here."
        )
    )
    earlier_invocations: Annotated[tuple[InvocationRecord, ...], Many] = Field(
        description="Everything that the earlier invocations after those did, in order."
    )

    @property
    def is_waiting(self) -> bool:
        """True if the run is blocked only by gates that somebody can still give."""
        codes = self.blocked_reason_codes
        refused = (one for one in self.gate_decisions if one.reason_code in codes)
        return bool(self.waiting_for) and all(map(is_awaited, refused))

    @property
    def is_unearned(self) -> bool:
        """True if the run is done, and may not be closed because not every stage was run."""
        return self.nothing_ran or bool(self.unrun_stages)

    @property
    def gates(self) -> GateRules:
        """The gates of its lifecycle by name, in judging order."""
        return rules_with(self.own_gates)

    @model_validator(mode="after")
    def _decides_by_its_gates(self) -> Self:
        known = self.gates
        if any(one.gate not in known for one in self.gate_decisions):
            raise ValueError("decides by a gate that does not exist")
        return self

    @property
    def latest(self) -> InvocationRecord:
        """The invocation that the report is about, in the form of the earlier ones.

        A report does not say which stages were passed over or run again: a checkpoint does.
        """
        return InvocationRecord(
            number=self.latest_number,
            passed_over=(),
            rerun=(),
            used=None,
            repeats=None,
            **shared_fields(self),
        )

    @property
    def latest_number(self) -> int:
        """The number of the invocation that the report is about."""
        known = self.earlier_invocations
        return 1 + (known[-1].last_number if known else self.invocations_moved)

    @property
    def failures(self) -> tuple[StageExecution, ...]:
        """The failures that no later attempt repaired.

        Attempts that declined, or that ended because a sibling failed, are not among them.
        """
        last = {execution.stage: execution for execution in self.stage_executions}
        return tuple(
            one
            for one in self.stage_executions
            if not (one.status.is_good or one.ending in {Ending.DECLINED, Ending.SIBLING_FAILED})
            and (one.attempt == 0 or one is last[one.stage])
        )

    @property
    def declined(self) -> tuple[StageExecution, ...]:
        """The attempts of the invocation that had nothing to do."""
        return tuple(one for one in self.stage_executions if one.ending is Ending.DECLINED)

    @property
    def blocking_stage(self) -> str | None:
        """The stage that said that it is blocked, and so blocked the run; else None."""
        by_stage = (one for one in self.transitions if one.trigger is Trigger.STAGE_BLOCKED)
        return next((one.source for one in by_stage), None)

    @property
    def was_asked_to_end(self) -> bool:
        """True if a request ended the invocation.

        After a signal, the exit code is 128 plus its number. A record of an earlier version has
        only that.
        """
        is_asked = self.stop_reason is not None and self.next_task_queue is None
        return is_asked or (self.exit_code or 0) > SIGNAL_BASE

    @property
    def handed_over_words(self) -> str | None:
        """The reason why the invocation ended, as text, if it handed the run over; else None."""
        queue = self.next_task_queue
        return None if queue is None else f"hands over to task queue {queue}"

    @property
    def is_nothing_kept(self) -> bool:
        """True if the run's first step could not be kept, so that nothing was spawned."""
        return (
            self.terminal_state is Outcome.FAILED
            and not self.transitions
            and not self.earlier_invocations
            and not self.invocations_moved
            and all(one.attempt == 0 for one in self.stage_executions)
            and any(one.operation in _KEEPING for one in self.stage_executions)
        )

    def to_json(self) -> bytes:
        """Return the file's bytes: indented, fixed key order, newline at the end."""
        return escaped(self.model_dump_json(indent=2)).encode() + b"\n"


def shared_fields(source: Report | InvocationRecord) -> dict[str, Any]:
    """Return the fields that a report and an invocation's record have in common."""
    return {field: getattr(source, field) for field in _SHARED}


_SHARED: Final = tuple(one for one in Report.model_fields if one in InvocationRecord.model_fields)
"""The names of the fields that a report and an invocation's record have in common."""
