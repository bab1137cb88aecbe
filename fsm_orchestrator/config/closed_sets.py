"""The words of settings that take one of a few, to suggest the right one for a mistyped word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.disk.where import RelativeTo
from fsm_orchestrator.model.confine_options import CONFINE_KEYS
from fsm_orchestrator.model.declared import BaseModel
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.option_kinds import Backoff, RetrySignal
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.model.told_ends import NoticeFormat, ToldEnd
from fsm_orchestrator.text.phrases import suggestion
from fsm_orchestrator.vocabulary import (
    LogFormat,
    LogLevel,
    OnChangedStage,
    OnLeak,
)

if TYPE_CHECKING:
    from fsm_orchestrator.text.validation import Problem

_SETS: Final[Mapping[str, type[StrEnum]]] = {
    "backoff": Backoff,
    "format": NoticeFormat,
    "log_format": LogFormat,
    "log_level": LogLevel,
    "on": ToldEnd,
    "on_changed_stage": OnChangedStage,
    "on_leak": OnLeak,
    "relative_to": RelativeTo,
    "killed_by": RetrySignal,
}
_OF_KEY: Final = {key: tuple(one.value for one in words) for key, words in _SETS.items()}
_OF_GATE: Final = {gate: rule.values for gate, rule in MANDATORY_RULES.items()}


def word_hint(location: tuple[int | str, ...], value: object) -> str:
    """Return `; did you mean 'x'?` for a value at a place that takes one of a few words."""
    match location:
        case ("gates", str(gate)):
            known = _OF_GATE.get(gate, ())
        case (*_, str(key)) | (*_, str(key), int()):
            known = _OF_KEY.get(key, ())
        case _:
            known = ()
    return suggestion(value, known) if isinstance(value, str) else ""


def meant(problem: Problem, given: object, run: type[BaseModel], stage: type[BaseModel]) -> str:
    """Return the keyword, or the word, that was probably meant in a configuration.

    `run` and `stage` are the models of a run's configuration, and of its settings for a stage.
    """
    if not problem.is_unknown_key:
        return word_hint(problem.location, given)
    return suggestion(str(problem.location[-1]), _known_below(problem.location, run, stage))


def _known_below(
    location: tuple[int | str, ...], run: type[BaseModel], stage: type[BaseModel]
) -> Iterable[str]:
    """Return the keywords that are allowed at a place below a run's configuration."""
    match location:
        case ("stages", _, "retry", _):
            return RetryPolicy.model_fields
        case ("stages", _, "confine", _):
            return CONFINE_KEYS
        case ("stages", _, _):
            return stage.model_fields
        case _:
            return run.model_fields
