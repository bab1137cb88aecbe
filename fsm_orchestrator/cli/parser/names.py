"""The names of commands and options, for the parser and the prescan."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.text.phrases import signal_option
from fsm_orchestrator.vocabulary import Gate

COMMANDS: Final = {
    "run": "Run or resume.",
    "plan": "Show what a run would do.",
    "fleet": "Run the runs of a file, some at a time.",
    "temporal": "Run across machines, on Temporal.",
    "status": "Show where runs stand.",
    "watch": "Watch many runs, live.",
    "serve": "Show many runs in a browser, live.",
    "explain": "Explain why a run stands where it does.",
    "gates": "Ask what the gates would say now.",
    "wait": "Wait until the gates of a run are decided.",
    "approve": "Approve what a run asks for.",
    "deny": "Deny what a run asks for.",
    "withdraw": "Take back what you said to a run.",
    "logs": "Show the output of stages, live.",
    "stop": "Stop the run at work in OUT.",
    "report": "Print the report, or write it as a web page.",
    "compare": "Show what differs between two runs.",
    "bundle": "Write one file that proves a run.",
    "archive": "List the archived runs of OUT.",
    "restore": "Put an archived run back.",
    "prune": "Remove archived runs that nobody keeps.",
    "telemetry": "Send a run to OpenTelemetry.",
    "verify-bundle": "Verify what a bundle proves, offline.",
    "lifecycle": "Print a lifecycle, or all it stands for.",
    "verify": "Prove what lifecycles promise.",
    "diagram": "Draw a lifecycle, a run, a difference.",
    "config": "Check or show settings.",
    "schema": "Print a JSON Schema.",
    "notify": "Try the notices of the ends of runs.",
    "init": "Write a lifecycle, a config file and stages to start from.",
    "selftest": "Check this machine and file system.",
    "completion": "Print the completion script of a shell.",
}
"""Every command with its line in the help, in the order of the help."""
HELP_WORD: Final = "help"
VERSION_WORD: Final = "version"
FIRST_WORDS: Final = frozenset({*COMMANDS, HELP_WORD, VERSION_WORD})
"""The words that are never taken for OUT in the place of a command."""
COMMAND_GROUPS: Final = {
    "Run": ("run", "plan", "wait", "stop", "fleet", "temporal", "init"),
    "Answer": ("approve", "deny", "withdraw"),
    "Look": ("status", "watch", "serve", "explain", "gates", "logs", "report", "telemetry"),
    "Keep": ("archive", "restore", "prune"),
    "Prove": ("bundle", "verify-bundle", "compare"),
    "Design": ("lifecycle", "verify", "diagram", "config", "schema"),
    "Machine": ("selftest", "notify", "completion"),
}
"""The commands by purpose; those in no group are listed under Machine."""
GROUPS: Final = frozenset({"temporal"})
"""The commands whose own command may be followed by OUT."""
COMPLETION_VARIABLE: Final = "_FSM_ORCHESTRATOR_COMPLETE"
"""The variable that a shell's completion script sets when it asks for candidates."""
COMPLETION_SHELLS: Final = ("bash", "zsh", "fish")
_OF_A_GATE: Final = "gate__"


def gate_parameter(gate: str) -> str:
    """Return the parser's name for that option; `gate_named` reads it."""
    return f"{_OF_A_GATE}{gate}"


def gate_named(parameter: str) -> str | None:
    """Return the gate that a parser's name represents; None for other names."""
    gate = parameter.removeprefix(_OF_A_GATE)
    return None if gate == parameter else gate


VALUE_OPTIONS: Final = frozenset(
    {
        *map(signal_option, Gate),
        "--lifecycle",
        "--subject-git",
        "--subject-file",
        "--run-id",
        "--accept-record",
        "--requester",
        "--gate",
        "--key",
        "--reason",
        "--expires",
        "--digest",
        "--request",
        "--out",
        "--timeout",
        "--timeout-ms",
        "--kill-grace",
        "--kill-grace-ms",
        "--run-timeout",
        "--run-timeout-ms",
        "--total-timeout",
        "--total-timeout-ms",
        "--budget",
        "--on-changed-stage",
        "--on-leak",
        "--rerun",
        "--state-key-file",
        "--skip-stage",
        "--verify",
        "--fixed-clock",
        "--log-format",
        "--log-level",
        "--config",
        "--stages",
        "--from",
        "--approve-before",
        "--kills",
        "--attempt",
        "--lines",
        "--since",
        "--state",
        "--name",
        "--sort",
        "--fail-if",
        "--grep",
        "--wait",
        "--wait-ms",
        "--html",
        "--port",
        "--allowed-signers",
        "--revoked-keys",
        "--public-key",
        "--expect-head",
        "--require",
        "--junit",
        "--markdown",
        "--dir",
        "--jobs",
        "-j",
        "--only",
        "--max-failures",
        "--engine",
        "--rename",
        "--format",
        "--interval",
        "--output",
        "--run",
        "--keep-archived",
        "--task-queue",
        "--keep",
        "--older-than",
        "--event",
        "--address",
        "--namespace",
        "--tls-ca-file",
        "--tls-cert-file",
        "--tls-key-file",
        "--tls-server-name",
        "--api-key-file",
        "--health-file",
        "--storage",
        "--heartbeat-timeout",
        "--heartbeat-timeout-ms",
        "--retries",
        "--retry-delay",
        "--retry-delay-ms",
        "--wait-for-people",
        "--wait-for-people-ms",
    }
)
