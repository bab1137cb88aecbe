"""The record of a stage execution, shared by checkpoint, report and log.

One record, three renderings: a transition, a gate decision or a stage execution has one model here,
and checkpoint, report and event carry that same model. Frozen; unknown keys are refused.

Modules of models evaluate their annotations at once (no `from __future__ import annotations`):
otherwise each would be compiled from its text at every start.
"""

from typing import TYPE_CHECKING, Annotated

from fsm_orchestrator.model.base import (
    Count,
    ExitMeaning,
    Many,
    Ordinal,
    Sha256,
    StrictModel,
    Timestamp,
)
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.endings import PostmortemGap, SpawnFailure, trigger_of
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.model.program import ProgramFile
from fsm_orchestrator.model.promises import HeldHow
from fsm_orchestrator.vocabulary import Ending, Operation, StageStatus, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import Metering
    from fsm_orchestrator.model.confinement import Confinement, ExceededLimit
    from fsm_orchestrator.model.contracts import (
        ContractViolation,
        InputDigest,
        ProtectedChange,
        Protection,
    )
    from fsm_orchestrator.model.verification import Verification
else:
    Metering = lazily("fsm_orchestrator.model.budget", "Metering")
    Verification = lazily("fsm_orchestrator.model.verification", "Verification")
    ContractViolation = lazily("fsm_orchestrator.model.contracts", "ContractViolation")
    InputDigest = lazily("fsm_orchestrator.model.contracts", "InputDigest")
    ProtectedChange = lazily("fsm_orchestrator.model.contracts", "ProtectedChange")
    Protection = lazily("fsm_orchestrator.model.contracts", "Protection")
    ExceededLimit = lazily("fsm_orchestrator.model.confinement", "ExceededLimit")
    Confinement = lazily("fsm_orchestrator.model.confinement", "Confinement")


class Artifact(StrictModel):
    """An expected artifact that was good when it was judged."""

    path: str = Field(
        description="Absolute path of the file; of a directory (ends with a slash), or a glob."
    )
    sha256: Sha256 = Field(
        description="SHA-256 of the file's bytes, in hexadecimal; of several files, of their sorted"
        " list."
    )
    size_bytes: Count = Field(description="Size of the file, or of all files together, in bytes.")
    judged_by: str | None = Field(
        description=(
            "Who found it to be exactly one JSON value, by which rules and version; null where it"
            " was not expected to be JSON. The same judge does not judge the same bytes again."
        ),
    )
    files: Count | None = left_out(
        None, "How many files it is, where it is a directory or a glob; left out for a file."
    )


class LeakedProcess(StrictModel):
    """A process that a stage left behind and that was ended with it."""

    pid: Ordinal = Field(description="Its process id.")
    command: str = Field(
        description="Its command line, cut off when long; known secret values are masked."
    )
    age_seconds: float = Field(
        description="How long it had been running when it was found, in seconds."
    )
    rss_bytes: Count = Field(description="Its resident memory when it was found, in bytes.")


class Resources(StrictModel):
    """The resources of the stage's first process and the children it waited for: getrusage(2)."""

    user_seconds: float = Field(description="Processor time spent in user mode, in seconds.")
    system_seconds: float = Field(description="Processor time spent in the kernel, in seconds.")
    rss_bytes_max: Count | None = Field(
        description=(
            "Largest resident memory of one process, in bytes; null when it is not known: below"
            " some 11 MB, because the system also counts the size of the process that spawned it."
        )
    )


