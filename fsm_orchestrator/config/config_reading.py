"""Reads a config file, and finds everything that is wrong with it at once, each with its line."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from fsm_orchestrator.config.closed_sets import word_hint
from fsm_orchestrator.config.config_file import ConfigFile
from fsm_orchestrator.config.file_texts import TEXT_KEYS, texts_of, value_of
from fsm_orchestrator.config.run_config import StageGiven
from fsm_orchestrator.config.templates import TemplateError, pieces_of
from fsm_orchestrator.constants import DEFAULT_LIFECYCLE, PRODUCT
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import base_of
from fsm_orchestrator.errors import LifecycleError, UsageError
from fsm_orchestrator.lifecycle import reading as lifecycle
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.confine_options import CONFINE_KEYS
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.model.spelled_out import (
    Wrong,
    place_written,
    spelled_out,
    stage_spelled_out,
    with_short_names,
)
from fsm_orchestrator.text import validation
from fsm_orchestrator.text.hidden import copyable, shell_line
from fsm_orchestrator.text.phrases import FILE_LIKENESS, described, own_stages, suggestion
from fsm_orchestrator.text.toml import NotATableError, line_of, table_of, value_at
from fsm_orchestrator.text.validation import Location, Problem

CONFIG_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """A config file that could be read: its name, its text and its content."""

    name: str
    text: str
    content: ConfigFile

    @property
    def sha256(self) -> str:
        """The digest of the file's bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def origin(self, *path: str) -> str:
        """Return `run.toml:7` for a key that the file sets."""
        return _at(self.name, self.text, place_written(path, table_of(self.text.encode())))


def load(path: Path, name: str) -> ReadConfig:
    """Read a config file, which messages call `name`.

    Raises:
        UsageError: it cannot be read or something in it is wrong; every problem has a line.
    """
    return understood(name, *_read(path, name))


def understood(name: str, text: str, document: dict[str, Any]) -> ReadConfig:
    """Return the content of a document; `text` is its source, for the lines of problems.

    Raises:
        UsageError: something in it is wrong.
    """
    spelled, wrong = _spelled_out(document)
    if "budget" in spelled:
        spelled["budget"] = _exact_budget(document["budget"], text)
    found = [
        (line_of(text, path) or 0, f"{_at(name, text, path)}: key {_shown(path)}: {what}")
        for path, what in wrong
    ]
    try:
        content = ConfigFile.model_validate_json(json.dumps(spelled, default=_json_value))
    except ValidationError as error:
        found += _problems(error, name, text, document)
    else:
        found += ((0, problem) for problem in _template_problems(name, text, content))
    if found:
        raise _WrongFileError(name, [problem for _, problem in sorted(found)])
    return ReadConfig(name=name, text=text, content=content)


def _exact_budget(budget: Any, text: str) -> Any:
    """Return the table of the budget with its numbers as they are written, never as floats.

    Without a text, the numbers in the document are already as they were written.
    """
    from decimal import Decimal  # noqa: PLC0415 - only with a budget

    exact = tomllib.loads(text, parse_float=Decimal)["budget"] if text else budget
    if not isinstance(exact, dict):
        return budget
    return {
        unit: format(amount, "f") if isinstance(amount, Decimal) else amount
        for unit, amount in exact.items()
    }


def _spelled_out(document: dict[str, Any]) -> tuple[dict[str, Any], list[Wrong]]:
    """Return the document with its durations and sizes spelled out, and what is wrong with them."""
    spelled, wrong = spelled_out(document)
    stages = document.get("stage")
    if isinstance(stages, dict):
        spelled["stage"] = {}
        for name, table in stages.items():
            spelled["stage"][name], of_stage = stage_spelled_out(table, ("stage", name))
            wrong += of_stage
    return spelled, wrong


