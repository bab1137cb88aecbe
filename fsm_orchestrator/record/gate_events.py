"""The log lines about gates."""

from __future__ import annotations

from typing import Literal

from fsm_orchestrator.model.base import Count, GateName
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.record.event_fields import RunEvent
from fsm_orchestrator.vocabulary import EventName


class GateWaiting(RunEvent):
    """The evidence of a gate is not there yet, and its source will be asked again."""

    event: Literal[EventName.GATE_WAITING] = Field(description="Name of the event.")
    level: Literal["info"] = Field(description="The level.")
    gate: GateName = Field(description="The gate.")
    problem: str = Field(description="What is not there yet, as in the evidence of a decision.")
    detail: str = Field(description="The same as a sentence; known secret values are masked.")
    wait_ms: Count = Field(description="The wait before it is asked again, in milliseconds.")


class GateDecided(RunEvent):
    """A gate has been judged."""

    event: Literal[EventName.GATE_DECIDED] = Field(description="Name of the event.")
    level: Literal["info", "warning"] = Field(
        description="The level: `warning` for a refusal that counts."
    )
    decision: GateDecision = Field(description="The decision, as the checkpoint has it.")
    is_judged_elsewhere: Literal[True] | None = Field(
        default=None,
        description=(
            "True when the run continues from this gate state whatever this gate says, because it"
            " counts in another state; else left out."
        ),
    )
