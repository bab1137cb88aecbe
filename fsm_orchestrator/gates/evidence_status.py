"""The value of a gate that follows from a problem of its evidence."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.model.gate_rules import GateRule

CLEAR_NO: Final = frozenset(
    {EvidenceProblem.CHECK_FAILED, EvidenceProblem.EXIT_CODE, EvidenceProblem.DENIED}
)
"""The problems with which a source refuses, as opposed to giving nothing that counts."""
NOT_THERE_YET: Final = frozenset(
    {
        EvidenceProblem.NOT_FOUND,
        EvidenceProblem.CHECK_MISSING,
        EvidenceProblem.CHECK_PENDING,
        EvidenceProblem.QUORUM,
    }
)
"""The problems that time may solve, for which `wait` waits. All others are final."""


def status_of(rule: GateRule, problem: EvidenceProblem | None) -> str:
    """Return the value of a gate: the passing one without a problem, else one that refuses."""
    if problem is None:
        return rule.passing
    if problem in CLEAR_NO:
        return rule.denied
    return rule.awaited if problem is EvidenceProblem.CHECK_PENDING else rule.default
