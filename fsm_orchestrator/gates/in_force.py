"""The shape in which a gate is shown: its decision, and what would pass."""

from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.gate_rules import GateRules
from fsm_orchestrator.model.invocation import GateDecision


class GateInForce(StrictModel):
    """A gate as it stands."""

    decision: GateDecision = Field(description="The decision in force, or as it would be now.")
    passing: str = Field(description="The one signal that passes.")
    is_judged: bool = Field(description="Whether this invocation has judged the gate.")


def gate_in_force(rules: GateRules, decision: GateDecision, *, is_judged: bool) -> GateInForce:
    """Return a gate as it stands by a decision."""
    passing = rules[decision.gate].passing
    return GateInForce(decision=decision, passing=passing, is_judged=is_judged)
