"""Old invocations, moved to a separate file: its lines, and what the checkpoint keeps of them.

Otherwise a run that is resumed again and again would read, prove and write its whole history each
time. What still counts of them are totals, the completions in force, and a few executions.
"""

from typing import TYPE_CHECKING, Annotated, Final

from fsm_orchestrator.lifecycle.model import Edge
from fsm_orchestrator.model.base import (
    Count,
    Many,
    Ordinal,
    Sha256,
    StateName,
    StrictModel,
)
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import GateDecision, InvocationRecord
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.vocabulary import Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import UsedBefore
else:
    UsedBefore = lazily("fsm_orchestrator.model.budget", "UsedBefore")

KEPT_MAX: Final = 32
"""The most invocations that a checkpoint has; when there are more, all but the latest are moved."""
KEPT_MIN: Final = 16
"""The number of the latest invocations that then stay."""


class StageTotals(StrictModel):
    """The attempts of a stage up to an invocation."""

    stage: StateName = Field(description="Name of the stage.")
    attempts: Ordinal = Field(description="How many attempts it had.")
    cycle: Ordinal = Field(description="Number of the loop cycle of the last of them.")
    attempts_in_cycle: Ordinal = Field(description="How many of them were in that cycle.")
    completed_by: Ordinal | None = Field(
        description="Number of the attempt by which it is complete; null when it is not."
    )


class LoopTotals(StrictModel):
    """The number of times that an edge that closes a loop was taken."""

    source: StateName = Field(description="The state that was left.")
    trigger: Trigger = Field(description="The fact that happened.")
    dest: StateName = Field(description="The state that was entered.")
    times: Ordinal = Field(description="How often.")

    def is_of(self, edge: Edge) -> bool:
        """Return whether these are the totals of an edge."""
        return (self.source, self.trigger, self.dest) == (edge.source, edge.trigger, edge.dest)


class Totals(StrictModel):
    """The totals of a run's invocations, from the first to one of them."""

    last_number: Ordinal = Field(description="Number of the last of them.")
    last_seq: Count = Field(description="Number of the last transition; 0 without one.")
    current_state: StateName = Field(description="The state that the run was in after it.")
    gate_decisions: Annotated[tuple[GateDecision, ...], Many] = Field(
        description="The decisions of the last of them that judged the gates; empty without one."
    )
    stages: Annotated[tuple[StageTotals, ...], Many] = Field(
        description="The stages that had attempts."
    )
    passed_over: tuple[StateName, ...] = left_out(
        (), "The stages passed over by the last of them that took a transition."
    )
    loops: Annotated[tuple[LoopTotals, ...], Many] = Field(
        description="The loops that were taken, in the order in which each was taken last."
    )
    used: UsedBefore | None = left_out(
        None, "What they used of the run's budget; left out where it had none."
    )


class MovedInvocation(StrictModel):
    """A line of the file of old invocations."""

    invocation: InvocationRecord = Field(description="The invocation, whole.")
    totals: Totals | None = Field(
        description=(
            "The totals of the run after it; null except in the last line of those that were moved"
            " together."
        )
    )


class SideMark(StrictModel):
    """The end of the file of old invocations."""

    lines: Ordinal = Field(description="How many invocations are in it.")
    size_bytes: Ordinal = Field(description="Size of the file up to the last of them, in bytes.")
    sha256: Sha256 = Field(
        description=(
            "The last of a chain of SHA-256 in hexadecimal, one for each line: of the one before"
            " it (of nothing, for the first) and the line, without its newline."
        )
    )
    seen: Sha256 | None = Field(
        description=(
            "A digest that shows that the file was not touched since all of it was checked: of this"
            " mark and of the file's inode number and times of change. Null, or another one now: it"
            " is read whole again."
        )
    )


class Earlier(StrictModel):
    """The part kept of the invocations that were moved to orchestrator_invocations.jsonl."""

    totals: Totals = Field(description="Their totals; the last line of the file has them too.")
    file: SideMark = Field(description="The end of that file; what follows it is not the run's.")
    completions: Annotated[tuple[Completion, ...], Many] = Field(
        description="The stages that were complete after them."
    )
    executions: Annotated[tuple[StageExecution, ...], Many] = Field(
        description="The attempts that completed these, and the last attempt of each stage."
    )

    def times_taken(self, edge: Edge) -> int:
        """Return how often they took an edge that closes a loop."""
        return next((one.times for one in self.totals.loops if one.is_of(edge)), 0)

    def attempts_in(self, stage: str, cycle: int) -> int:
        """Return how many attempts a stage had in a loop cycle; 0 unless it is its last one."""
        return sum(
            one.attempts_in_cycle
            for one in self.totals.stages
            if (one.stage, one.cycle) == (stage, cycle)
        )
