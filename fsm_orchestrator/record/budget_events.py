"""The log line about a run that has no time or no budget left."""

from __future__ import annotations

from typing import Literal

from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.event_fields import RunEvent
from fsm_orchestrator.vocabulary import EventName


class BudgetSpent(RunEvent):
    """The run has no time or no budget left: nothing more is started."""

    event: Literal[EventName.BUDGET_SPENT] = Field(description="Name of the event.")
    level: Literal["error"] = Field(description="The level.")
    execution: StageExecution = Field(description="What was refused, as the checkpoint has it.")
