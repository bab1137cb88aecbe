"""Make configurations, and merge and record settings."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.errors import UsageError

VALUE = "open-sesame-1"
REFUSED = (UsageError, ValidationError)
"""What a whole configuration is refused with, and what a part of it is."""


def config(**given_now: Any) -> RunConfig:
    """What was given for the manager, from the directory /here."""
    return RunConfig(
        output_directory="out",
        directory="/here",
        stages={"manager": StageGiven(**given_now)},
    )