class StageExecution(StrictModel):
    """One act of this program on a stage: it ran an attempt, or skipped the stage.

    Also used for the program's own failures, with `checkpoint.persist`, `report.persist`,
    `events.persist`, `checkpoint.load` or `closure.verify` as `command`, and for a run that had no
    time or budget left, with `run.timeout` or `budget.verify`, so that `error` is where the runbook
    says to look.
    """

    stage: str = Field(
        description="Name of the stage; the first part of `command` for the program's own work."
    )
    attempt: Count = Field(
        description=(
            "Number of the attempt, from 1 over all invocations of the run; of a skipped stage"
            " the attempt that completed it; 0 for the program's own work."
        )
    )
    idempotency_key: str = Field(
        description=(
            "Names the piece of work, equal for all attempts at it: run id, stage and loop cycle,"
            " joined by colons."
        )
    )
    status: StageStatus = Field(description="How the attempt ended, or that the stage was skipped.")
    ending: Ending | None = Field(
        description=(
            "What kind of ending that was; null when nothing was run, or nobody saw the end."
        )
    )
    flaky: bool = Field(
        description=(
            "Whether the attempt succeeded after an earlier one of this invocation had failed: it"
            " was retried automatically."
        )
    )
    reason: str = Field(description="Why the stage was run or skipped.")
    start_problem: SpawnFailure | None = Field(
        description=(
            "What kept the program from being started, or from being run as it should; null when"
            " nothing is known to."
        )
    )
    error: str | None = Field(
        description="What went wrong, the cause first; null for success and skipped."
    )
    problem: Problem | None = Field(
        description="The same, cause and details apart; null where `error` is."
    )
    command: str = Field(
        description=(
            "The program that was run, an absolute path or a name looked up on PATH; an operation"
            " such as `checkpoint.persist` for the program's own work; empty when it is no longer"
            " known."
        )
    )
    args: tuple[str, ...] = Field(
        description="The program's arguments in order; known secret values are masked."
    )
    env_keys: tuple[str, ...] = Field(
        description=(
            "Names of the environment variables given for the stage; their values are not kept"
            " here."
        )
    )
    cwd: str = Field(
        description="Absolute path of the directory it ran in; empty when none is known."
    )
    program: Annotated[tuple[ProgramFile, ...], Many] = left_out(
        (),
        "The program that was started, and the first files among its arguments; not there where"
        " nothing was started, or the clock stands still.",
    )
    limit_exceeded: ExceededLimit | None = Field(
        description="The usage limit that it exceeded; null when it exceeded none."
    )
    usage_held_by: HeldHow | None = left_out(
        None, "How the limits of its memory and its processes were held, where there were any."
    )
    confinement: Confinement | None = Field(
        description="What it was confined to; null for nothing."
    )
    metering: Metering | None = left_out(
        None,
        "What it metered, and the part of the run's budget that ended it; left out where nothing"
        " was to be metered and no time limit of the run was reached.",
    )
    started_at: Timestamp = Field(
        description="When the attempt began or the stage was skipped, in UTC."
    )
    duration_ms: Count = Field(
        description="How long the attempt took, in milliseconds; 0 when it was not measured."
    )
    artifacts_judged_ms: Count = Field(
        description=(
            "How long it took to judge the expected artifacts, in milliseconds; part of the"
            " stage's timeout, not of `duration_ms`."
        ),
    )
    exit_code: int | None = Field(
        description=(
            "Exit code of the process, 0 to 255; null when it did not exit on its own, or nothing"
            " was run."
        )
    )
    signal: str | None = Field(
        description=(
            "Name of the signal that ended the process, such as SIGSEGV; null when there was"
            " none, or this program sent it."
        )
    )
    missing_artifacts: tuple[str, ...] = Field(
        description=(
            "Absolute paths of the expected artifacts that were not there as regular files."
        )
    )
    malformed_artifacts: tuple[str, ...] = Field(
        description=(
            "Absolute paths of the expected artifacts that were there and could not be read or"
            " are not valid."
        )
    )
    stale_artifacts: tuple[str, ...] = Field(
        description=(
            "Absolute paths of the expected artifacts that were there before and were not written"
            " by this attempt."
        )
    )
    contract_violations: Annotated[tuple[ContractViolation, ...], Many] = left_out(
        (), "What its artifacts had to be by contract and were not, up to 100."
    )
    protected_changes: Annotated[tuple[ProtectedChange, ...], Many] = left_out(
        (), "Protected paths that have changed since before it, up to 100."
    )
    protection: Protection | None = left_out(
        None, "What its protected paths were before it; null where there are none."
    )
    inputs: Annotated[tuple[InputDigest, ...], Many] = left_out(
        (), "Its declared inputs when it completed."
    )
    artifacts: Annotated[tuple[Artifact, ...], Many] = Field(
        description="The expected artifacts that were good."
    )
    stdout_log: str | None = Field(
        description=(
            "File with what the attempt wrote to stdout, relative to the output directory; null"
            " for the program's own work."
        )
    )
    stderr_log: str | None = Field(
        description=(
            "File with what the attempt wrote to stderr, relative to the output directory; null"
            " for the program's own work."
        )
    )
    stderr_tail: str = Field(
        description="The last lines the attempt wrote to stderr; known secret values are masked."
    )
    postmortem: str | None = Field(
        description=(
            "File with what its processes were doing when it was ended for taking too long,"
            " relative to the output directory; null when there is none."
        )
    )
    no_postmortem: PostmortemGap | None = Field(
        description=(
            "Why there is none although it was ended for taking too long, or nobody saw its end;"
            " null when there is one, or none is due."
        )
    )
    leaked_count: Count = Field(
        description="How many processes the attempt left running; they were ended."
    )
    leaked_processes: Annotated[tuple[LeakedProcess, ...], Many] = Field(
        description=("Those of them that could be inspected before they were ended, at most 100.")
    )
    resources: Resources | None = Field(
        description="What the attempt used; null when it was not measured."
    )
    verifications: tuple[Verification, ...] = left_out(
        (), "The verifications of what it did, in order, up to the first that failed."
    )
    verified_attempt: Ordinal | None = left_out(
        None,
        "Number of the attempt whose work was verified again: the stage was not run. Left out where"
        " it was.",
    )

    @property
    def failed_verification(self) -> "Verification | None":
        """The verification that failed or was cut short; None if there is none."""
        return next((one for one in self.verifications if not one.is_good), None)

    @property
    def lacks_verification_only(self) -> bool:
        """True if it did its work and left its artifacts, and only their verification failed."""
        return (
            self.failed_verification is not None
            and (self.exit_code, self.signal) == (0, None)
            and not (self.missing_artifacts or self.malformed_artifacts or self.stale_artifacts)
            and not (self.contract_violations or self.protected_changes)
        )

    @property
    def has_lost_keeper(self) -> bool:
        """True if the end of it or of one of its verifications is unknown: a keeper was killed."""
        return Ending.LOST in (self.ending, *(one.ending for one in self.verifications))

    @property
    def name(self) -> str:
        """The stage; for the program's own work, the operation, such as `report.persist`."""
        return self.command if self.attempt == 0 else self.stage

    @property
    def level(self) -> str:
        """The level at which the end of the attempt is logged."""
        said = ExitMeaning.of(self.ending)
        is_good = self.status is StageStatus.SUCCESS
        return said.level if said is not None else "info" if is_good else "error"

    def is_attempt_of(self, stage: str) -> bool:
        """Return whether it is an attempt of a stage, not a skip."""
        return self.stage == stage and self.attempt > 0 and self.status is not StageStatus.SKIPPED

    @property
    def operation(self) -> Operation | None:
        """The operation that the program itself failed to do; None if this is about a stage."""
        is_own = self.attempt == 0 and self.command in tuple(Operation)
        return Operation(self.command) if is_own else None


def fact_of(execution: StageExecution) -> Trigger:
    """Return the trigger that a stage execution is for the machine."""
    said = ExitMeaning.of(execution.ending)
    if said is not None:
        return said.trigger
    if execution.metering is not None and execution.metering.is_out_of_time:
        return Trigger.RUN_TIMED_OUT
    return trigger_of(execution.status)
