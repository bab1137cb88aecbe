"""The log lines about what the program itself failed to do."""

from __future__ import annotations

from typing import Literal

from fsm_orchestrator.model.base import Timestamp
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import InvocationOrigin
from fsm_orchestrator.record.event_fields import Event, RunEvent
from fsm_orchestrator.vocabulary import EventName, ExecutionMode


class RecordingFailed(RunEvent):
    """The program could not do its own part of the run, so the run fails."""

    event: Literal[EventName.RECORDING_FAILED] = Field(description="Name of the event.")
    level: Literal["error"] = Field(description="The level.")
    error: str = Field(description="What failed, where and why.")
    operation: str = Field(description="The operation that failed, such as `checkpoint.persist`.")
    execution: StageExecution | None = Field(
        default=None,
        description=(
            "The failure, as the report has it; left out of a second one, met while the first was"
            " recorded."
        ),
    )


class RunRefused(Event):
    """An invocation could not begin: the checkpoint is unusable or a run cannot be archived."""

    event: Literal[EventName.RUN_REFUSED] = Field(description="Name of the event.")
    level: Literal["error"] = Field(description="The level.")
    error: str = Field(description="Why it was refused, with the file.")
    operation: str = Field(description="The operation that failed, such as `checkpoint.load`.")
    execution_mode: ExecutionMode = Field(
        description="Whether a new run or a resume was asked for."
    )
    execution: StageExecution = Field(description="The refusal, as the report has it.")
    origin: InvocationOrigin | None = Field(
        description="Who started it, where, and at which revision; null with --fixed-clock."
    )


class RunCrashed(RunEvent):
    """An invocation was ended by a bug in the program."""

    event: Literal[EventName.RUN_CRASHED] = Field(description="Name of the event.")
    level: Literal["critical"] = Field(description="The level.")
    traceback: str = Field(description="The traceback that Python printed.")
    exit_code: int = Field(description="The exit code of the command.")
    finished_at: Timestamp = Field(description="When the invocation ended, in UTC.")
    execution: StageExecution = Field(description="The failure, as the report has it.")
