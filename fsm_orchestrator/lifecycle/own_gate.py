"""A gate that a lifecycle has in addition to those of every lifecycle."""

from typing import Annotated

from fsm_orchestrator.constants import GATE_VALUES_MAX
from fsm_orchestrator.model.base import GateName, Line, ReasonCode, StateName, StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES, GateRule, GateRules, declared_rule


class OwnGate(StrictModel):
    """One `[[gate]]`: a gate in addition to the three of every lifecycle, judged after them."""

    name: GateName = Field(
        description=(
            "The name of the gate; with `-` for `_`, its option is `--NAME-status`, and its source"
            " in a config file is [gate.NAME]."
        )
    )
    values: Annotated[tuple[StateName, ...], Field(min_length=2, max_length=GATE_VALUES_MAX)] = (
        Field(
            description=(
                "Its values: the one that passes first, and last the one that it has without a"
                " signal, or when its source refuses. Of two that refuse the earlier counts."
            )
        )
    )
    reason_code: ReasonCode = Field(description="Why a run is blocked by it, for programs.")
    title: Line | None = Field(
        default=None,
        description="What people call it, one line of text; made from its name by default.",
    )

    @property
    def rule(self) -> GateRule:
        """The rule by which the gate is judged."""
        return declared_rule(self.name, self.title, self.values, self.reason_code)


def rules_with(own: tuple[OwnGate, ...]) -> GateRules:
    """Return the gates of every lifecycle, then the declared ones, by name."""
    declared = {one.name: one.rule for one in own if one.name not in MANDATORY_RULES}
    return {**MANDATORY_RULES, **declared} if declared else MANDATORY_RULES
