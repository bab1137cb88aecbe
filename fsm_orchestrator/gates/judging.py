"""The judge of gates: pure functions from signals to verdicts. A missing signal refuses."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.model.base import GateName, StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.gate_rules import GateRule, GateRules
from fsm_orchestrator.model.invocation import GateDecision, SignalGiven
from fsm_orchestrator.vocabulary import GateSource

if TYPE_CHECKING:
    from fsm_orchestrator.model.evidence import EvidenceRecord

_NOT_GIVEN: Final = frozenset({"missing", "unknown", "pending"})
"""The values of a typed signal that mean that there is none yet."""
NO_EVIDENCE: Final[Mapping[str, "EvidenceRecord"]] = MappingProxyType({})


class GateSignal(StrictModel):
    """The signal of one gate, and its source."""

    gate: GateName = Field(description="The gate that the signal is for.")
    status: str = Field(description="The signal; any value but the one that passes refuses.")
    source: GateSource = Field(description="Where the signal came from.")
    given: SignalGiven | None = Field(
        description="When and by whom it was given; null when it was not given."
    )


def signals_in_force(
    rules: GateRules,
    given: Mapping[str, str],
    kept: Iterable[GateSignal] = (),
    sources: Mapping[str, GateSource] = MappingProxyType({}),
    now: SignalGiven | None = None,
) -> tuple[GateSignal, ...]:
    """Return one signal for each gate: the one given now, else the kept one, else the default.

    `sources` has the source of each signal given now, by default a flag; `now` has when and by whom
    they are given.
    """
    kept_by_gate = {signal.gate: signal for signal in kept}

    def signal_for(rule: GateRule) -> GateSignal:
        gate = rule.name
        if gate in given:
            source = sources.get(gate, GateSource.FLAG)
            return GateSignal(gate=gate, status=given[gate], source=source, given=now)
        old = kept_by_gate.get(gate, _default(rule))
        if old.source is GateSource.DEFAULT:
            return old
        return old.model_copy(update={"source": GateSource.CHECKPOINT})

    return tuple(map(signal_for, rules.values()))


def judge(
    rules: GateRules,
    signals: Iterable[GateSignal],
    evidence: Mapping[str, "EvidenceRecord"] = NO_EVIDENCE,
) -> tuple[GateDecision, ...]:
    """Judge every gate, in gate order, independently of the others.

    A gate without a signal, or with a value that it does not know, refuses. Of a typed signal and
    evidence, the stricter one counts.
    """
    by_gate = {signal.gate: signal for signal in signals}
    return tuple(
        _decide(rule, by_gate.get(gate, _default(rule)), evidence.get(gate))
        for gate, rule in rules.items()
    )


def decision_problem(rules: GateRules, decision: GateDecision) -> str | None:
    """Return the fault in a decision that was read from a file, or None if there is none."""
    rule = rules.get(decision.gate)
    if rule is None:
        return f"the lifecycle has no gate {decision.gate}"
    if decision.source is GateSource.EVIDENCE:
        if decision.evidence is None or decision.given is not None:
            return "is by evidence, but does not say which"
        signal = _default(rule)
    else:
        signal = GateSignal(
            gate=decision.gate,
            status=decision.status,
            source=decision.source,
            given=decision.given,
        )
        if (problem := signal_problem(rules, signal)) is not None:
            return problem
    if _decide(rule, signal, decision.evidence) != decision:
        return "the verdict does not follow from the signal and the evidence"
    return None


def signal_problem(rules: GateRules, signal: GateSignal) -> str | None:
    """Return the fault in a signal that was read from a file, or None if there is none."""
    rule = rules.get(signal.gate)
    if rule is None:
        return f"the lifecycle has no gate {signal.gate}"
    if signal.status not in rule.values:
        return f"unknown value for {signal.gate}"
    if signal.source is GateSource.DEFAULT and signal.status != rule.default:
        return f"was not given, but is not {rule.default!r}"
    if (signal.given is None) is not (signal.source is GateSource.DEFAULT):
        return "was given without a time, or has a time without being given"
    return None


def _default(rule: GateRule) -> GateSignal:
    return GateSignal(gate=rule.name, status=rule.default, source=GateSource.DEFAULT, given=None)


def _decide(rule: GateRule, signal: GateSignal, evidence: "EvidenceRecord | None") -> GateDecision:
    if evidence is not None:
        from fsm_orchestrator.gates.evidence_status import status_of  # noqa: PLC0415 - most runs have none

        status = status_of(rule, evidence.problem)
        if signal.source is GateSource.DEFAULT or not rule.is_tighter(signal.status, status):
            signal = GateSignal(
                gate=signal.gate, status=status, source=GateSource.EVIDENCE, given=None
            )
    passed = signal.status == rule.passing
    return GateDecision(
        gate=signal.gate,
        status=signal.status,
        passed=passed,
        reason_code=None if passed else rule.reason_code,
        source=signal.source,
        given=signal.given,
        evidence=evidence,
    )


def is_awaited(decision: GateDecision) -> bool:
    """Return whether a gate neither passed nor was refused outright: somebody can still give it.

    That is a gate that is missing, unknown or pending.
    """
    if decision.passed:
        return False
    if decision.source is GateSource.EVIDENCE and decision.evidence is not None:
        from fsm_orchestrator.gates.evidence_status import CLEAR_NO  # noqa: PLC0415 - most runs have none

        return decision.evidence.problem not in CLEAR_NO
    return decision.source is GateSource.DEFAULT or decision.status in _NOT_GIVEN


def have_passed(decisions: Iterable[GateDecision], gates: Iterable[str]) -> bool:
    """Return whether every one of `gates` has a decision that is a pass."""
    passed = {decision.gate for decision in decisions if decision.passed}
    return set(gates) <= passed


def reason_codes(decisions: Iterable[GateDecision]) -> tuple[str, ...]:
    """Return the reason codes of the refusals, in gate order."""
    return tuple(decision.reason_code for decision in decisions if decision.reason_code is not None)
