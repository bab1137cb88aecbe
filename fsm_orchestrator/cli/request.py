"""Turns parsed options and their config file into a RunConfig."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.cli.parser.names import gate_named
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.disk.where import current_directory, record_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.option_kinds import Kind
from fsm_orchestrator.model.stage_options import setting_named
from fsm_orchestrator.text.phrases import described, suggestion
from fsm_orchestrator.vocabulary import LogFormat, LogLevel

LOG_FORMAT_VARIABLE: Final = "FSM_ORCHESTRATOR_LOG_FORMAT"
"""A variable set by scripts that read stderr as JSON lines; the option takes precedence."""


class Request(NamedTuple):
    """The requested configuration, and how to show the result."""

    config: RunConfig
    as_json: bool
    log_format: LogFormat
    log_level: LogLevel = LogLevel.INFO
    is_quiet: bool = False


def request_from(parameters: Mapping[str, Any]) -> Request:
    """Return the request that parsed options and their config file make.

    Raises:
        UsageError: a value cannot be used, or the operator's directory is gone.
    """
    given = {key: value for key, value in parameters.items() if _is_given(value)}
    as_json = given.pop("as_json", False)
    log_format = given.pop("log_format", None) or format_in_environment()
    log_level = given.pop("log_level", None)
    is_quiet = given.pop("quiet", False)
    if is_quiet and log_level is not None:
        raise UsageError(
            "--quiet and --log-level both choose the events to show",
            remedy="give one of them; --quiet is --log-level error, without a summary of a run"
            " that may be closed",
        )
    file_name = given.pop("config", None)
    config = _config(given)
    if is_quiet:
        log_level = LogLevel.ERROR
    if file_name is not None:
        from fsm_orchestrator.config import config_file, config_reading

        read = config_reading.load(Path(file_name), file_name)
        file = read.content
        config = config_file.with_file(
            config, read.content, config.absolute(file_name), read.sha256
        )
        as_json = as_json or bool(file.json_)
        log_format = log_format or file.log_format
        log_level = log_level or file.log_level
    return Request(
        config=config,
        as_json=as_json,
        log_format=LogFormat(log_format or LogFormat.AUTO),
        log_level=LogLevel(log_level or LogLevel.INFO),
        is_quiet=is_quiet,
    )


def looked_at(config: RunConfig) -> RunConfig:
    """Return a configuration for reading: that of a run under an engine is of its latest epoch.

    Raises:
        UsageError: an engine has the run, and a new one is asked for.
    """
    if record_of(config.output_path) == config.output_path:
        return config
    from fsm_orchestrator.preparation.in_epoch import in_latest_epoch

    return in_latest_epoch(config)


def format_in_environment() -> str | None:
    """Return the log format that the environment asks for.

    Raises:
        UsageError: there is no such format.
    """
    named, known = os.environ.get(LOG_FORMAT_VARIABLE, ""), [one.value for one in LogFormat]
    if named and named not in known:
        raise UsageError(
            f"{LOG_FORMAT_VARIABLE} is {described(named)}{suggestion(named, known)}",
            remedy=f"set it to one of {', '.join(known)}, or unset it",
        )
    return named or None


def _is_given(value: Any) -> bool:
    """Return whether an option was given; 0 and an empty text are values."""
    return value is not None and value is not False and value != ()


def _budget(given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the budget of each unit.

    Raises:
        UsageError: a unit has two of them.
    """
    budget = dict(given)
    if len(budget) < len(given):
        named = [unit for unit, _ in given]
        twice = next(unit for unit in named if named.count(unit) > 1)
        raise UsageError(
            f"--budget is given twice for {twice}", remedy="give one budget for each unit"
        )
    return budget


def _config(given: Mapping[str, Any]) -> RunConfig:
    stages: dict[str, dict[str, Any]] = {}
    run: dict[str, Any] = {"gates": {}, "directory": current_directory()}
    subject: dict[str, Any] = {}
    for key, value in given.items():
        found = setting_named(key)
        if found is not None:
            option, stage = found
            table = stages.setdefault(stage, {})
            if option.table:
                table = table.setdefault(option.table, {})
            is_by_key = option.kind in {Kind.PAIR, Kind.NAME}
            table[option.key] = dict(value) if is_by_key else value
        elif key == "subject_git":
            subject["git"] = value
        elif key == "subject_file":
            subject["files"] = list(value)
        elif key == "budget":
            run["budget"] = _budget(value)
        elif (gate := gate_named(key)) is not None:
            run["gates"][gate] = value
        else:
            run[key] = value
    if subject:
        run["subject"] = subject
    return RunConfig.model_validate({**run, "stages": stages})