def _template_problems(name: str, text: str, content: ConfigFile) -> Iterator[str]:
    """Yield a problem for each unknown template."""
    for stage, given in content.stage.items():
        for key in TEXT_KEYS:
            for _, value in texts_of(key, value_of(given, key)):
                try:
                    pieces_of(value)
                except TemplateError as error:
                    where = _at(name, text, ("stage", stage, *key.split(".")))
                    yield f"{where}: key {described(f'stage.{stage}.{key}')}: {error}"
    yield from _contract_problems(name, text, content)
    tables: dict[tuple[str, ...], StrictModel] = {}
    for gate, source in content.gate.items():
        tables["gate", gate] = source
    if content.subject is not None:
        tables["subject",] = content.subject
    for place, table in tables.items():
        from fsm_orchestrator.config.asked_texts import template_problems  # noqa: PLC0415 - rare

        for key, problem in template_problems(table):
            path = (*place, key)
            yield f"{_at(name, text, path)}: key {_shown(path)}: {problem}"


def _contract_problems(name: str, text: str, content: ConfigFile) -> Iterator[str]:
    """Yield a problem for each unknown template in paths of contracts."""
    for stage, given in content.stage.items():
        if not given.artifact:
            continue
        from fsm_orchestrator.config.contract_texts import paths_of  # noqa: PLC0415 - rare

        for value in paths_of(given):
            try:
                pieces_of(value)
            except TemplateError as error:
                where = _at(name, text, ("stage", stage, "artifact"))
                yield f"{where}: key {described(f'stage.{stage}.artifact')}: {error}"


def check(path: Path, name: str) -> ReadConfig:
    """Read a config file as `load` does, and check its stages against its lifecycle as well.

    Raises:
        UsageError: everything that is wrong with it, at once.
    """
    text, document = _read(path, name)
    problems = list(_lifecycle_problems(path, name, text, document))
    try:
        read = understood(name, text, document)
    except _WrongFileError as error:
        problems = [*error.problems, *problems]
    if problems:
        raise UsageError("\n".join(problems), remedy="fix the file")
    return read


def _read(path: Path, name: str) -> tuple[str, dict[str, Any]]:
    try:
        data = files.read_bounded(path, CONFIG_BYTES_MAX, is_link_good=True)
    except OSError as error:
        from fsm_orchestrator.disk.near import toml_files_beside  # noqa: PLC0415 - for a typo

        found = toml_files_beside(path) if isinstance(error, FileNotFoundError) else ()
        hint = suggestion(path.name, found, likeness=FILE_LIKENESS)
        raise UsageError(
            f"cannot read the config file {copyable(name)}: {files.reason(error)}{hint}",
            remedy="name a TOML file",
        ) from error
    try:
        document = table_of(data)  # first: its message is the best one for wrong bytes
        return data.decode(), document
    except NotATableError as error:
        raise _WrongFileError(name, [f"{copyable(name)}: {error}"]) from error


def _lifecycle_problems(
    path: Path, name: str, text: str, document: Mapping[str, Any]
) -> Iterator[str]:
    """Yield stages and gates that the lifecycle does not have, and stages without a binary."""
    asked = document.get("lifecycle", DEFAULT_LIFECYCLE)
    tables = {key: document.get(key) for key in ("stage", "gates", "gate")}
    named = [
        key
        for key, table in tables.items()
        if isinstance(table, dict) and (key == "stage" or not MANDATORY_RULES.keys() >= set(table))
    ]
    if not named or not isinstance(asked, str):
        return
    try:
        found = lifecycle.find(
            asked, Path(base_of(document.get("relative_to"), str(path.parent), ""))
        )
    except LifecycleError as error:
        yield f"{_at(name, text, ('lifecycle',))}: {error}"
        return
    lead = f"the lifecycle {asked!r} has no"
    for key in named:
        for one, settings in document[key].items():
            where, shown = _at(name, text, (key, one)), described(one)
            if key != "stage":
                if one not in found.gates:
                    gates = ", ".join(found.gates)
                    hint = suggestion(one, found.gates) or f"; its gates are {gates}"
                    yield f"{where}: {lead} gate {shown}{hint}"
            elif one not in found.stages:
                hint = suggestion(one, found.stages)
                hint = hint or f"; its stages are {', '.join(found.stages)}"
                if "lifecycle" not in document:
                    hint += f"; {own_stages([one])}"
                yield f"{where}: {lead} stage {shown}{hint}"
            elif isinstance(settings, dict) and "bin" not in settings:
                yield f"{where}: stage {shown} has settings, but no key 'bin'"


