"""Durations and sizes in a document that people write, spelled out as the models have them.

`timeout = "10m"` and `timeout_ms = "10m"` become `timeout_ms = 600000`. Models and records have
whole numbers under one name only; documents that people write come through here first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from fsm_orchestrator.model.option_kinds import Bounds
from fsm_orchestrator.model.stage_options import BOUNDS, MEASURED_KEYS
from fsm_orchestrator.text.phrases import described
from fsm_orchestrator.text.toml import value_at

Location: TypeAlias = tuple[int | str, ...]
Wrong: TypeAlias = tuple[Location, str]
"""The place of something wrong, and what is wrong."""

MEASURED: Final = {key: BOUNDS[key] for key in MEASURED_KEYS.values()}
"""The bounds of the keys that count milliseconds or bytes."""
NAMES_OF: Final = {key: name for name, key in MEASURED_KEYS.items()}
"""The keys that do not name the unit, by the keys that do."""


def spelled_out(table: Mapping[str, Any], at: Location = ()) -> tuple[dict[str, Any], list[Wrong]]:
    """Return a table with its durations and sizes spelled out, and what is wrong with them.

    Wrong values are left out of the table; the place of each, which begins with `at`, leads to the
    key that was written.
    """
    spelled: dict[str, Any] = {}
    wrong: list[Wrong] = []
    for written, value in table.items():
        key = MEASURED_KEYS.get(written, written)
        if key not in MEASURED:
            spelled[written] = value
        elif key != written and key in table:
            wrong.append(((*at, written), f"{key!r} means the same; give one of them"))
        else:
            try:
                spelled[key] = _read(value, MEASURED[key], is_named=key != written)
            except ValueError as error:
                wrong.append(((*at, written), str(error)))
    return spelled, wrong


def _read(value: Any, bounds: Bounds, *, is_named: bool) -> Any:
    """Return the number that a value stands for.

    A value that is not text, under a key that names the unit, is left for the model to judge.

    Raises:
        ValueError: it stands for no number; the message says why.
    """
    if isinstance(value, str):
        return bounds.read(value)
    if is_named and not (type(value) is int and bounds.least <= value <= bounds.most):
        raise ValueError(f"{described(value)} is not {bounds.text}")
    return value


def with_short_names(keys: Iterable[str]) -> list[str]:
    """Return keys, each that names a unit preceded by the key that does not."""
    return [name for key in keys for name in ((NAMES_OF[key], key) if key in NAMES_OF else (key,))]


def place_written(location: Location, document: Any) -> Location:
    """Return the place of a setting in a document, which may have it under the other name."""
    if not location or location[-1] not in NAMES_OF:
        return location
    table = value_at(document, location[:-1])
    name = NAMES_OF[str(location[-1])]
    return (*location[:-1], name) if isinstance(table, dict) and name in table else location


def stage_spelled_out(table: Any, at: Location) -> tuple[Any, list[Wrong]]:
    """Return the table of a stage and its table `retry`, as `spelled_out` does."""
    if not isinstance(table, dict):
        return table, []
    spelled, wrong = spelled_out(table, at)
    if isinstance(table.get("retry"), dict):
        spelled["retry"], of_retry = spelled_out(table["retry"], (*at, "retry"))
        wrong += of_retry
    return spelled, wrong
