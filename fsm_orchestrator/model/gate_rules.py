"""The values that each gate knows, and the one that passes. Light: the option parser reads it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from fsm_orchestrator.vocabulary import Gate

_PENDING: Final = "pending"


class GateRule(NamedTuple):
    """A gate. `values` begins with the passing value and ends with the default.

    Attributes:
        name: the name in options, files and records.
        title: the name that people use.
        refusals: the values that refuse, a tighter one after a looser one: the answer of a check
            weighs more than no answer.
        denied: the value if its source says no.
        awaited: the value while its source is not ready to answer.
    """

    name: str
    title: str
    values: tuple[str, ...]
    refusals: tuple[str, ...]
    reason_code: str
    denied: str
    awaited: str

    def is_tighter(self, status: str, other: str) -> bool:
        """Return whether `status` is further from passing than `other`."""
        order = (self.passing, *self.refusals)
        return order.index(status) > order.index(other)

    @property
    def words(self) -> str:
        """The name of the gate, with its title if that says more."""
        is_said = self.title.casefold() == self.name.replace("_", " ")
        return self.name if is_said else f"{self.name} ({self.title})"

    def is_denial(self, status: str) -> bool:
        """Return whether a value means no, not merely that there is no answer yet."""
        if status in {self.passing, _PENDING}:
            return False
        return status != self.default or len(self.refusals) == 1

    @property
    def passing(self) -> str:
        """The only value that passes."""
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
                denied="deny",
                awaited="unknown",
            ),
            GateRule(
                name=Gate.CI.value,
                title="CI",
                values=("success", "pending", "failure", "missing"),
                refusals=("missing", "pending", "failure"),
                reason_code="GATE_CI_NOT_SUCCESS",
                denied="failure",
                awaited=_PENDING,
            ),
            GateRule(
                name=Gate.REVIEW.value,
                title="Review",
                values=("approved", "changes_requested", "missing"),
                refusals=("missing", "changes_requested"),
                reason_code="GATE_REVIEW_NOT_APPROVED",
                denied="changes_requested",
                awaited="missing",
            ),
        )
    }
)
"""The gates that every run must pass; a lifecycle may declare more, which come after them."""


def declared_rule(
    name: str, title: str | None, values: tuple[str, ...], reason_code: str
) -> GateRule:
    """Return the rule of a gate that a lifecycle declares.

    Among its refusing values, those listed first weigh most. If anything goes wrong, it has the
    last one. Without a title, its name is its title.
    """
    default, title = values[-1], title or name.replace("_", " ").capitalize()
    return GateRule(name, title, values, values[:0:-1], reason_code, default, default)
