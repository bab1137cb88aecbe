"""Configurations, and settings that are merged and recorded."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.errors import UsageError

VALUE = "open-sesame-1"
REFUSED = (UsageError, ValidationError)
"""The exceptions with which a whole configuration, or a part of one, is refused."""


def config(**given_now: Any) -> RunConfig:
    """Return a configuration with these settings of the manager, from the directory /here."""
    return RunConfig(
        output_directory="out",
        directory="/here",
        stages={"manager": StageGiven(**given_now)},
    )
