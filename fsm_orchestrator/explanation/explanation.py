"""The shape of an explanation: why a run stands where it does, and what to do about it.

It has sentences for people and fields for programs; the commands and the page show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.explanation.facts import FactForm, FactName
from fsm_orchestrator.gates.in_force import GateInForce
from fsm_orchestrator.model.base import Count, RunId, StateName, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.invocation import InvocationOrigin, Rebuilding
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.preparation.inputs import InputChange
from fsm_orchestrator.text.phrases import with_details
from fsm_orchestrator.vocabulary import Standing

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import BudgetReport
    from fsm_orchestrator.model.evidence import Subject
else:
    BudgetReport = lazily("fsm_orchestrator.model.budget", "BudgetReport")
    Subject = lazily("fsm_orchestrator.model.evidence", "Subject")

_FORMS: Final[Mapping[FactName, FactForm]] = {
    FactName.WHY: FactForm.PROSE,
    FactName.ITS_END: FactForm.PROSE,
    FactName.USED: FactForm.PROSE,
    FactName.VERIFIED: FactForm.PROSE,
    FactName.NO_POSTMORTEM: FactForm.PROSE,
    FactName.BEGAN: FactForm.TIME,
    FactName.COMMAND: FactForm.COMMAND,
    FactName.STDERR: FactForm.OUTPUT,
    FactName.STDOUT: FactForm.OUTPUT,
    FactName.SAYS: FactForm.OUTPUT,
    FactName.NOT_SHOWN: FactForm.PROSE,
    FactName.RELEASES: FactForm.COMMAND,
}


class StageFate(StrEnum):
    """The fate of a stage, past or planned."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DECLINED = "declined"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    PASSED_OVER = "passed_over"
    INTERRUPTED = "interrupted"
    NOT_REACHED = "not_reached"


class Fact(StrictModel):
    """One piece of evidence."""

    name: FactName = Field(description="What it is, in a word or two.")
    value: str = Field(description="Its value; several lines where it quotes.")

    @property
    def form(self) -> FactForm:
        """The form of the value, which every fact of this name has."""
        return _FORMS.get(self.name, FactForm.TEXT)


class Cause(StrictModel):
    """One reason why the run stands where it does, with its evidence."""

    sentence: str = Field(description="The reason, as a sentence.")
    details: tuple[str, ...] = Field(default=(), description="Further details, in order.")
    facts: tuple[Fact, ...] = Field(description="The evidence, the most telling first.")

    @property
    def in_full(self) -> str:
        """The reason with its details."""
        return with_details(self.sentence, self.details)


class NextStep(StrictModel):
    """The next step: what to fix, who can, and what to type."""

    remedies: tuple[str, ...] = Field(description="What to fix first, as sentences.")
    who: str = Field(description="Who can change where the run stands.")
    words: tuple[str, ...] | None = Field(
        description="The next command, word by word; null when there is none to type."
    )
    would: tuple[str, ...] = Field(
        description="What that command would do as things are now, in order."
    )
    reverify: tuple[str, ...] | None = Field(
        default=None,
        description="The command that verifies again what the stage has done, instead of running it"
        " again, word by word; null where that is not enough.",
    )


class ExplainedAttempt(StrictModel):
    """One execution of a stage, in any invocation of the run."""

    invocation: Count = Field(description="Number of the invocation, from 1.")
    attempt: Count = Field(description="Number of the attempt, from 1 over all invocations.")
    ending: str = Field(description="How it ended, as a sentence.")
    facts: tuple[Fact, ...] = Field(description="What is recorded of it, field by field.")


class ExplainedStage(StrictModel):
    """A stage: its fate, and the reason for it."""

    stage: StateName = Field(description="Name of the stage.")
    fate: StageFate = Field(description="What became of it in the latest invocation.")
    because: str = Field(description="Why it ran, was skipped or did not run.")
    attempts: tuple[ExplainedAttempt, ...] = Field(description="Its attempts, oldest first.")


class Explanation(StrictModel):
    """The explanation of a run's standing."""

    output_directory: str = Field(description="Absolute path of the run's directory.")
    run_id: RunId = Field(description="Identifies the run.")
    lifecycle: StateName | None = Field(
        description="Name of the lifecycle; null when it is not known."
    )
    subject: Subject | None = Field(
        description="What the run is about, as digests; null where that was not said."
    )
    standing: Standing = Field(description="Where the run stands.")
    current_state: StateName | None = Field(
        description="The last state that was made durable; null when it is not known."
    )
    exit_code: int | None = Field(
        description="Exit code of the latest command; null while it works, or if it was killed."
    )
    since: Timestamp = Field(description="Since when it has stood there, in UTC.")
    invocations: Count = Field(description="How many times the command was started for the run.")
    origin: InvocationOrigin | None = Field(
        description=(
            "Who started the latest invocation, where, and at which revision; null with"
            " --fixed-clock."
        )
    )
    rebuilt: Rebuilding | None = Field(
        description=(
            "How the record was made again from the events when the latest invocation began; null"
            " where the checkpoint was unchanged."
        )
    )
    invocations_moved: Count = Field(
        description=(
            "Number of the last invocation that is left out here, with those before it: they are in"
            " orchestrator_invocations.jsonl; 0 when all are here."
        )
    )
    budget: BudgetReport | None = left_out(
        None, "What the run may take over all its stages, and what it took; left out for nothing."
    )
    causes: tuple[Cause, ...] = Field(description="Why it stands there, the first cause first.")
    next_step: NextStep = Field(description="What to do next.")
    gates: tuple[GateInForce, ...] = Field(description="The gates, in judging order.")
    stages: tuple[ExplainedStage, ...] = Field(description="The stages, in the lifecycle's order.")
    changed_files: tuple[InputChange, ...] = Field(
        description="Config and lifecycle files that have changed since the run was given them."
    )
    warnings: tuple[str, ...] = Field(
        description="What the operator should know although it did not end the run."
    )
