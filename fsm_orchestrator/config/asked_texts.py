"""The texts of `[gate.NAME]` and `[subject]` in a config file: filled in, and absolute.

Loaded only where a config file has such a table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, TypeVar

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.templates import (
    Facts,
    TemplateError,
    escaped,
    filled,
    is_absolute,
    pieces_of,
)
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.gates.sources.base import SourceModel
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import ValidationError
from fsm_orchestrator.model.evidence import SubjectGiven
from fsm_orchestrator.text.validation import problems

_ROOT: Final = "/\x01"
"""A prefix that protects a text that its template makes absolute, while other texts are based."""
_Model = TypeVar("_Model", bound=StrictModel)
_Table = TypeVar("_Table", SourceModel, SubjectGiven)


def with_asked_texts(config: RunConfig, run_id: str, kept_secrets: Collection[str]) -> RunConfig:
    """Return the request with the tables of its config file filled in and based for the run.

    Raises:
        UsageError: a template cannot be filled in.
    """
    declared = (key for given in config.stages.values() for key in given.secrets or ())
    facts = Facts(str(run_of(config.output_path)), run_id, frozenset((*kept_secrets, *declared)))
    return _with_tables(config, lambda key, table: _in_force(config, key, table, facts))


def as_in_a_file(config: RunConfig) -> RunConfig:
    """Return the request with tables that fit a config file anywhere: their paths are absolute.

    Templates stay; braces in texts from elsewhere are escaped.
    """
    others = {
        gate: _mapped(one, escaped)
        for gate, one in config.sources.items()
        if not _is_from_file(config, f"gate.{gate}")
    }
    subject = config.subject
    if subject is not None and not _is_from_file(config, "subject"):
        subject = _mapped(subject, escaped)
    update = {"sources": {**config.sources, **others}, "subject": subject}
    return _with_tables(config.model_copy(update=update), lambda _, one: _rebased(config, one))


def template_problems(table: StrictModel) -> Iterator[tuple[str, str]]:
    """Yield the unknown templates of a table, each with its key."""
    for name, value in table.model_dump(mode="json").items():
        for text in _texts(value):
            try:
                pieces_of(text)
            except TemplateError as error:
                yield name, str(error)


def _is_from_file(config: RunConfig, key: str) -> bool:
    return config.config_file is not None and key in config.config_file.keys


def _with_tables(config: RunConfig, change: Callable[[str, Any], Any]) -> RunConfig:
    """Return the request with each table of its config file changed."""
    sources = {
        gate: change(f"gate.{gate}", one) if _is_from_file(config, f"gate.{gate}") else one
        for gate, one in config.sources.items()
    }
    subject = config.subject
    if subject is not None and _is_from_file(config, "subject"):
        subject = change("subject", subject)
    return config.model_copy(update={"sources": sources, "subject": subject})


def _in_force(config: RunConfig, key: str, table: _Table, facts: Facts) -> _Table:
    file = config.config_file
    assert file is not None  # noqa: S101 - the table is from it
    written = _written(table)
    try:
        return _mapped(table, lambda text: filled(text, facts, written)).based(file.base)
    except TemplateError as error:
        why = str(error)
    except ValidationError as error:
        why = f"once its templates are filled in, {problems(error)[0].text}"
    raise UsageError(
        f"{file.path}: key '{key}': {why}",
        remedy="correct the file, or set what it takes from the environment",
    )


def _written(table: object) -> Callable[[str], str]:
    """Return the function that writes a value in a text of a table."""
    return table.written if isinstance(table, SourceModel) else str


def _rebased(config: RunConfig, table: _Table) -> _Table:
    file = config.config_file
    assert file is not None  # noqa: S101 - the table is from it
    rooted = _mapped(table, lambda text: f"{_ROOT}{text}" if is_absolute(text) else text)
    return _mapped(rooted.based(escaped(file.base)), lambda text: text.removeprefix(_ROOT))


def _mapped(table: _Model, change: Callable[[str], str]) -> _Model:
    """Return a table with each of its texts changed."""
    document = _changed(table.model_dump(mode="json", exclude_unset=True), change)
    return type(table).model_validate_json(json.dumps(document))


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_changed(one, change) for one in value]
    if isinstance(value, dict):
        return {key: _changed(one, change) for key, one in value.items()}
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
