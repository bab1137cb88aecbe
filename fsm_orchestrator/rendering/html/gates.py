"""What the gates were told, by whom, what would have passed, and the verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from fsm_orchestrator.gates.in_force import GateInForce
from fsm_orchestrator.gates.judging import source_in_words
from fsm_orchestrator.rendering.html.components import Look, Tone, badge, code, section, table
from fsm_orchestrator.rendering.html.elements import Child, Markup, element

_PASSED = Look("passed", Tone.GOOD, "check")
_REFUSED = Look("refused", Tone.WARN, "barred")
_UNJUDGED = Look("not judged this time", Tone.PLAIN, "none")


def gates_section(gates: Sequence[GateInForce]) -> Markup:
    """The decisions in force, in judging order."""
    if not gates:
        nothing = element("p", "Nothing is known of its gates.", class_="note")
        return section("gates", "Gates", nothing)
    return section(
        "gates",
        "Gates",
        element("p", "Nothing but the one passing signal passes; a missing one does not."),
        table(
            "Gate decisions in judging order",
            ("gate", "verdict", "signal", "what passes", "source", "reason code"),
            (_row(gate) for gate in gates),
        ),
    )


def _row(gate: GateInForce) -> tuple[Child, ...]:
    decision = gate.decision
    look = _PASSED if decision.passed else _REFUSED
    return (
        decision.gate.value,
        badge(look if gate.is_judged else _UNJUDGED),
        code(decision.status),
        code(gate.passing),
        source_in_words(decision.source),
        "\u2013" if decision.reason_code is None else code(decision.reason_code),
    )
