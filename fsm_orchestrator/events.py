"""The lines of `orchestrator_events.jsonl`, for those who read the log: one model an event.

A run does not load this module: what it logs is decided where it happens. A key that an event
does not always have is left out of its line, never null.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from fsm_orchestrator.records import (
    Count,
    GateDecision,
    LeakedProcess,
    Ordinal,
    Record,
    RunId,
    SchemaVersion,
    StageExecution,
    StateName,
    Timestamp,
    TransitionRecord,
)
from fsm_orchestrator.vocabulary import EventName, ExecutionMode, Outcome


class Event(Record):
    """What every line has."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    seq: Ordinal = Field(description="Number of the line in its file, from 1 without gaps.")
    at: Timestamp = Field(description="When it was logged, in UTC.")
    run_id: RunId = Field(description="Identifies the run, over all its invocations.")


class RunEvent(Event):
    """What every line of a run that began has."""

    state: StateName = Field(description="The last state that was made durable.")


class StageEvent(RunEvent):
    """What every line about an attempt of a stage has."""

    stage: StateName = Field(description="Name of the stage.")
    attempt: Ordinal = Field(description="Number of the attempt, from 1 over all invocations.")


class RunStarted(RunEvent):
    """An invocation has begun."""

    event: Literal[EventName.RUN_STARTED] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="How grave it is.")
    execution_mode: ExecutionMode = Field(
        description="Whether a new run or a resume was asked for."
    )
    invocation: Ordinal = Field(description="Number of the invocation, from 1.")
    lifecycle: StateName = Field(description="Name of the lifecycle that the run follows.")
    version: str = Field(description="Version of the program at work.")


class TransitionTaken(RunEvent):
    """A transition is durable and is taken."""

    event: Literal[EventName.TRANSITION] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="How grave it is.")
    transition: TransitionRecord = Field(description="The transition, as the checkpoint has it.")


class GateDecided(RunEvent):
    """A gate has been judged."""

    event: Literal[EventName.GATE_DECIDED] = Field(description="Name of the event.")
    level: Literal["info", "warning"] = Field(description="How grave it is: a refusal is graver.")
    decision: GateDecision = Field(description="The decision, as the checkpoint has it.")


class StageStarted(StageEvent):
    """An attempt of a stage is durable, and its process is about to be started."""

    event: Literal[EventName.STAGE_STARTED] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="How grave it is.")
    command: str = Field(description="The program: an absolute path, or a name looked up on PATH.")
    args: tuple[str, ...] = Field(
        description="The program's arguments in order; known secret values are masked."
    )
    reason: str = Field(description="Why the stage is run, in words.")


class StageSlow(StageEvent):
    """An attempt has run for another `slow_after_ms` of its stage, and runs on."""

    event: Literal[EventName.STAGE_SLOW] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="How grave it is.")
    elapsed_ms: Count = Field(description="How long it has been running, in milliseconds.")
    stdout_tail: str = Field(
        description="The last lines it printed to stdout; known secret values are masked."
    )
    stderr_tail: str = Field(
        description="The last lines it printed to stderr; known secret values are masked."
    )


class StageRetrying(StageEvent):
    """An attempt failed in a way after which the stage is tried again, and it will be."""

    event: Literal[EventName.STAGE_RETRYING] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="How grave it is.")
    wait_ms: Count = Field(description="How long before the next attempt, in milliseconds.")
    max_attempts: Ordinal = Field(description="How many attempts the stage has in all.")


class ProcessLeaked(StageEvent):
    """An attempt exited and left a process running, which was ended."""

    event: Literal[EventName.PROCESS_LEAKED] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="How grave it is.")
    process: LeakedProcess = Field(description="The process, as the report has it.")


class StageEnded(StageEvent):
    """An attempt of a stage has ended."""

    event: Literal[EventName.STAGE_ENDED] = Field(description="Name of the event.")
    level: Literal["info", "error"] = Field(
        description="How grave it is: all but a success is graver."
    )
    execution: StageExecution = Field(description="How it ended, as the checkpoint has it.")


class StageSkipped(StageEvent):
    """A completed stage is not run again; `attempt` is the one that completed it."""

    event: Literal[EventName.STAGE_SKIPPED] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="How grave it is.")
    execution: StageExecution = Field(description="The skip, as the checkpoint has it.")


class RunWarning(RunEvent):
    """Something the operator should know although it does not end the run."""

    event: Literal[EventName.WARNING] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="How grave it is.")
    message: str = Field(description="What it is, in words.")
    stage: StateName | None = Field(
        default=None, description="Name of the stage it is about; left out when it is about none."
    )


class AttemptInterrupted(StageEvent):
    """An attempt whose end nobody saw was found, and what was left of it has been ended."""

    event: Literal[EventName.ATTEMPT_INTERRUPTED] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="How grave it is.")
    ended_pids: tuple[Ordinal, ...] = Field(
        description="Process ids of what was alive still and was ended."
    )


class RecordingFailed(RunEvent):
    """The program could not do its own part of the run, which fails with it."""

    event: Literal[EventName.RECORDING_FAILED] = Field(description="Name of the event.")
    level: Literal["error"] = Field(description="How grave it is.")
    error: str = Field(description="What could not be done, where and why.")
    operation: str | None = Field(
        default=None,
        description=(
            "What could not be done as one word, such as `report.persist`; left out of a second"
            " failure that follows from the first."
        ),
    )


class RunRefused(Event):
    """A resume was refused because of its checkpoint."""

    event: Literal[EventName.RUN_REFUSED] = Field(description="Name of the event.")
    level: Literal["error"] = Field(description="How grave it is.")
    error: str = Field(description="Why, with the file.")


class RunEnded(RunEvent):
    """An invocation has ended."""

    event: Literal[EventName.RUN_ENDED] = Field(description="Name of the event.")
    level: Literal["info", "error"] = Field(
        description="How grave it is: all but a done run is graver."
    )
    outcome: Outcome = Field(description="How it ended.")
    exit_code: int = Field(description="What the command exits with.")


class RunCrashed(RunEvent):
    """An invocation has ended by a bug of the program."""

    event: Literal[EventName.RUN_CRASHED] = Field(description="Name of the event.")
    level: Literal["critical"] = Field(description="How grave it is.")
    traceback: str = Field(description="Where the program was, as Python tells it.")


EventLine: TypeAlias = Annotated[
    RunStarted
    | TransitionTaken
    | GateDecided
    | StageStarted
    | StageSlow
    | StageRetrying
    | ProcessLeaked
    | StageEnded
    | StageSkipped
    | RunWarning
    | AttemptInterrupted
    | RecordingFailed
    | RunRefused
    | RunEnded
    | RunCrashed,
    Field(discriminator="event"),
]
"""Any line of the log; `event` says which."""

_EVENT_LINE: Final[TypeAdapter[EventLine]] = TypeAdapter(EventLine)


def parse_event(line: bytes) -> EventLine:
    """The event that a line of the log tells.

    Raises:
        pydantic.ValidationError: it is no line that this version of the program writes.
    """
    return _EVENT_LINE.validate_json(line)
