"""Refuses gates that a lifecycle declares incorrectly, or that no gate state judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fsm_orchestrator.lifecycle.findings import Finding, FindingKind, of_gate
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.vocabulary import StateKind


def gate_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Yield a finding for each broken rule of the gates that a lifecycle declares."""
    owners = {rule.reason_code: name for name, rule in MANDATORY_RULES.items()}
    judged = {
        gate
        for state in lifecycle.state
        if state.kind is StateKind.GATE
        for gate in lifecycle.judged_in(state)
    }
    for name, count in Counter(one.name for one in lifecycle.gate).items():
        if count > 1:
            yield of_gate(FindingKind.DUPLICATE_DECLARATION, name)
    for gate in lifecycle.gate:
        if gate.name in MANDATORY_RULES:
            yield of_gate(FindingKind.GATE_TAKEN, gate.name)
        elif gate.name in lifecycle.stages:
            yield of_gate(FindingKind.GATE_LIKE_STAGE, gate.name)
        for value, times in Counter(gate.values).items():
            if times > 1:
                yield of_gate(FindingKind.DUPLICATE_VALUE, gate.name, value=value)
        owner = owners.setdefault(gate.reason_code, gate.name)
        if owner != gate.name:
            code = gate.reason_code
            yield of_gate(FindingKind.REASON_CODE_TAKEN, gate.name, code=code, gate=owner)
        if gate.name not in judged:
            yield of_gate(FindingKind.NOT_JUDGED, gate.name)
