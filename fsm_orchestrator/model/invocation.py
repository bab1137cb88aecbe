"""The record of one invocation: its gate decisions, transitions and stage executions."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from fsm_orchestrator.disk.revision_problem import RevisionProblem
from fsm_orchestrator.model.base import (
    Count,
    EpochName,
    GateName,
    GitCommit,
    Many,
    Ordinal,
    StateName,
    StrictModel,
    TaskQueue,
    Timestamp,
)
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import (
    Containment,
    ExecutionMode,
    GateSource,
    StopReason,
    Trigger,
)

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import Used
    from fsm_orchestrator.model.evidence import EvidenceRecord
    from fsm_orchestrator.model.trace import Trace
    from fsm_orchestrator.model.trust import Acceptance
else:
    Used = lazily("fsm_orchestrator.model.budget", "Used")
    Acceptance = lazily("fsm_orchestrator.model.trust", "Acceptance")
    Trace = lazily("fsm_orchestrator.model.trace", "Trace")
    EvidenceRecord = lazily("fsm_orchestrator.model.evidence", "EvidenceRecord")


class TransitionRecord(StrictModel):
    """One edge taken."""

    seq: Ordinal = Field(
        description="Number of the transition, from 1 over all invocations of the run."
    )
    trigger: Trigger = Field(description="The fact that happened.")
    source: StateName = Field(description="The state that was left.")
    dest: StateName = Field(description="The state that was entered.")
    at: Timestamp = Field(description="When it was recorded, in UTC.")
    cause: str = Field(description="What brought the fact about, for people.")
    details: tuple[str, ...] = Field(
        description="What `cause` adds to the cause itself, in order; `cause` has it as well."
    )


class SignalGiven(StrictModel):
    """The time at which a gate's signal was given, and by whom; nobody with `--fixed-clock`."""

    at: Timestamp = Field(description="When it was given, in UTC.")
    invocation: Ordinal = Field(description="Number of the invocation that it was given to.")
    user: str | None = Field(
        description="Name of the user who gave it; null with --fixed-clock, or without a name."
    )
    uid: Count | None = Field(description="Id of that user; null with --fixed-clock.")
    host: str | None = Field(
        description="Name of the machine that it was given on; null with --fixed-clock."
    )


class InvocationOrigin(StrictModel):
    """The user who started an invocation, the machine, and what git had checked out there.

    The revision is for display only: it is read from git's files, not proved, and does not say
    whether files were changed.
    """

    user: str | None = Field(description="Name of the user; null without a name.")
    uid: Count = Field(description="Id of that user.")
    host: str = Field(description="Name of the machine.")
    displayed_commit: GitCommit | None = Field(
        description=(
            "The commit that git's files name in the directory that the command was started in; for"
            " display only, it proves nothing; null where displayed_problem says why."
        )
    )
    displayed_branch: str | None = Field(
        description=(
            "The branch that was checked out there, known secret values masked; null for a commit"
            " without one, or when it is not known."
        )
    )
    displayed_problem: RevisionProblem | None = Field(
        description="Why the commit is not known; null when it is."
    )
    trace: Trace | None = left_out(
        None,
        "The trace that it belongs to, where TRACEPARENT was in its environment or in that of an"
        " earlier one; left out where it belongs to the one that is derived from the run's id.",
    )


class GateDecision(StrictModel):
    """The decision of one gate."""

    gate: GateName = Field(description="The gate that decided.")
    status: str = Field(description="The signal that was judged, such as `allow` or `missing`.")
    passed: bool = Field(description="Whether that signal is the one that passes this gate.")
    reason_code: str | None = Field(description="Why the gate refused; null when it passed.")
    source: GateSource = Field(description="Where the signal came from.")
    given: SignalGiven | None = Field(
        description="When and by whom the signal was given; null when it was not given."
    )
    evidence: EvidenceRecord | None = Field(
        description=(
            "What the gate's source said, or why a typed signal does not count; null where the"
            " signal was typed, or was not given."
        ),
    )


class Repeats(StrictModel):
    """The invocations that had the same result as the one before them, and ran nothing."""

    count: Ordinal = Field(description="How many there were.")
    last_started_at: Timestamp = Field(description="When the last of them began, in UTC.")
    last_finished_at: Timestamp = Field(description="When the last of them ended, in UTC.")


class RebuildCause(StrEnum):
    """The reason why the record of a run was rebuilt from its events."""

    BEHIND = "behind"
    """The checkpoint lacked steps that are in the events."""
    TORN = "torn"
    """The checkpoint could not be read: a power cut had destroyed it, or part of it."""


