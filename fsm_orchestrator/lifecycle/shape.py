"""Says in an operator's words what is wrong with the shape of a lifecycle file.

Shape means keys and the types of their values. Which states and edges make sense together is
checked in lifecycle_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fsm_orchestrator.lifecycle.labels import state_label, transition_label
from fsm_orchestrator.lifecycle.model import Lifecycle, State, Transition
from fsm_orchestrator.lifecycle.source import NAME_CHARACTERS_MAX, is_name
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.text.phrases import described, suggestion
from fsm_orchestrator.text.toml import NESTED_TOO_DEEPLY, value_at
from fsm_orchestrator.vocabulary import (
    ATTEMPTS_MAX,
    BYTES_MAX,
    CYCLES_MAX,
    MILLISECONDS_MAX,
    SCHEMA_VERSION,
    Backoff,
    Gate,
    GatesGuard,
    Guard,
    Outcome,
    StateKind,
    Trigger,
)

_NAME: Final = (
    "a name: lower-case letters, digits and _, a letter first,"
    f" at most {NAME_CHARACTERS_MAX} characters"
)
_MILLISECONDS: Final = f"a whole number of milliseconds from 1 to {MILLISECONDS_MAX}"
_LINE: Final = "one line of 1 to 200 characters, none of them a control character"

_CHOICES: Final[Mapping[str, type[StrEnum]]] = {
    "gates_guard": GatesGuard,
    "kind": StateKind,
    "gates": Gate,
    "outcome": Outcome,
    "trigger": Trigger,
    "guard": Guard,
    "unless": Guard,
    "backoff": Backoff,
}

_EXPECTED: Final[Mapping[str, str]] = {
    "schema_version": str(SCHEMA_VERSION),
    "name": _NAME,
    "title": _LINE,
    "initial": _NAME,
    "state": "1 to 200 tables, each headed [[state]]",
    "timeout_ms": _MILLISECONDS,
    "kill_grace_ms": f"a whole number of milliseconds from 0 to {MILLISECONDS_MAX}",
    "idle_timeout_ms": _MILLISECONDS,
    "slow_after_ms": _MILLISECONDS,
    "output_limit_bytes": f"a whole number of bytes from 1 to {BYTES_MAX}",
    "retry": "a table, as in retry = { max_attempts = 3, exit_codes = [75] }",
    "max_attempts": f"a whole number from 1 to {ATTEMPTS_MAX}",
    "exit_codes": "a list of exit codes, whole numbers from 1 to 255",
    "timeouts": "true or false",
    "backoff_ms": f"a whole number of milliseconds from 0 to {MILLISECONDS_MAX}",
    "backoff_ms_max": f"a whole number of milliseconds from 0 to {MILLISECONDS_MAX}",
    "rework_exit_code": "an exit code, a whole number from 1 to 255",
    "at_most": f"a whole number from 1 to {CYCLES_MAX}",
    "transition": "1 to 2000 tables, each headed [[transition]]",
    "source": "the name of a state or a list of names",
    "dest": _NAME,
    "why": _LINE,
}


def version_problem(data: Mapping[str, object]) -> str | None:
    """Why a file of this schema version cannot be read; None if it can, or if it names none.

    Asked before anything else: in a file of another version, other keys and values may be right.
    """
    version = data.get("schema_version", SCHEMA_VERSION)
    if type(version) is int and version == SCHEMA_VERSION:
        return None
    return (
        f"key 'schema_version' is {described(version)};"
        f" this program reads version {SCHEMA_VERSION} only"
    )


def shape_problems(error: ValidationError, data: Mapping[str, Any]) -> Iterator[str]:
    """One line for each thing wrong with the shape of `data`, in the file's order of parts."""
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        value = value_at(data, detail["loc"])
        # Counted after the items were judged: the items' own faults have their own lines.
        if not (detail["type"] == "too_short" and value):
            yield _where(detail["loc"], data) + _what(detail, value)


def _what(detail: ErrorDetails, value: object) -> str:
    location = detail["loc"]
    if not location:
        return NESTED_TOO_DEEPLY
    if detail["type"] == "missing":
        return f"key {location[-1]!r} is missing"
    if detail["type"] == "extra_forbidden":
        known = _known_keys(location)
        return f"unknown key {described(location[-1])}" + (
            suggestion(str(location[-1]), known) or f"; known keys: {', '.join(known)}"
        )
    if detail["type"] == "model_type":
        return f"is {described(value)}, not a table"
    key = next(str(part) for part in reversed(location) if isinstance(part, str))
    return f"key {key!r} {_fault(key, value, is_item=location[-1] != key)}"


def _fault(key: str, value: object, *, is_item: bool) -> str:
    said = f"{'lists' if is_item else 'is'} {described(value)}"
    if key not in _CHOICES:
        return f"{said}; expected {_NAME if is_item and key == 'source' else _EXPECTED[key]}"
    allowed = [member.value for member in _CHOICES[key]]
    if key == "gates" and not is_item:
        return f"{said}; expected a list of {', '.join(allowed)}"
    hint = suggestion(value, allowed) if isinstance(value, str) else ""
    return f"{said}; expected one of {', '.join(allowed)}{hint}"


def _where(location: tuple[int | str, ...], data: Mapping[str, Any]) -> str:
    match location:
        case ("state", int(index), *_):
            name = value_at(data, ("state", index, "name"))
            return f"{state_label(name) if is_name(name) else f'state {index + 1}'}: "
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


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    match location:
        case ("state", int(), "retry", _):
            return list(RetryPolicy.model_fields)
        case ("state", int(), _):
            return list(State.model_fields)
        case ("transition", int(), _):
            return list(Transition.model_fields)
        case _:
            return list(Lifecycle.model_fields)
