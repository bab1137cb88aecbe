"""The words that a setting may be, where it may be one of a few: for whoever has mistyped one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.text.phrases import suggestion
from fsm_orchestrator.vocabulary import (
    Backoff,
    LogFormat,
    LogLevel,
    OnChangedStage,
    OnLeak,
)

_SETS: Final[Mapping[str, type[StrEnum]]] = {
    "backoff": Backoff,
    "log_format": LogFormat,
    "log_level": LogLevel,
    "on_changed_stage": OnChangedStage,
    "on_leak": OnLeak,
}
_OF_KEY: Final = {key: tuple(one.value for one in words) for key, words in _SETS.items()}
_OF_GATE: Final = {gate: rule.values for gate, rule in MANDATORY_RULES.items()}


def word_hint(location: tuple[int | str, ...], value: object) -> str:
    """Return `; did you mean 'x'?` for a value at a place where one of some words may be."""
    match location:
        case ("gates", str(gate)):
            known = _OF_GATE.get(gate, ())
        case (*_, str(key)):
            known = _OF_KEY.get(key, ())
        case _:
            known = ()
    return suggestion(value, known) if isinstance(value, str) else ""