class Rebuilding(StrictModel):
    """The rebuilding of the record from the event log, after a kill or a power cut."""

    cause: RebuildCause = Field(
        description=(
            "Whether the checkpoint was behind the events, or torn, so that all of it was taken"
            " from them."
        )
    )
    steps: Count = Field(description="How many steps were taken from the events.")

    @property
    def words(self) -> str:
        """The rebuilding as text that follows the name of the record: `was torn, and ...`."""
        if self.cause is RebuildCause.TORN:
            return "was torn, and was made again from the events"
        return f"was {counted(self.steps, 'step')} behind the events, and was brought up to date"


class InvocationRecord(StrictModel):
    """The work of one start of the command on the run."""

    number: Ordinal = Field(description="Number of the invocation, from 1.")
    execution_mode: ExecutionMode = Field(
        description="Whether a new run or a resume was asked for."
    )
    version: str = Field(description="Version of the program at work.")
    origin: InvocationOrigin | None = Field(
        description="Who started it, where, and at which revision; null with --fixed-clock."
    )
    started_at: Timestamp = Field(description="When the invocation began, in UTC.")
    finished_at: Timestamp | None = Field(
        description="When it ended, in UTC; null while it works, and forever if it was killed."
    )
    exit_code: int | None = Field(
        description=(
            "What the command exited with; null while it works, and forever if it was killed."
        )
    )
    stop_reason: StopReason | None = left_out(
        None, "Why it was asked to end; left out where nobody asked, or it had ended by then."
    )
    next_task_queue: TaskQueue | None = left_out(
        None,
        "The task queue on which the run continues: the invocation ended before a stage that needs"
        " its machines. Left out where it ended for another reason.",
    )
    gate_decisions: Annotated[tuple[GateDecision, ...], Many] = Field(
        description=(
            "The last decision of each gate, in judging order; empty when the gates were not"
            " judged."
        )
    )
    transitions: Annotated[tuple[TransitionRecord, ...], Many] = Field(
        description="The transitions it took, in order."
    )
    stage_executions: Annotated[tuple[StageExecution, ...], Many] = Field(
        description="What it did about stages, in order."
    )
    containment: Containment | None = Field(
        description=(
            "How far the ending of a stage's processes reached: all their descendants"
            " (subreaper), or those that stayed in its group and session (process_group); null"
            " when no stage was run."
        )
    )
    passed_over: tuple[StateName, ...] = Field(
        description="Stages that had no binary and were passed over."
    )
    rerun: tuple[StateName, ...] = Field(
        description="Completed stages that it was asked to run again."
    )
    rebuilt: Rebuilding | None = Field(
        description=(
            "How the record was made again from the events when it began; null where the"
            " checkpoint was unchanged."
        ),
    )
    accepted: Acceptance | None = Field(
        description=(
            "The record that it continued from, where somebody had to accept it (--accept-record);"
            " null where nobody had to."
        )
    )
    warnings: tuple[str, ...] = Field(
        description="What the operator should know although it did not end the run."
    )
    epoch: EpochName | None = left_out(
        None,
        "The epoch in which it held the run, under an engine; left out where there is none.",
    )
    used: Used | None = left_out(
        None,
        "What it used of the run's budget, apart from what its attempts metered; left out where the"
        " run has none.",
    )
    repeats: Repeats | None = Field(
        description=(
            "The invocations right after it that had the same result, except for times and numbers,"
            " and ran nothing; null when there were none."
        )
    )

    @property
    def has_fixed_clock(self) -> bool:
        """True if its clock stood still, so that equal runs have equal reports."""
        return self.origin is None

    @property
    def told_at_end(self) -> dict[str, str | int | None]:
        """The additional fields of the event of its end: those that are known."""
        words = "containment", "stop_reason", "next_task_queue"
        told: dict[str, str | int | None] = {
            one: str(known) for one in words if (known := getattr(self, one)) is not None
        }
        return told if self.used is None else {"worked_ms": self.used.worked_ms, **told}

    @property
    def last_number(self) -> int:
        """The number of the last invocation that the record covers."""
        return self.number + (0 if self.repeats is None else self.repeats.count)

    @property
    def last_seq(self) -> int | None:
        """The number of the last transition that the record covers; None if there is none."""
        if not self.transitions:
            return None
        repeated = (self.last_number - self.number) * len(self.transitions)
        return self.transitions[-1].seq + repeated
