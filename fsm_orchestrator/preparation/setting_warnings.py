"""Warnings about settings that are allowed, but probably not meant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_settings import StageSettings, guessed_secrets, signal_warnings
from fsm_orchestrator.constants import PRODUCT, TRACE_PARENT_VARIABLE
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.secrets.masking import is_masked
from fsm_orchestrator.text.phrases import option_prefix

OUR_VARIABLES: Final = "ORCHESTRATOR_"


def setting_warnings(
    config: RunConfig, settings: Mapping[str, StageSettings], lifecycle: Lifecycle
) -> tuple[str, ...]:
    """Warn of settings that are allowed, but probably not meant."""
    ours = (
        f"stage {stage!r}: {key} is set by {PRODUCT} itself; the given value is not used"
        for stage, one in settings.items()
        for key in one.variables
        if key.startswith(OUR_VARIABLES)
    )
    guessed = (
        f"stage {stage!r}: {key} looks like a credential, so it is treated as a secret; declare it"
        f" with {option_prefix(stage)}-secret {key} and set it in the environment"
        for stage, given in config.stages.items()
        for key in guessed_secrets(given)
    )
    too_short = (
        f"stage {stage!r}: the value of the secret {key} is too short or too common a word to be"
        " masked"
        for stage, one in settings.items()
        for key, value in one.secrets.items()
        if value and not is_masked(value)
    )
    traced: Iterable[str] = ()
    if config.telemetry or os.environ.get(TRACE_PARENT_VARIABLE):
        from fsm_orchestrator.preparation.tracing import trace_warnings  # noqa: PLC0415 - few are traced

        traced = trace_warnings(config)
    return (*ours, *guessed, *too_short, *signal_warnings(lifecycle, settings), *traced)
