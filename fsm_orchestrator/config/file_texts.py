"""The commands and paths of a config file for the run: filled in, and absolute."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.config.templates import Facts, TemplateError, escaped, filled, is_absolute
from fsm_orchestrator.constants import DEFAULT_LIFECYCLE
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import LifecycleError, UsageError
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.source import is_name
from fsm_orchestrator.text.hidden import copyable

TEXT_KEYS: Final = (
    *("bin", "args", "expected_artifacts", "cwd", "confine.write", "confine.read"),
    *("verify", "protect", "inputs"),
)
"""The keys of a stage whose texts may have templates."""


def value_of(given: StageGiven, key: str) -> Any:
    """Return the given value for a key, which may be in a table."""
    table, _, own = key.rpartition(".")
    holder = getattr(given, table) if table else given
    return getattr(holder, own, None)


def _changed(given: StageGiven, values: Mapping[str, Any]) -> StageGiven:
    """Return settings with new values for some keys."""
    update = {key: value for key, value in values.items() if "." not in key}
    of_table = {key.partition(".")[2]: value for key, value in values.items() if "." in key}
    if of_table and given.confine is not None:
        update["confine"] = given.confine.model_copy(update=of_table)
    return given.model_copy(update=update)


def texts_of(key: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Return the texts of a key that has one or several, each with the key whose rules apply.

    The rules of `bin` apply to the program of a command, those of `args` to its other words.
    """
    found: list[tuple[str, str]] = []

    def note(read_as: str, text: str) -> str:
        found.append((read_as, text))
        return text

    with_texts(key, value, note)
    return tuple(found)


def with_texts(key: str, value: Any, change: Callable[[str, str], str]) -> Any:
    """Return the value of a key with each of its texts changed; `change` as in `texts_of`."""
    if value is None:
        return None
    if isinstance(value, str):
        return change(key, value)
    if key != "verify":
        return tuple(change(key, one) for one in value)
    return tuple(
        (change("bin", first), *(change("args", one) for one in rest)) for first, *rest in value
    )


def is_path(key: str, text: str) -> bool:
    """Return whether a text is a path: a command without a `/` is looked up on PATH."""
    return key != "args" and (key != "bin" or os.sep in text)


def from_file(config: RunConfig, stage: str) -> tuple[str, ...]:
    """Return the keys of a stage that allow templates and that the config file decides."""
    file = config.config_file
    keys = () if file is None else file.keys
    return tuple(key for key in TEXT_KEYS if f"stage.{stage}.{key}" in keys)


def in_force(
    config: RunConfig, run_id: str, kept_secrets: Collection[str]
) -> Mapping[str, StageGiven]:
    """Return the given settings of each stage, with the config file's texts filled in and absolute.

    Raises:
        UsageError: a template cannot be filled in.
    """
    if config.config_file is None:
        return config.stages
    declared = (key for given in config.stages.values() for key in given.secrets or ())
    facts = Facts(str(run_of(config.output_path)), run_id, frozenset((*kept_secrets, *declared)))
    return {stage: _stage(config, stage, facts) for stage in config.stages}


def _stage(config: RunConfig, stage: str, facts: Facts) -> StageGiven:
    given = config.stages[stage]
    changes: dict[str, Any] = {}
    for key in from_file(config, stage):
        change = partial(_text, config, f"stage.{stage}.{key}", facts)
        changes[key] = with_texts(key, value_of(given, key), change)
    if given.artifact and has_file_contracts(config, stage):
        from fsm_orchestrator.config.contract_texts import with_paths  # noqa: PLC0415 - rare

        fill = partial(_text, config, f"stage.{stage}.artifact.path", facts, "artifact.path")
        changes["artifact"] = with_paths(given, fill)
    return _changed(given, changes) if changes else given


def has_file_contracts(config: RunConfig, stage: str) -> bool:
    """Return whether the contracts of a stage come from the config file."""
    file = config.config_file
    return file is not None and f"stage.{stage}.artifact" in file.keys


def _text(config: RunConfig, where: str, facts: Facts, key: str, text: str) -> str:
    file = config.config_file
    assert file is not None  # noqa: S101 - who asks has one
    try:
        done = filled(text, facts)
    except TemplateError as error:
        raise _refusal(file.path, where, str(error)) from None
    if not done and key != "args":
        raise _refusal(file.path, where, "it is empty once its templates are filled in")
    return str(Path(file.base, done)) if is_path(key, done) else done


def _refusal(path: str, where: str, why: str) -> UsageError:
    return UsageError(
        f"{copyable(path)}: key '{where}': {why}",
        remedy="correct the file, or set what it takes from the environment",
    )


def as_in_a_file(config: RunConfig, stage: str) -> StageGiven:
    """Return the given settings of a stage, for a config file in the operator's directory.

    Templates of the config file stay; braces in texts from elsewhere are escaped.
    """
    given, in_file = config.stages[stage], from_file(config, stage)
    changes: dict[str, Any] = {}
    for key in TEXT_KEYS:
        change = partial(_rebased, config) if key in in_file else _escaped
        changes[key] = with_texts(key, value_of(given, key), change)
    if given.artifact:
        from fsm_orchestrator.config.contract_texts import with_paths  # noqa: PLC0415 - rare

        rebased = partial(_rebased, config, "artifact.path")
        is_own = has_file_contracts(config, stage)
        changes["artifact"] = with_paths(given, rebased if is_own else escaped)
    return _changed(given, {key: one for key, one in changes.items() if one is not None})


def _escaped(_key: str, text: str) -> str:
    return escaped(text)


def _rebased(config: RunConfig, key: str, text: str) -> str:
    file = config.config_file
    is_left = file is None or file.base == config.directory
    if file is None or is_left or not is_path(key, text) or is_absolute(text):
        return text
    return os.path.join(escaped(file.base), text)


def named_lifecycle(config: RunConfig) -> Lifecycle:
    """Read the lifecycle that was requested.

    Raises:
        LifecycleError: there is none, it cannot be read, or it is refused.
    """
    named, file = config.lifecycle or DEFAULT_LIFECYCLE, config.config_file
    try:
        return reading.find(named, Path(config.directory))
    except LifecycleError as error:
        is_from_file = file is not None and "lifecycle" in file.keys
        if is_from_file and not is_name(named) and not os.path.lexists(named):
            error.args = (f"{error}; `lifecycle` is {said_relative(config)}",)
        raise


def said_relative(config: RunConfig) -> str:
    """Return a phrase for the base of the relative paths in the config file."""
    file = config.config_file
    if file is None or file.base != os.path.dirname(file.path):
        return relative_to_operator(config)
    return f"relative to {copyable(file.path)}"


def relative_to_operator(config: RunConfig) -> str:
    """Return a phrase for the base of the relative paths in options."""
    return f"relative to the directory in which the command was typed, {copyable(config.directory)}"
