"""The names of commands and options, in one place for parser and first look alike."""

from __future__ import annotations

from typing import Final

COMMANDS: Final = (
    "run",
    "plan",
    "status",
    "lifecycle",
    "verify",
    "diagram",
    "config",
    "schema",
    "init",
    "selftest",
)
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
        "--config",
        "--kills",
        "--format",
        "--output",
        "--run",
    }
)
