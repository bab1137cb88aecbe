"""Parsed options to RunConfig: the end of the command line's own vocabulary."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fsm_orchestrator.config import RunConfig, StageGiven
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.vocabulary import Gate

_GIVEN_AS_EMPTY: tuple[Any, ...] = (None, (), False)


def run_config_from(parameters: Mapping[str, Any]) -> RunConfig:
    """The configuration that parsed options mean.

    Raises:
        UsageError: a value cannot be used, or the operator's directory is gone.
    """
    given = {key: value for key, value in parameters.items() if value not in _GIVEN_AS_EMPTY}
    stages: dict[str, dict[str, Any]] = {}
    run: dict[str, Any] = {"gates": {}, "stages": stages}
    for key, value in given.items():
        if key.startswith("stage_"):
            field, _, stage = key.removeprefix("stage_").partition("__")
            stages.setdefault(stage, {})[field] = dict(value) if field == "env" else value
        elif key.startswith("gate_"):
            run["gates"][Gate(key.removeprefix("gate_"))] = value
        else:
            run[key] = value
    try:
        run["directory"] = os.getcwd()
    except OSError as error:
        raise UsageError(
            "the current directory does not exist any more, and paths are relative to it",
            remedy="change to a directory that exists",
        ) from error
    try:
        run["stages"] = {
            stage: StageGiven.model_validate(settings) for stage, settings in stages.items()
        }
        return RunConfig.model_validate(run)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = " ".join(str(part) for part in problem["loc"])
        raise UsageError(f"{where}: {problem['msg']}") from None
