"""The gates: pure functions from signals to verdicts. What is missing counts as a refusal."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from pydantic import Field

from fsm_orchestrator.model.execution import GateDecision, Record
from fsm_orchestrator.vocabulary import Gate, GateSource


class GateRule(NamedTuple):
    """What a gate accepts. `values` begins with the passing one and ends with the default.

    `refusals` are the others, the tighter later: a check that spoke weighs more than none.
    """

    values: tuple[str, ...]
    refusals: tuple[str, ...]
    reason_code: str

    def is_tighter(self, status: str, other: str) -> bool:
        """Whether `status` is further from passing than `other`."""
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


class GateSignal(Record):
    """What one gate was told, and by whom."""

    gate: Gate = Field(description="The gate that was told.")
    status: str = Field(description="What it was told; any value but the one that passes refuses.")
    source: GateSource = Field(description="Where the signal came from.")


def signals_in_force(
    given: Mapping[Gate, str],
    kept: Iterable[GateSignal] = (),
    sources: Mapping[Gate, GateSource] = MappingProxyType({}),
) -> tuple[GateSignal, ...]:
    """One signal for each gate: the one given now, else the kept one, else the default.

    `sources` says of those given now where they came from; a flag if it says nothing.
    """
    kept_by_gate = {signal.gate: signal for signal in kept}

    def signal_for(gate: Gate) -> GateSignal:
        if gate in given:
            source = sources.get(gate, GateSource.FLAG)
            return GateSignal(gate=gate, status=given[gate], source=source)
        old = kept_by_gate.get(gate)
        if old is None:
            status = GATE_RULES[gate].default
            return GateSignal(gate=gate, status=status, source=GateSource.DEFAULT)
        if old.source is GateSource.DEFAULT:
            return old
        return GateSignal(gate=gate, status=old.status, source=GateSource.CHECKPOINT)

    return tuple(signal_for(gate) for gate in Gate)


def judge(signals: Iterable[GateSignal]) -> tuple[GateDecision, ...]:
    """The decisions, in gate order, every gate judged whatever the others said.

    A gate without a signal, and a value the gate does not know, are refusals.
    """
    by_gate = {signal.gate: signal for signal in signals}
    return tuple(_decide(gate, by_gate.get(gate)) for gate in Gate)


def _decide(gate: Gate, signal: GateSignal | None) -> GateDecision:
    rule = GATE_RULES[gate]
    status = rule.default if signal is None else signal.status
    passed = status == rule.passing
    return GateDecision(
        gate=gate,
        status=status,
        passed=passed,
        reason_code=None if passed else rule.reason_code,
        source=GateSource.DEFAULT if signal is None else signal.source,
    )


def have_passed(decisions: Iterable[GateDecision], gates: Iterable[Gate]) -> bool:
    """Whether every one of `gates` has a decision, and it is a pass."""
    passed = {decision.gate for decision in decisions if decision.passed}
    return set(gates) <= passed


def reason_codes(decisions: Iterable[GateDecision]) -> tuple[str, ...]:
    """The reason codes of the refusals, in gate order."""
    return tuple(decision.reason_code for decision in decisions if decision.reason_code is not None)
