"""Checks of single values: each takes values that are plainly of the type that a field declares.

Pydantic would take each value that is taken here, with the same result; nothing is refused or
explained.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final, NamedTuple

from fsm_orchestrator.model.words import Word
from fsm_orchestrator.text.late_pattern import late_pattern


class Check(NamedTuple):
    """The check of a field's values.

    Attributes:
        types: the types whose values are all taken unchanged: `take` would return them.
        take: returns a value as the model has it, or raises NotPlainError.
    """

    types: frozenset[type]
    take: Callable[[Any], Any]


_NO_TYPES: Final[frozenset[type]] = frozenset()
_NONE: Final = frozenset({types.NoneType})
_SAYING_NOTHING: Final = frozenset({"default", "default_factory", "description", "strict"})
"""The options of a field that refuse no value of the declared type."""
_JUDGED: Final = frozenset({"ge", "le", "max_length", "min_length", "pattern"})


class NotPlainError(Exception):
    """A value is not plainly of the declared kind."""


def judged(judge: Callable[..., Any], *values: Any) -> Any:
    """Return the result of a validator for a value.

    Raises:
        NotPlainError: the validator refuses it.
    """
    try:
        return judge(*values)
    except (ValueError, AssertionError) as error:
        raise NotPlainError from error


def says_nothing(one: Word) -> bool:
    """Return whether no option of a field can refuse a value of the declared type."""
    return one.options.keys() <= _SAYING_NOTHING


def _refuse(_value: Any) -> Any:
    raise NotPlainError


TAKE_NONE: Final = Check(_NO_TYPES, _refuse)
"""The check that takes nothing: such a declaration is not understood here."""


def check_of(annotation: Any, words: list[Any], from_json: bool, is_strict: bool) -> Check:
    """Return the check of an annotation; one that takes nothing if the annotation is unknown."""
    if typing.get_origin(annotation) is Annotated:
        words = [*annotation.__metadata__, *words]
        annotation = annotation.__origin__
    limits: dict[str, Any] = {}
    before = []
    for one in words:
        if not isinstance(one, Word):
            return TAKE_NONE
        match one.name:
            case "Field" | "StringConstraints":
                options = {k: v for k, v in one.options.items() if k not in _SAYING_NOTHING}
                if not options.keys() <= _JUDGED:
                    return TAKE_NONE
                limits |= options
            case "BeforeValidator":
                before.append(one.args[0])
            case "FailFast" | "Strict" | "WithJsonSchema":
                pass
            case _:
                return TAKE_NONE
    check = _bounded(_of_type(annotation, from_json, is_strict), limits)
    if not before:
        return check
    if len(before) > 1 or before[0].__code__.co_argcount != 1:
        return TAKE_NONE
    return Check(_NO_TYPES, lambda value: check.take(judged(before[0], value)))


_SIZED: Final = (tuple, dict)


def _bounded(check: Check, limits: Mapping[str, Any]) -> Check:
    """Return a check that also enforces the limits; null is within all of them."""
    if not limits:
        return check
    least, most = limits.get("ge", -math.inf), limits.get("le", math.inf)
    shortest, longest = limits.get("min_length", 0), limits.get("max_length", math.inf)
    text, take = _text_within(limits), check.take
    if take is _text:
        return Check(_NO_TYPES, text)

    def bounded(value: Any) -> Any:
        value = take(value)
        if value is None:
            return value
        if isinstance(value, str):
            return text(value)
        if isinstance(value, _SIZED):
            if not shortest <= len(value) <= longest or "pattern" in limits:
                raise NotPlainError
        elif not (isinstance(value, int) and least <= value <= most):
            raise NotPlainError
        return value

    return Check(check.types & _NONE, bounded)


def _text_within(limits: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return a function that takes text within limits."""
    pattern = limits.get("pattern")
    # If a text ends with a line break, Python's `$` matches before it.
    matches = None if pattern is None else late_pattern(pattern, re.ASCII)
    shortest, longest = limits.get("min_length", 0), limits.get("max_length", math.inf)

    def take(value: Any) -> Any:
        if type(value) is not str or not shortest <= len(value) <= longest:
            raise NotPlainError
        if matches is not None and (value[-1:] == "\n" or not matches.search(value)):
            raise NotPlainError
        return value if value.isascii() else _text(value)

    return take


