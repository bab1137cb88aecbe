"""Writes models whose values are plain, as pydantic would; what is not plain is pydantic's."""

from __future__ import annotations

import json
from collections.abc import Collection
from enum import Enum
from typing import Any

from fsm_orchestrator.model.checking import NotPlainError

_PLAIN = frozenset({str, int, bool, type(None)})
_quoted = json.encoder.encode_basestring


def dumped(
    model: Any, *, is_json: bool, exclude: Collection[str] = (), exclude_none: bool = False
) -> dict[str, Any]:
    """Return a model as a dictionary, of JSON's values if `is_json`.

    Raises:
        NotPlainError: it holds something else.
    """
    values = vars(model)
    return {
        name: _dumped(values[name], is_json, exclude_none)
        for name in type(model).__declared__
        if name not in exclude and not (exclude_none and values[name] is None)
    }


def _dumped(value: Any, is_json: bool, exclude_none: bool) -> Any:
    kind = type(value)
    if kind in _PLAIN or kind is float:
        return value
    if isinstance(value, Enum):
        return value.value if is_json else value
    if hasattr(kind, "__declared__"):
        return dumped(value, is_json=is_json, exclude_none=exclude_none)
    if kind is tuple:
        items = [_dumped(one, is_json, exclude_none) for one in value]
        return items if is_json else tuple(items)
    if kind is dict:
        return {
            _dumped(key, is_json, exclude_none): _dumped(one, is_json, exclude_none)
            for key, one in value.items()
            if not (exclude_none and one is None)
        }
    raise NotPlainError


def compact(model: Any) -> str:
    """Return a model as JSON without spaces. What never changes is written once, and kept.

    Raises:
        NotPlainError: it holds something that JSON has no one way to write.
    """
    kept = getattr(model, "__compact__", None)
    if kept is None:
        values = vars(model)
        members = (f'"{name}":{_compact(values[name])}' for name in type(model).__declared__)
        kept = "{" + ",".join(members) + "}"
        object.__setattr__(model, "__compact__", kept)
    text: str = kept
    return text


def _compact(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float:
        return _number(value)
    if isinstance(value, Enum):
        return _compact(value.value)
    if hasattr(kind, "__declared__"):
        return compact(value)
    if kind is tuple:
        return "[" + ",".join(map(_compact, value)) + "]"
    if kind is dict:
        return "{" + ",".join(f"{_key(key)}:{_compact(one)}" for key, one in value.items()) + "}"
    raise NotPlainError


def indented(value: Any, indent: int, margin: str = "") -> str:
    """Return a value as JSON, a member or item a line.

    Raises:
        NotPlainError: it holds something that JSON has no one way to write.
    """
    kind = type(value)
    inner = margin + " " * indent
    if hasattr(kind, "__declared__"):
        values = vars(value)
        lines = [
            f'{inner}"{name}": {indented(values[name], indent, inner)}'
            for name in kind.__declared__
        ]
    elif kind is dict:
        lines = [
            f"{inner}{_key(key)}: {indented(one, indent, inner)}" for key, one in value.items()
        ]
    elif kind is tuple:
        lines = [inner + indented(one, indent, inner) for one in value]
    else:
        return _compact(value)
    first, last = "[]" if kind is tuple else "{}"
    return f"{first}\n" + ",\n".join(lines) + f"\n{margin}{last}" if lines else first + last


def _key(key: Any) -> str:
    text = key.value if isinstance(key, Enum) else key
    if type(text) is not str:
        raise NotPlainError
    return _quoted(text)


def _number(value: float) -> str:
    """Return a number as both Python and pydantic write it: without exponent."""
    text = repr(value)
    if not text.lstrip("-").replace(".", "", 1).isdigit():
        raise NotPlainError
    return text
