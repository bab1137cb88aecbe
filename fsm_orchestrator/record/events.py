"""The lines of `orchestrator_events.jsonl`, for readers of the log: one model per event.

A run does not load this module: the code where an event happens decides what is logged. A key that
an event does not always have is left out of its line, never null.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from fsm_orchestrator.model.base import (
    Count,
    EpochName,
    Ordinal,
    Sha256,
    StateName,
    TaskQueue,
    Timestamp,
)
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.execution import LeakedProcess, StageExecution
from fsm_orchestrator.model.invocation import InvocationOrigin, TransitionRecord
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.record.budget_events import BudgetSpent
from fsm_orchestrator.record.event_fields import RunEvent, StageEvent
from fsm_orchestrator.record.failure_events import RecordingFailed, RunCrashed, RunRefused
from fsm_orchestrator.record.gate_events import GateDecided, GateWaiting
from fsm_orchestrator.record.judging_events import (
    ArtifactSlow,
    StageSlow,
    VerificationEnded,
    VerificationStarted,
)
from fsm_orchestrator.record.record_events import (
    AttemptBegun,
    ChainGap,
    InvocationsMoved,
    RecordBegun,
    RecordKept,
    ReportUnplaced,
)
from fsm_orchestrator.vocabulary import (
    Containment,
    EventName,
    ExecutionMode,
    Outcome,
    OutputStream,
    StopReason,
)

if TYPE_CHECKING:
    from fsm_orchestrator.model.evidence import Subject
    from fsm_orchestrator.model.waiting import WaitingFor
else:
    Subject = lazily("fsm_orchestrator.model.evidence", "Subject")
    WaitingFor = lazily("fsm_orchestrator.model.waiting", "WaitingFor")


class RunStarted(RunEvent):
    """An invocation has begun."""

    event: Literal[EventName.RUN_STARTED] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="The level.")
    execution_mode: ExecutionMode = Field(
        description="Whether a new run or a resume was asked for."
    )
    invocation: Ordinal = Field(description="Number of the invocation, from 1.")
    lifecycle: StateName = Field(description="Name of the lifecycle that the run follows.")
    lifecycle_sha256: Sha256 = Field(
        description="SHA-256 of the lifecycle's states and edges, in hexadecimal."
    )
    origin: InvocationOrigin | None = Field(
        description="Who started it, where, and at which revision; null with --fixed-clock."
    )
    subject: Subject | None = Field(
        default=None,
        description="What the run is about, as digests; left out where that was not said.",
    )
    epoch: EpochName | None = Field(
        default=None,
        description="The epoch in which it holds the run, under an engine; left out where there is"
        " none.",
    )
    rerun: tuple[StateName, ...] = Field(
        description="Completed stages that are to be run again, as asked."
    )
    stages: tuple[StateName, ...] = Field(description="The stages of the lifecycle, in its order.")
    started_at: Timestamp = Field(description="When the invocation began, in UTC.")
    version: str = Field(description="Version of the program at work.")


class TransitionTaken(RunEvent):
    """A transition is durable and is taken."""

    event: Literal[EventName.TRANSITION] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="The level.")
    transition: TransitionRecord = Field(description="The transition, as the checkpoint has it.")


class StageStarted(StageEvent):
    """An attempt of a stage is durable, and its process is about to be started."""

    event: Literal[EventName.STAGE_STARTED] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="The level.")
    command: str = Field(description="The program: an absolute path, or a name looked up on PATH.")
    args: tuple[str, ...] = Field(
        description="The program's arguments in order; known secret values are masked."
    )
    reason: str = Field(description="Why the stage is run, as a sentence.")
    timeout_ms: Ordinal = Field(description="The time that the attempt has, in milliseconds.")
    is_default_timeout: bool = Field(
        description="Whether nothing was said of that limit, so that it is the default."
    )
    verifies_attempt: Ordinal | None = Field(
        default=None,
        description="Number of the attempt whose work is verified again, so that the stage is not"
        " run; left out where it is.",
    )
    kill_grace_ms: Count = Field(
        description="The time that its processes have between SIGTERM and SIGKILL, in milliseconds."
    )
    attempt_of_cycle: Ordinal = Field(
        description="Number of the attempt since the stage was last sent back, from 1."
    )
    max_attempts: Ordinal = Field(description="The number of attempts that the stage has in all.")
    containment: Containment = Field(
        description=(
            "How far the ending of its processes reaches: all their descendants"
            " (subreaper), or those that stay in its group and session (process_group)."
        )
    )


class StageOutput(StageEvent):
    """A running attempt printed a line; logged only with `--log-output`."""

    event: Literal[EventName.STAGE_OUTPUT] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="The level.")
    stream: OutputStream = Field(description="The stream that it was printed to.")
    text: str = Field(
        description=(
            "The line without its newline, 8 KiB of it at most; known secret values are masked,"
            " bytes that are not UTF-8 replaced."
        )
    )
    is_cut: bool = Field(description="Whether the line was longer and the rest is left out.")


class StageRetrying(StageEvent):
    """An attempt failed, and the stage will be tried again."""

    event: Literal[EventName.STAGE_RETRYING] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="The level.")
    wait_ms: Count = Field(description="The wait before the next attempt, in milliseconds.")
    max_attempts: Ordinal = Field(description="The number of attempts that the stage has in all.")


class ProcessLeaked(StageEvent):
    """An attempt exited and left a process running, which was ended."""

    event: Literal[EventName.PROCESS_LEAKED] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="The level.")
    process: LeakedProcess = Field(description="The process, as the report has it.")


class StageEnded(StageEvent):
    """An attempt of a stage has ended."""

    event: Literal[EventName.STAGE_ENDED] = Field(description="Name of the event.")
    level: Literal["info", "warning", "error"] = Field(
        description=(
            "The level: `error` unless the attempt succeeded, asked for rework or had nothing to"
            " do; `warning` where its stage said that it is blocked."
        )
    )
    execution: StageExecution = Field(description="How it ended, as the checkpoint has it.")


class StageSkipped(StageEvent):
    """A completed stage is not run again; `attempt` is the one that completed it."""

    event: Literal[EventName.STAGE_SKIPPED] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="The level.")
    execution: StageExecution = Field(description="The skip, as the checkpoint has it.")


class RunWarning(RunEvent):
    """Something happened that the operator should know about but that does not end the run."""

    event: Literal[EventName.WARNING] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="The level.")
    message: str = Field(description="The warning, as a sentence.")
    stage: StateName | None = Field(
        default=None,
        description="Name of the stage that it concerns; left out when it concerns none.",
    )
    is_passed_over: Literal[True] | None = Field(
        default=None,
        description="True when the stage had no binary and was passed over; else left out.",
    )


class AttemptInterrupted(StageEvent):
    """An attempt whose end was not seen or not recorded is recorded as interrupted."""

    event: Literal[EventName.ATTEMPT_INTERRUPTED] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="The level.")
    ended_pids: tuple[Ordinal, ...] = Field(
        description="Process ids of the processes that were still alive and were ended."
    )
    invocation: Ordinal | None = Field(
        default=None,
        description=(
            "Number of the invocation that had begun the attempt; left out when the attempt is"
            " that of another run, which was in the directory before this one."
        ),
    )
    execution: StageExecution | None = Field(
        default=None,
        description="The attempt, as the checkpoint has it; left out like `invocation`.",
    )


class ClosureRefused(RunEvent):
    """A run may not be closed: expected artifacts are wrong, or a guard could not decide."""

    event: Literal[EventName.CLOSURE_REFUSED] = Field(description="Name of the event.")
    level: Literal["error"] = Field(description="The level.")
    execution: StageExecution = Field(description="The refusal, as the checkpoint has it.")


class RunEnded(RunEvent):
    """An invocation has ended."""

    event: Literal[EventName.RUN_ENDED] = Field(description="Name of the event.")
    level: Literal["info", "error"] = Field(
        description="The level: `error` unless the exit code is 0, or the run was handed over."
    )
    outcome: Outcome = Field(description="How the run ended: the report's `terminal_state`.")
    exit_code: int = Field(description="The exit code of the command.")
    closure_ready: bool = Field(description="Whether the run may be closed, as the report has it.")
    finished_at: Timestamp = Field(description="When the invocation ended, in UTC.")
    next_task_queue: TaskQueue | None = Field(
        default=None,
        description="The task queue on which the run continues, as the report has it; left out"
        " where the invocation handed nothing over.",
    )
    worked_ms: Count | None = Field(
        default=None,
        description="How long it worked, in milliseconds; left out where the run has no budget.",
    )
    containment: Containment | None = Field(
        default=None,
        description=(
            "How far the ending of processes reached, as the report has it; left out when no"
            " stage was run."
        ),
    )
    stop_reason: StopReason | None = Field(
        default=None,
        description="Why it was asked to end, as the report has it; else left out.",
    )
    unrun_stages: tuple[StateName, ...] | None = Field(
        default=None,
        description="The stages that were passed over without permission, as the report has them;"
        " left out where there are none.",
    )
    nothing_ran: Literal[True] | None = Field(
        default=None,
        description="True when the run may not be closed because no stage was run; else left out.",
    )
    waiting_for: tuple[WaitingFor, ...] | None = Field(
        default=None,
        description="What the run waits for, as the report has it; left out unless it is blocked.",
    )


EventLine: TypeAlias = Annotated[
    RunStarted
    | RecordBegun
    | RecordKept
    | ChainGap
    | TransitionTaken
    | GateWaiting
    | GateDecided
    | AttemptBegun
    | StageStarted
    | StageOutput
    | StageSlow
    | ArtifactSlow
    | VerificationStarted
    | VerificationEnded
    | StageRetrying
    | ProcessLeaked
    | StageEnded
    | StageSkipped
    | RunWarning
    | AttemptInterrupted
    | InvocationsMoved
    | ClosureRefused
    | BudgetSpent
    | RecordingFailed
    | RunRefused
    | RunEnded
    | ReportUnplaced
    | RunCrashed,
    Field(discriminator="event"),
]
"""Any line of the log; `event` says which."""


def parse_event(line: bytes) -> EventLine:
    """Read a line of the log.

    Raises:
        pydantic.ValidationError: it is not a line that this version of the program writes.
    """
    event: EventLine = _parser().validate_json(line)
    return event


@cache
def _parser() -> Any:
    from fsm_orchestrator.model.parsed import adapter_of  # noqa: PLC0415 - only to read

    return adapter_of(EventLine)