def _of_type(annotation: Any, from_json: bool, is_strict: bool) -> Check:
    """Return the check of a type, without any limits."""
    origin = typing.get_origin(annotation)
    args = typing.get_args(annotation)

    def below(one: Any) -> Check:
        return check_of(one, [], from_json, is_strict)

    if annotation in _CHECKS:
        return _CHECKS[annotation]
    if origin in {types.UnionType, typing.Union}:
        others = [below(one) for one in args if one is not types.NoneType]
        check = others[0] if len(others) == 1 else _any_of(others)
        return check if len(others) == len(args) else _or_none(check)
    if origin is typing.Literal:
        return _literal(args)
    if origin is tuple and args[1:] == (...,):
        return _tuple(below(args[0]), list if from_json else tuple)
    if origin in {dict, Mapping}:
        return _dict(below(args[0]), below(args[1]))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _enum(annotation, takes_text=from_json or not is_strict)
    if hasattr(annotation, "__declared__"):
        return _model(annotation, from_json, takes_dict=from_json or not is_strict)
    return TAKE_NONE


def _text(value: Any) -> Any:
    if type(value) is not str:
        raise NotPlainError
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotPlainError from None
    return value


def _exactly(kind: type) -> Check:
    def take(value: Any) -> Any:
        if type(value) is not kind:
            raise NotPlainError
        return value

    return Check(frozenset({kind}), take)


def _finite(value: Any) -> Any:
    if type(value) is not float or not math.isfinite(value):
        raise NotPlainError
    return value


_CHECKS: Final[Mapping[Any, Check]] = {
    str: Check(_NO_TYPES, _text),
    int: _exactly(int),
    bool: _exactly(bool),
    float: Check(_NO_TYPES, _finite),
    datetime: _exactly(datetime),
    types.NoneType: _exactly(types.NoneType),
    None: _exactly(types.NoneType),
}


def _any_of(checks: list[Check]) -> Check:
    """Return the check of a union: exactly one member must take the value."""

    def take(value: Any) -> Any:
        taken = []
        for one in checks:
            try:
                taken.append(one.take(value))
            except NotPlainError:
                continue
        if len(taken) != 1:
            raise NotPlainError
        return taken[0]

    return Check(_NO_TYPES, take)


def _or_none(check: Check) -> Check:
    """Return a check that also takes null."""

    def take(value: Any) -> Any:
        return None if value is None else check.take(value)

    return Check(check.types | _NONE, take)


def _literal(allowed: tuple[Any, ...]) -> Check:
    def take(value: Any) -> Any:
        if type(value) not in {str, int} or (type(value), value) not in known:
            raise NotPlainError
        return value

    known = {(type(one), one) for one in allowed}
    return Check(_NO_TYPES, take)


def _enum(kind: Any, *, takes_text: bool) -> Check:
    def take(value: Any) -> Any:
        if type(value) is kind:
            return value
        if takes_text and type(value) is str:
            try:
                return kind(value)
            except ValueError:
                raise NotPlainError from None
        raise NotPlainError

    return Check(frozenset({kind}), take)


def _tuple(each: Check, kind: type[list[Any] | tuple[Any, ...]]) -> Check:
    def take(value: Any) -> Any:
        if type(value) is not kind:
            raise NotPlainError
        if not value:
            return ()
        return tuple([one if type(one) in each.types else each.take(one) for one in value])

    return Check(_NO_TYPES, take)


def _dict(of_key: Check, of_value: Check) -> Check:
    def take(value: Any) -> Any:
        if type(value) is not dict:
            raise NotPlainError
        return {of_key.take(key): of_value.take(one) for key, one in value.items()}

    return Check(_NO_TYPES, take)


def _model(cls: Any, from_json: bool, *, takes_dict: bool) -> Check:
    def take(value: Any) -> Any:
        if type(value) is cls and not from_json:
            return value
        if takes_dict and type(value) is dict and all(type(key) is str for key in value):
            if not from_json and cls.model_config.get("strict"):
                raise NotPlainError
            return cls.plainly_made(value, from_json=from_json)
        raise NotPlainError

    return Check(_NO_TYPES if from_json else frozenset({cls}), take)
