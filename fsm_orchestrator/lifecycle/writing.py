"""Writes states and transitions of a lifecycle as the text of a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fsm_orchestrator.lifecycle.model import Lifecycle, Transition
from fsm_orchestrator.model.base import StrictModel

_TABLES: Final = ("gate", "state", "transition")


def lifecycle_text(lifecycle: Lifecycle) -> str:
    """Return the file of a lifecycle written out, with every state and every edge."""
    head = lifecycle.model_dump(mode="json", exclude={*_TABLES}, exclude_defaults=True)
    parts = ["\n".join(_lines({"schema_version": lifecycle.schema_version, **head}))]
    for name in _TABLES:
        of_name: Sequence[StrictModel] = getattr(lifecycle, name)
        parts += [_headed(name, _given(one)) for one in of_name]
    return "\n\n".join(parts) + "\n"


def transitions_text(transitions: Iterable[Transition]) -> str:
    """Return transitions as they are written in a file."""
    return "\n\n".join(_headed("transition", _given(one)) for one in transitions)


def _given(model: StrictModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True)


def _headed(name: str, table: Mapping[str, Any]) -> str:
    return "\n".join((f"[[{name}]]", *_lines(table)))


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each key; the reason for an edge comes last, as people write it."""
    last = {"why": table["why"]} if "why" in table else {}
    for key, value in {**{k: v for k, v in table.items() if k != "why"}, **last}.items():
        yield f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    """Return a value of a lifecycle in TOML, which spells texts as JSON does."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
