"""The log lines about an attempt that takes a long time, and about judging what it did."""

from __future__ import annotations

from typing import Literal

from fsm_orchestrator.model.base import Count, Ordinal
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.verification import Verification
from fsm_orchestrator.record.event_fields import StageEvent
from fsm_orchestrator.vocabulary import EventName


class StageSlow(StageEvent):
    """An attempt has run for another `slow_after_ms` of its stage, and is still running."""

    event: Literal[EventName.STAGE_SLOW] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="The level.")
    elapsed_ms: Count = Field(description="The time that it has been running, in milliseconds.")
    stdout_tail: str = Field(
        description="The last lines it printed to stdout; known secret values are masked."
    )
    stderr_tail: str = Field(
        description="The last lines it printed to stderr; known secret values are masked."
    )


class ArtifactSlow(StageEvent):
    """Judging an attempt's expected artifacts has taken longer than a second, and continues."""

    event: Literal[EventName.ARTIFACT_SLOW] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="The level.")
    path: str = Field(description="The artifact that is judged now; known secret values masked.")
    elapsed_ms: Count = Field(
        description="The time that judging them has taken so far, in milliseconds."
    )


class VerificationStarted(StageEvent):
    """A command is about to verify what an attempt did."""

    event: Literal[EventName.VERIFICATION_STARTED] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="The level.")
    verification: Ordinal = Field(description="Number of the verification, from 1.")
    of_verifications: Ordinal = Field(description="How many the stage has.")
    command: str = Field(description="The program: an absolute path, or a name looked up on PATH.")
    args: tuple[str, ...] = Field(
        description="Its arguments in order; known secret values are masked."
    )
    timeout_ms: Ordinal = Field(description="The time that it has, in milliseconds.")
    kill_grace_ms: Count = Field(
        description="The time that its processes have between SIGTERM and SIGKILL, in milliseconds."
    )


class VerificationEnded(StageEvent):
    """A verification has ended."""

    event: Literal[EventName.VERIFICATION_ENDED] = Field(description="Name of the event.")
    level: Literal["info", "error"] = Field(description="The level: `error` unless it was well.")
    verification: Ordinal = Field(description="Number of the verification, from 1.")
    record: Verification = Field(description="How it ended, as the attempt has it.")
