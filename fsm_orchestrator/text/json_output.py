"""JSON as text that is safe to show: no character in it can drive a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fsm_orchestrator.text.hidden import HIDDEN


def escaped(text: str) -> str:
    """Escape every hidden character in JSON text, which JSON itself leaves unescaped."""
    if text.isascii() and "\x7f" not in text:  # nearly always: JSON has escaped the others
        return text
    return HIDDEN.sub(lambda match: json.dumps(match[0])[1:-1], text)


def json_value(value: Any) -> str:
    """Return a value as JSON on one line."""
    return WRITERS.get(type(value), _encoded)(value)


def _list(values: Sequence[Any]) -> str:
    writer = WRITERS.get
    return f"[{', '.join([writer(type(one), _encoded)(one) for one in values])}]"


_encoded = json.JSONEncoder(ensure_ascii=False, default=str).encode

WRITERS: Final[Mapping[type, Callable[[Any], str]]] = {
    str: json.encoder.encode_basestring,
    int: str,
    bool: {False: "false", True: "true"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
    list: _list,
    tuple: _list,
}
"""The writers of the values that most members have; for any other value an encoder is set up each
time."""


def json_text(value: Any) -> str:
    """Return a JSON document in indented lines, safe to show."""
    return escaped(json.dumps(value, indent=2, ensure_ascii=False))


def json_line(value: Any) -> str:
    """Return one line of JSON, with its newline."""
    return escaped(json_value(value)) + "\n"
