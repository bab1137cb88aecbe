"""Parsed options, and the config file they name, to RunConfig: where the options' names end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm_orchestrator.config import RunConfig
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.vocabulary import Gate, LogFormat


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: the configuration, and how to show what becomes of it."""

    config: RunConfig
    as_json: bool
    log_format: LogFormat


def request_from(parameters: Mapping[str, Any]) -> Request:
    """What parsed options mean, with the config file they name.

    Raises:
        UsageError: a value cannot be used, or the operator's directory is gone.
    """
    given = {key: value for key, value in parameters.items() if _is_given(value)}
    as_json = given.pop("as_json", False)
    log_format = given.pop("log_format", None)
    file_name = given.pop("config", None)
    config = _config(given)
    if file_name is None:
        return Request(config, as_json, LogFormat(log_format or LogFormat.AUTO))
    from fsm_orchestrator import config_file

    file = config_file.load(Path(file_name), file_name).content
    return Request(
        config=config_file.combined(config, file),
        as_json=as_json or bool(file.json_),
        log_format=LogFormat(log_format or file.log_format or LogFormat.AUTO),
    )


def _is_given(value: Any) -> bool:
    """Whether an option was given; 0 and an empty text are values."""
    return value is not None and value is not False and value != ()


def _config(given: Mapping[str, Any]) -> RunConfig:
    stages: dict[str, dict[str, Any]] = {}
    run: dict[str, Any] = {"gates": {}, "directory": _directory()}
    for key, value in given.items():
        if key.startswith("stage_"):
            field, _, stage = key.removeprefix("stage_").partition("__")
            given_for = stages.setdefault(stage, {})
            if field.startswith("retry_"):
                given_for.setdefault("retry", {})[field.removeprefix("retry_")] = value
            else:
                given_for[field] = dict(value) if field == "env" else value
        elif key.startswith("gate_"):
            run["gates"][Gate(key.removeprefix("gate_"))] = value
        else:
            run[key] = value
    return RunConfig.model_validate({**run, "stages": stages})


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise UsageError(
            "the current directory does not exist any more, and paths are relative to it",
            remedy="change to a directory that exists",
        ) from error
