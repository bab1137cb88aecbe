"""The names of commands and options, for the parser and the prescan."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.vocabulary import Gate

COMMANDS: Final = (
    "run",
    "plan",
    "status",
    "explain",
    "logs",
    "stop",
    "report",
    "lifecycle",
    "verify",
    "diagram",
    "config",
    "schema",
    "init",
    "selftest",
    "completion",
)
COMPLETION_VARIABLE: Final = "_FSM_ORCHESTRATOR_COMPLETE"
"""Set by the completion script of a shell when it asks for candidates."""
COMPLETION_SHELLS: Final = ("bash", "zsh", "fish")
GATE_PARAMETERS: Final = {f"gate_{gate.value}": gate for gate in Gate}
"""The gates, by the parser's name for the option that gives a signal."""
VALUE_OPTIONS: Final = frozenset(
    {
        "--policy-status",
        "--ci-status",
        "--review-status",
        "--lifecycle",
        "--run-id",
        "--timeout-ms",
        "--kill-grace-ms",
        "--on-changed-stage",
        "--on-leak",
        "--rerun",
        "--fixed-clock",
        "--log-format",
        "--log-level",
        "--config",
        "--kills",
        "--attempt",
        "--lines",
        "--wait-ms",
        "--html",
        "--format",
        "--output",
        "--run",
    }
)
