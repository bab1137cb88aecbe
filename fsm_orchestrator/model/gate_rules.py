"""The values that each gate knows, and the one that passes. Light: the option parser reads it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from fsm_orchestrator.vocabulary import Gate


class GateRule(NamedTuple):
    """A gate. `values` begins with the passing one and ends with the default.

    `refusals` are the others, the tighter later: a check that spoke weighs more than none.
    """

    name: str
    title: str
    values: tuple[str, ...]
    refusals: tuple[str, ...]
    reason_code: str

    def is_tighter(self, status: str, other: str) -> bool:
        """Say whether `status` is further from passing than `other`."""
        order = (self.passing, *self.refusals)
        return order.index(status) > order.index(other)

    @property
    def passing(self) -> str:
        """The one value that passes."""
        return self.values[0]

    @property
    def default(self) -> str:
        """The value of a signal that was not given."""
        return self.values[-1]


GateRules = Mapping[str, GateRule]
"""The gates of a lifecycle by name, in judging order: `Lifecycle.gates`."""

MANDATORY_RULES: Final[GateRules] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            GateRule(
                name=Gate.POLICY.value,
                title="Policy",
                values=("allow", "deny", "unknown"),
                refusals=("unknown", "deny"),
                reason_code="GATE_POLICY_DENIED_OR_UNKNOWN",
            ),
            GateRule(
                name=Gate.CI.value,
                title="CI",
                values=("success", "pending", "failure", "missing"),
                refusals=("missing", "pending", "failure"),
                reason_code="GATE_CI_NOT_SUCCESS",
            ),
            GateRule(
                name=Gate.REVIEW.value,
                title="Review",
                values=("approved", "changes_requested", "missing"),
                refusals=("missing", "changes_requested"),
                reason_code="GATE_REVIEW_NOT_APPROVED",
            ),
        )
    }
)
"""The gates that every run must pass; a lifecycle may declare more, which come after them."""
