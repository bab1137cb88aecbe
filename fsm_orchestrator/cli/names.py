"""The names of commands and options, in one place for parser and first look alike."""

from __future__ import annotations

from typing import Final

COMMANDS: Final = ("run", "plan", "status", "config", "schema", "init", "selftest")
STAGE_OPTION_SUFFIXES: Final = (
    "bin",
    "arg",
    "env",
    "expected-artifact",
    "timeout-ms",
    "kill-grace-ms",
    "idle-timeout-ms",
    "slow-after-ms",
    "output-limit",
    "cwd",
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
    }
)
