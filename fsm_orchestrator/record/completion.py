"""The record of a stage that succeeded."""

from typing import TYPE_CHECKING, Annotated

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.model.base import Many, Ordinal, StateName, StrictModel
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.execution import Artifact
from fsm_orchestrator.model.lazily import lazily

if TYPE_CHECKING:
    from fsm_orchestrator.model.contracts import InputDigest
else:
    InputDigest = lazily("fsm_orchestrator.model.contracts", "InputDigest")


class Completion(StrictModel):
    """A stage that succeeded: by which attempt, with which settings, leaving which artifacts."""

    stage: StateName = Field(description="Name of the stage.")
    cycle: Ordinal = Field(description="Number of the loop cycle in which it succeeded, from 1.")
    attempt: Ordinal = Field(description="Number of the attempt that succeeded.")
    invocation: Ordinal = Field(description="Number of the invocation in which it succeeded.")
    settings: StageRecord = Field(description="The settings it succeeded with.")
    artifacts: Annotated[tuple[Artifact, ...], Many] = Field(
        description="The expected artifacts it left."
    )
    inputs: Annotated[tuple[InputDigest, ...], Many] = left_out(
        (), "Its declared inputs as they were then; left out where none is declared."
    )
