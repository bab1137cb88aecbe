"""Takes values that are plainly of the kind that their field declares.

Pydantic would take each value that is taken here, with the same result. A value that is not taken
may still be good, or wrong: pydantic judges it. So nothing here refuses, converts or explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from fsm_orchestrator.model.checking import (
    TAKE_NONE,
    Check,
    NotPlainError,
    check_of,
    judged,
    says_nothing,
)
from fsm_orchestrator.model.words import MISSING, Declaration, Word

_Judging = Callable[[Any, Mapping[str, Any]], Any]
_KNOWN_CHECKS: Final[dict[Any, Check]] = {}
"""The checks for annotations that several fields declare."""


class _Info(NamedTuple):
    """The context of a field's validator apart from its value: the fields before it."""

    data: Mapping[str, Any]


class _Field(NamedTuple):
    """The way in which a field is filled.

    Attributes:
        types: the types whose values are taken unchecked.
        take: takes all other values, as in `Check`.
        around: the validators before and after that, as bound functions of the value and of the
            values of the fields before it; None if there are none.
        default: `MISSING` if the field must be given, or is made by a factory.
    """

    name: str
    types: frozenset[type]
    take: Callable[[Any], Any]
    around: tuple[tuple[_Judging, ...], tuple[_Judging, ...]] | None
    default: Any
    factory: Callable[[], Any] | None


class _Plan(NamedTuple):
    """The way in which a model is filled; then `judges` validate it."""

    fields: tuple[_Field, ...]
    judges: tuple[Callable[[Any], Any], ...]


def fill(model: Any, given: Mapping[str, Any], *, from_json: bool = False) -> None:
    """Give a new model its values.

    Raises:
        NotPlainError: not all values are plainly good; the model is unchanged.
    """
    plan = type(model).__plans__.get(from_json) or _plan_of(type(model), from_json)
    values: dict[str, Any] = {}
    known = 0
    for name, types, take, around, default, factory in plan.fields:
        if name in given:
            known += 1
            value = given[name]
            if type(value) not in types:
                value = take(value) if around is None else _taken(value, take, around, values)
            values[name] = value
        elif default is not MISSING:
            values[name] = default
        elif factory is not None:
            values[name] = factory()
        else:
            raise NotPlainError
    if known != len(given):
        raise NotPlainError
    put(model, values, set(given))
    for look in plan.judges:
        if judged(look, model) is not model:
            raise NotPlainError


def _taken(
    value: Any,
    take: Callable[[Any], Any],
    around: tuple[tuple[_Judging, ...], tuple[_Judging, ...]],
    values: Mapping[str, Any],
) -> Any:
    before, after = around
    for judge in before:
        value = judged(judge, value, values)
    value = take(value)
    for judge in after:
        value = judged(judge, value, values)
    return value


def plainly(cls: Any, document: Mapping[str, Any]) -> Any:
    """Return the model of a document's values; None if pydantic has to judge them."""
    try:
        return cls.plainly_made(document, from_json=True)
    except NotPlainError:
        return None


def defaults_of(cls: Any) -> dict[str, Any]:
    """Return the values that a model's fields have if they are not given, by field name."""
    made: dict[str, Any] = {}
    for field in _plan_of(cls, from_json=False).fields:
        if field.factory is not None:
            made[field.name] = field.factory()
        elif field.default is not MISSING:
            made[field.name] = field.default
    return made


def put(model: Any, values: dict[str, Any], given: set[str]) -> None:
    """Set the attributes that pydantic sets on a model that it has made."""
    object.__setattr__(model, "__dict__", values)
    object.__setattr__(model, "__pydantic_fields_set__", given)
    object.__setattr__(model, "__pydantic_extra__", None)
    object.__setattr__(model, "__pydantic_private__", None)


def _plan_of(cls: Any, from_json: bool) -> _Plan:
    plans = cls.__plans__
    if from_json not in plans:
        plans[from_json] = _planned(cls, from_json)
    plan: _Plan = plans[from_json]
    return plan


def _planned(cls: Any, from_json: bool) -> _Plan:
    """Return how a model is filled; a model beyond this has a field that takes no value."""
    around: dict[tuple[str, str], list[_Judging]] = {}
    judges = []
    for judge in cls.__judges__.values():
        mode = judge.word.options.get("mode", "after")
        bound = judge.__get__(None, cls)
        if judge.word.name == "model_validator" and mode == "after":
            judges.append(bound)
        elif judge.word.name == "field_validator" and mode in {"before", "after"}:
            for name in judge.word.args:
                around.setdefault((name, mode), []).append(_judging(bound))
        else:
            around[("", mode)] = []
    extra = cls.model_config.get("extra")
    is_known = extra == "forbid" and not any(name == "" for name, _ in around)
    is_strict = bool(cls.model_config.get("strict"))
    fields = []
    for name, declaration in cls.__declared__.items():
        before = tuple(reversed(around.get((name, "before"), [])))
        after = tuple(around.get((name, "after"), []))
        default, factory = _default(declaration)
        check = _check_of(declaration, from_json, is_strict) if is_known else TAKE_NONE
        between = (before, after) if before or after else None
        types = check.types if between is None else frozenset()
        fields.append(_Field(name, types, check.take, between, default, factory))
    return _Plan(tuple(fields), tuple(judges))


def _judging(bound: Any) -> _Judging:
    """Return a validator of a field as one that is always given the values before it."""
    if bound.__func__.__code__.co_argcount == len(("cls", "value", "info")):
        return lambda value, values: bound(value, _Info(values))
    return lambda value, _values: bound(value)


def _default(declaration: Declaration) -> tuple[Any, Callable[[], Any] | None]:
    given = declaration.given
    if not isinstance(given, Word):
        return given, None
    default = given.args[0] if given.args else given.options.get("default", MISSING)
    return (MISSING if default is ... else default), given.options.get("default_factory")


def _check_of(declaration: Declaration, from_json: bool, is_strict: bool) -> Check:
    words = [one for one in (declaration.given,) if isinstance(one, Word) and not says_nothing(one)]
    if words:
        return check_of(declaration.annotation, words, from_json, is_strict)
    key = (declaration.annotation, from_json, is_strict)
    if key not in _KNOWN_CHECKS:
        _KNOWN_CHECKS[key] = check_of(key[0], words, from_json, is_strict)
    return _KNOWN_CHECKS[key]