def _at(name: str, text: str, path: tuple[int | str, ...]) -> str:
    line = line_of(text, path)
    shown = copyable(name)
    return shown if line is None else f"{shown}:{line}"


def _json_value(value: object) -> object:
    """Return a TOML time in JSON's form; a time without an offset is UTC."""
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).isoformat()
    return str(value)


def _problems(
    error: ValidationError, name: str, text: str, document: Mapping[str, Any]
) -> list[tuple[int, str]]:
    """Return one line for each problem, with the line of the file that it is about."""
    found = []
    for problem in validation.problems(error):
        location = ("json" if part == "json_" else part for part in problem.location)
        path = place_written(tuple(location), document)
        if problem.kind == "too_short" and value_at(document, path):
            continue  # the problems of its items have their own lines
        what = _what(problem, path, document)
        is_missing = problem.kind == "missing"
        place = path[:-1] if is_missing else path  # for a missing key, the line of its table
        found.append((line_of(text, place) or 0, f"{_at(name, text, place)}: {what}"))
    return found


def _what(problem: Problem, path: Location, document: Mapping[str, Any]) -> str:
    if problem.kind == "missing":
        return f"key {_shown(path)} is missing"
    if problem.is_unknown_key:
        if path[:1] == ("stage",) and path[2:] == ("exit_codes",):
            return f"key {_shown(path)} belongs in the lifecycle file"
        return validation.unknown_key(
            path, _known_keys(path, document), shown=".".join(map(str, path))
        )
    value = value_at(document, path)
    if problem.kind == "too_short" and isinstance(value, list):
        return f"key {_shown(path)}: needs at least one, and is an empty list"
    if problem.kind in {"tuple_type", "list_type"} and "env" not in path and "secrets" not in path:
        return f"key {_shown(path)}: should be a list, not {described(value)}"
    said = f"key {_shown(path)}: {validation.expectation(problem)}"
    if not {"env", "secrets", "webhook"}.isdisjoint(path):
        return said
    is_of_table = "artifact" in path or path == ("budget",) or path[:1] == ("notify",)
    if isinstance(value, dict) and is_of_table:
        return said  # the content of the table is wrong
    return f"{said}, not {described(value)}{word_hint(path, value)}"


def _shown(path: Location) -> str:
    return described(".".join(map(str, path)))


def _known_keys(path: Location, document: Mapping[str, Any]) -> list[str]:
    match path:
        case ("gate", str(gate), _):
            from fsm_orchestrator.gates.sources.registry import known_keys  # noqa: PLC0415 - rare

            return list(known_keys(value_at(document, ("gate", gate))))
        case ("gate", _, str(table), _):
            from fsm_orchestrator.gates.sources.registry import TABLES  # noqa: PLC0415 - rare

            return list(TABLES[table].model_fields) if table in TABLES else []
        case ("subject", _):
            return ["git", "files"]
        case ("notify", _, _):
            from fsm_orchestrator.config.notice import Notice  # noqa: PLC0415 - rare

            return list(Notice.model_fields)
        case ("stage", _, _):
            return with_short_names(StageGiven.model_fields)
        case ("stage", _, "retry", _):
            return with_short_names(RetryPolicy.model_fields)
        case ("stage", _, "confine", _):
            return list(CONFINE_KEYS)
        case ("stage", _, "artifact", _, _):
            from fsm_orchestrator.model.contracts import ContractGiven  # noqa: PLC0415 - rare

            return [field.alias or key for key, field in ContractGiven.model_fields.items()]
        case _:
            fields = ConfigFile.model_fields
            return with_short_names(field.alias or name for name, field in fields.items())


class _WrongFileError(UsageError):
    """An error about a config file; `problems` are the lines of the message."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        check = shell_line((PRODUCT, "config", "check", os.path.join(os.curdir, name)))
        super().__init__(
            "\n".join(problems),
            remedy=f"fix the file; `{check}` finds everything at once",
        )
        self.problems = problems
