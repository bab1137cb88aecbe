"""The form in which a gate is shown: its decision, and the signal that would pass."""

from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.gate_rules import GateRules
from fsm_orchestrator.model.invocation import GateDecision


class GateInForce(StrictModel):
    """A gate with its current decision."""

    decision: GateDecision = Field(description="The decision in force, or as it would be now.")
    passing: str = Field(description="The one signal that passes.")
    words: str = Field(description="What the gate is called, with the title where it has one.")
    is_judged: bool = Field(description="Whether this invocation has judged the gate.")
    is_to_come: bool = Field(
        description="Whether only states after a stage judge it, which the run has not come to: a"
        " signal that is typed before does not count there."
    )


def gate_in_force(
    rules: GateRules, decision: GateDecision, *, is_judged: bool, is_to_come: bool = False
) -> GateInForce:
    """Return a gate with a decision."""
    rule = rules[decision.gate]
    return GateInForce(
        decision=decision,
        passing=rule.passing,
        words=rule.words,
        is_judged=is_judged,
        is_to_come=is_to_come,
    )
