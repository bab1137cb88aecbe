"""The values that each gate knows, and the one that passes. Light: the option parser reads it."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fsm_orchestrator.vocabulary import Gate


class GateRule(NamedTuple):
    """The values of a gate. `values` begins with the passing one and ends with the default.

    `refusals` are the others, the tighter later: a check that spoke weighs more than none.
    """

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


GATE_RULES: Final[Mapping[Gate, GateRule]] = {
    Gate.POLICY: GateRule(
        values=("allow", "deny", "unknown"),
        refusals=("unknown", "deny"),
        reason_code="GATE_POLICY_DENIED_OR_UNKNOWN",
    ),
    Gate.CI: GateRule(
        values=("success", "pending", "failure", "missing"),
        refusals=("missing", "pending", "failure"),
        reason_code="GATE_CI_NOT_SUCCESS",
    ),
    Gate.REVIEW: GateRule(
        values=("approved", "changes_requested", "missing"),
        refusals=("missing", "changes_requested"),
        reason_code="GATE_REVIEW_NOT_APPROVED",
    ),
}
