"""The record of a stage that succeeded."""

from typing import Annotated

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.model.base import Many, Ordinal, StateName, StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.execution import Artifact


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
