"""Writes models with plain values as pydantic would; all other values are left to pydantic."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Collection
from enum import Enum
from functools import partial
from typing import Any, Final, TypeAlias

from fsm_orchestrator.model.checking import NotPlainError

_PLAIN = frozenset({str, int, bool, type(None)})
_quoted = json.encoder.encode_basestring
_Writer: TypeAlias = Callable[[Any], str]


def dumped(
    model: Any, *, is_json: bool, exclude: Collection[str] = (), exclude_none: bool = False
) -> dict[str, Any]:
    """Return a model as a dictionary, with JSON's values if `is_json`.

    Raises:
        NotPlainError: the model holds other values.
    """
    values = vars(model)
    return {
        name: _dumped(values[name], is_json, exclude_none)
        for name in _names(type(model), values)
        if name not in exclude and not (exclude_none and values[name] is None)
    }


def _names(kind: Any, values: dict[str, Any]) -> Collection[str]:
    """Return the names of the fields to write: some are omitted while they have their default."""
    names: Collection[str] = kind.__declared__
    if not kind.__left_out__:
        return names
    absent = {one for one, default in kind.__left_out__.items() if values[one] == default}
    return [one for one in names if one not in absent]


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
    """Return a model as JSON without spaces. The text is made once for each instance, and kept.

    Raises:
        NotPlainError: it holds a value that JSON cannot write in exactly one way.
    """
    kept = getattr(model, "__compact__", None)
    if kept is None:
        values = vars(model)
        members = [
            f'"{name}":{_WRITERS[type(values[name])](values[name])}'
            for name in _names(type(model), values)
        ]
        kept = "{" + ",".join(members) + "}"
        object.__setattr__(model, "__compact__", kept)
    text: str = kept
    return text


def _tuple(value: tuple[Any, ...]) -> str:
    return f"[{','.join([_WRITERS[type(one)](one) for one in value])}]" if value else "[]"


def _dict(value: dict[Any, Any]) -> str:
    members = [f"{_key(key)}:{_WRITERS[type(one)](one)}" for key, one in value.items()]
    return "{" + ",".join(members) + "}"


def indented(model: Any, indent: int) -> str:
    """Return a model as JSON, one member or item per line. A model inside another is written once.

    Raises:
        NotPlainError: it holds a value that JSON cannot write in exactly one way.
    """
    return _in_lines(indent, "", model)


def _in_lines(indent: int, margin: str, value: Any) -> str:
    kind = type(value)
    is_model = hasattr(kind, "__declared__")
    if not is_model and kind is not tuple and kind is not dict:
        return _WRITERS[kind](value)
    if is_model:
        kept = getattr(value, "__indented__", None)
        if kept is not None and kept[0] == (indent, margin):
            text: str = kept[1]
            return text
    elif not value:
        return "[]" if kind is tuple else "{}"
    inner = margin + " " * indent
    writer, deeper = _LEAVES.get, partial(_in_lines, indent, inner)
    if is_model:
        values = vars(value)
        lines = [
            f'{inner}"{name}": {writer(type(values[name]), deeper)(values[name])}'
            for name in _names(kind, values)
        ]
    elif kind is dict:
        lines = [
            f"{inner}{_key(key)}: {writer(type(one), deeper)(one)}" for key, one in value.items()
        ]
    else:
        lines = [inner + writer(type(one), deeper)(one) for one in value]
    first, last = "[]" if kind is tuple else "{}"
    made = f"{first}\n" + ",\n".join(lines) + f"\n{margin}{last}" if lines else first + last
    if is_model and margin:
        object.__setattr__(value, "__indented__", ((indent, margin), made))
    return made


def _key(key: Any) -> str:
    text = key.value if isinstance(key, Enum) else key
    if type(text) is not str:
        raise NotPlainError
    return _quoted(text)


def _number(value: float) -> str:
    """Return a number as pydantic writes it: small ones have other exponents than Python's."""
    text = repr(value)
    mantissa, small, exponent = text.partition("e-")
    if small and exponent == "05":
        sign, digits = ("-", mantissa[1:]) if value < 0 else ("", mantissa)
        return f"{sign}0.0000{digits.replace('.', '')}"
    if small:
        return f"{mantissa}e-{int(exponent)}"
    if not text.lstrip("-").replace(".", "", 1).isdigit():
        raise NotPlainError
    return text


class _Writers(dict[type, _Writer]):
    """The writers of values by type, for the types met so far."""

    def __missing__(self, kind: type) -> _Writer:
        """Find the writer for a type that is met for the first time.

        Raises:
            NotPlainError: there is none here.
        """
        if issubclass(kind, Enum):
            texts = {one: self[type(one.value)](one.value) for one in kind}
            writer = _LEAVES[kind] = texts.__getitem__
        elif hasattr(kind, "__declared__"):
            writer = compact
        else:
            raise NotPlainError
        self[kind] = writer
        return writer


_LEAVES: Final[dict[type, _Writer]] = {
    str: _quoted,
    types.NoneType: {None: "null"}.__getitem__,
    bool: {False: "false", True: "true"}.__getitem__,
    int: str,
    float: _number,
}
"""The writers of values that contain no others, by type, for the types met so far."""
_WRITERS: Final = _Writers({**_LEAVES, tuple: _tuple, dict: _dict})
"""The same for all values."""
