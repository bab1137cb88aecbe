"""Explains the faults in the shape of a lifecycle file, one line for each problem.

Shape means keys and the types of their values; the model has what is expected. rules.py checks
which states and edges make sense together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from fsm_orchestrator.constants import REASON_CODE_PATTERN, STATE_NAME_PATTERN
from fsm_orchestrator.lifecycle.labels import gate_label, stage_label, state_label, transition_label
from fsm_orchestrator.lifecycle.linear import NAMES_OR_TABLES
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.source import is_name
from fsm_orchestrator.model.base import LINE_PATTERN, StrictModel
from fsm_orchestrator.model.spelled_out import Wrong, with_short_names
from fsm_orchestrator.text.phrases import described, suggestion
from fsm_orchestrator.text.toml import TOO_DEEP_OR_LARGE, value_at
from fsm_orchestrator.text.validation import Location, Problem, problems, unknown_key

Schema: TypeAlias = Mapping[str, Any]

_PATTERNS: Final[Mapping[str, str]] = {
    f"^{STATE_NAME_PATTERN}$": "a name: lower-case letters, digits and _, a letter first",
    f"^{REASON_CODE_PATTERN}$": "GATE_ and capital letters or _",
    LINE_PATTERN: "one line without control characters",
}


def spelling_problems(wrong: Iterable[Wrong], data: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each duration or size of `data` that cannot be read."""
    yield from (
        f"{_where(location, data)}key {str(location[-1])!r}: {what}" for location, what in wrong
    )


def shape_problems(
    error: ValidationError,
    data: Mapping[str, Any],
    wrong: Iterable[Wrong] = (),
    model: type[StrictModel] = Lifecycle,
) -> Iterator[str]:
    """Yield a line for each problem with the shape of `data`, in the order of its parts.

    The problems in `wrong`, with its durations and sizes, come first. `model` is the expected model
    of `data`.
    """
    schema = _schema(model)
    yield from spelling_problems(wrong, data)
    found = list(problems(error))
    for problem in found:
        location, value = problem.location, value_at(data, problem.location)
        # A list with wrong items is not also reported as too short: the items have their own lines.
        is_echo = problem.kind == "too_short" and any(
            one.location[: len(location)] == location != one.location for one in found
        )
        if not is_echo:
            yield _where(problem.location, data) + _what(problem, value, schema)


def _what(problem: Problem, value: object, schema: Schema) -> str:
    location = problem.location
    if not location:
        return TOO_DEEP_OR_LARGE
    if problem.kind == "missing":
        return f"key {location[-1]!r} is missing"
    if problem.is_unknown_key:
        known = with_short_names(_declared(location[:-1], schema)["properties"])
        return unknown_key(location, known)
    if isinstance(location[-1], int) and problem.kind == "model_type":
        what = "a name or a table" if location[0] in NAMES_OR_TABLES else "a table"
        return f"is {described(value)}, not {what}"
    key = next(str(part) for part in reversed(location) if isinstance(part, str))
    verb = "is" if location[-1] == key else "lists"
    said = f"{verb} {described(value)}"
    if isinstance(value, list) and value and problem.kind in {"too_short", "too_long"}:
        said = f"has {len(value)}"
    if key == "exit_codes" and isinstance(value, dict):
        said = "has a key that is no exit code"
    return f"key {key!r} {said}; expected {_expected(location, value, schema)}"


def _expected(location: Location, value: object, schema: Schema) -> str:
    declared = _declared(location, schema)
    if location[-1] == "source":  # reading.py turns a single name into a list
        return "the name of a state or a list of names"
    if "maxItems" in declared and "properties" in declared["items"]:
        least, most = declared.get("minItems"), declared["maxItems"]
        count = f"at most {most}" if least is None else f"{least} to {most}"
        if location[-1] in NAMES_OR_TABLES:
            return f"a list of {count} names or tables"
        return f"{count} tables, each headed [[{location[-1]}]]"
    hint = suggestion(value, declared.get("enum", ())) if isinstance(value, str) else ""
    return expectation(declared) + hint


def expectation(declared: Schema) -> str:
    """Describe the values that a JSON Schema without references allows."""
    match declared:
        case {"const": value}:
            return str(value)
        case {"enum": values}:
            return f"one of {', '.join(map(str, values))}"
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"a whole number from {least} to {most}"
        case {"type": "string", "pattern": pattern, "maxLength": most}:
            least = declared.get("minLength")
            length = f"at most {most}" if least is None else f"{least} to {most}"
            return f"{_PATTERNS[pattern]}, {length} characters"
        case {"type": "array", "items": items, "minItems": least, "maxItems": most}:
            return f"a list of {least} to {most}, each {expectation(items)}"
        case {"type": "array", "items": items}:
            return f"a list, each item {expectation(items)}"
        case {"type": "boolean"}:
            return "true or false"
        case {"patternProperties": inner}:  # there is only one such key
            meaning = expectation(next(iter(inner.values())))
            return f"a table of exit codes from 1 to 255, each {meaning}"
        case _:
            return "a table"


def _declared(location: Location, schema: Schema) -> Schema:
    """Return the model's declaration of a place in the file."""
    declared = schema
    for part in location:
        inner = declared["items"] if isinstance(part, int) else _inner(declared, part)
        declared = _resolved(inner, schema)
    return declared


def _inner(declared: Schema, key: str) -> Schema:
    """Return the declaration of a key, or else of all keys that match a pattern."""
    named: Schema | None = declared.get("properties", {}).get(key)
    return named or next(iter(declared["patternProperties"].values()))


def _resolved(declared: Schema, schema: Schema) -> Schema:
    """Follow the references of a schema and of its items; drop null."""
    match declared:
        case {"$ref": str() as reference}:
            named: Schema = schema["$defs"][reference.removeprefix("#/$defs/")]
            return named
        case {"anyOf": [inner, {"type": "null"}]}:
            return _resolved(inner, schema)
        case {"items": items}:
            return {**declared, "items": _resolved(items, schema)}
        case {"patternProperties": inner}:
            resolved = {key: _resolved(one, schema) for key, one in inner.items()}
            return {**declared, "patternProperties": resolved}
        case _:
            return declared


@cache
def _schema(model: type[StrictModel]) -> Schema:
    return model.model_json_schema()


def _where(location: Location, data: Mapping[str, Any]) -> str:
    match location:
        case ("state", int(index), *_):
            name = value_at(data, ("state", index, "name"))
            return f"{state_label(name) if is_name(name) else f'state {index + 1}'}: "
        case ("stages", int(index), *_):
            name = value_at(data, ("stages", index, "name"))
            return f"{stage_label(name) if is_name(name) else f'stage {index + 1}'}: "
        case ("gate" | "gates" as key, int(index), *_):
            name = value_at(data, (key, index, "name"))
            return f"{gate_label(name) if is_name(name) else f'gate {index + 1}'}: "
        case ("transition", int(index), *_):
            return f"{_transition_label(index, data)}: "
        case _:
            return ""


def _transition_label(index: int, data: Mapping[str, Any]) -> str:
    trigger = value_at(data, ("transition", index, "trigger"))
    sources = value_at(data, ("transition", index, "source"))
    if is_name(trigger) and isinstance(sources, list) and all(is_name(name) for name in sources):
        return transition_label(index + 1, trigger, sources)
    return f"transition {index + 1}"
