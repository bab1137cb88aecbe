"""Takes values that are plainly what their field declares.

What is taken here, pydantic would take, and make the same of it; what is not may still be good, or
wrong, and is for pydantic to judge. So nothing here refuses, converts or explains.
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

from fsm_orchestrator.model.words import MISSING, Declaration, Word
from fsm_orchestrator.text.late_pattern import late_pattern

Check = Callable[[Any], Any]
"""Returns a value as the model has it, or raises NotPlainError."""
_SAYING_NOTHING: Final = frozenset({"default", "default_factory", "description", "strict"})
"""Options of a field that refuse no value whose type is the one declared."""
_KNOWN_CHECKS: Final[dict[Any, Check]] = {}
"""The checks of what several fields declare."""
_JUDGED: Final = frozenset({"ge", "le", "max_length", "min_length", "pattern"})


class NotPlainError(Exception):
    """A value is not plainly what is declared."""


class _Field(NamedTuple):
    """How a field is filled.

    Attributes:
        before, after: the validators around the check, as bound functions.
        default: `MISSING` where the field has to be given, or is made by a factory.
    """

    name: str
    check: Check
    before: tuple[Check, ...]
    after: tuple[Check, ...]
    default: Any
    factory: Callable[[], Any] | None


class _Plan(NamedTuple):
    """How a model is filled; `judges` look at it when it is."""

    fields: tuple[_Field, ...]
    judges: tuple[Callable[[Any], Any], ...]


def fill(model: Any, given: Mapping[str, Any], *, from_json: bool = False) -> None:
    """Give a new model its values.

    Raises:
        NotPlainError: not all of them are plainly good; the model is as it was.
    """
    plan = _plan_of(type(model), from_json)
    values: dict[str, Any] = {}
    known = 0
    for name, check, before, after, default, factory in plan.fields:
        value = given.get(name, MISSING)
        if value is MISSING:
            if factory is not None:
                value = factory()
            elif default is MISSING:
                raise NotPlainError
            else:
                value = default
        else:
            known += 1
            for judge in before:
                value = _judged(judge, value)
            value = check(value)
            for judge in after:
                value = _judged(judge, value)
        values[name] = value
    if known != len(given):
        raise NotPlainError
    put(model, values, set(given))
    for judge in plan.judges:
        if _judged(judge, model) is not model:
            raise NotPlainError


def plainly(cls: Any, document: Mapping[str, Any]) -> Any:
    """Return the model of what a document has; None where that is for pydantic to judge."""
    model = cls.__new__(cls)
    try:
        fill(model, document, from_json=True)
    except NotPlainError:
        return None
    return model


def put(model: Any, values: dict[str, Any], given: set[str]) -> None:
    """Set what pydantic sets of a model that it has made."""
    object.__setattr__(model, "__dict__", values)
    object.__setattr__(model, "__pydantic_fields_set__", given)
    object.__setattr__(model, "__pydantic_extra__", None)
    object.__setattr__(model, "__pydantic_private__", None)


def _judged(judge: Callable[[Any], Any], value: Any) -> Any:
    try:
        return judge(value)
    except (ValueError, AssertionError) as error:
        raise NotPlainError from error


def _plan_of(cls: Any, from_json: bool) -> _Plan:
    plans = cls.__plans__
    if from_json not in plans:
        plans[from_json] = _planned(cls, from_json)
    plan: _Plan = plans[from_json]
    return plan


def _planned(cls: Any, from_json: bool) -> _Plan:
    """Return how a model is filled; one that is beyond this has a field that takes nothing."""
    around: dict[tuple[str, str], list[Check]] = {}
    judges = []
    for judge in cls.__judges__.values():
        mode = judge.word.options.get("mode", "after")
        bound = judge.__get__(None, cls)
        if judge.word.name == "model_validator" and mode == "after":
            judges.append(bound)
        elif judge.word.name == "field_validator" and mode in {"before", "after"}:
            for name in judge.word.args:
                around.setdefault((name, mode), []).append(bound)
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
        check = _check_of(declaration, from_json, is_strict) if is_known else _none
        fields.append(_Field(name, check, before, after, default, factory))
    return _Plan(tuple(fields), tuple(judges))


def _default(declaration: Declaration) -> tuple[Any, Callable[[], Any] | None]:
    given = declaration.given
    if not isinstance(given, Word):
        return given, None
    default = given.args[0] if given.args else given.options.get("default", MISSING)
    return (MISSING if default is ... else default), given.options.get("default_factory")


def _check_of(declaration: Declaration, from_json: bool, is_strict: bool) -> Check:
    words = [
        one for one in (declaration.given,) if isinstance(one, Word) and not _says_nothing(one)
    ]
    if words:
        return _checks(declaration.annotation, words, from_json, is_strict)
    key = (declaration.annotation, from_json, is_strict)
    if key not in _KNOWN_CHECKS:
        _KNOWN_CHECKS[key] = _checks(key[0], words, from_json, is_strict)
    return _KNOWN_CHECKS[key]


def _says_nothing(one: Word) -> bool:
    return one.options.keys() <= _SAYING_NOTHING


def _none(_value: Any) -> Any:
    raise NotPlainError


def _checks(annotation: Any, words: list[Any], from_json: bool, is_strict: bool) -> Check:
    """Return the check of what an annotation declares; one that takes nothing if it is unknown."""
    if typing.get_origin(annotation) is Annotated:
        words = [*annotation.__metadata__, *words]
        annotation = annotation.__origin__
    limits: dict[str, Any] = {}
    before = []
    for one in words:
        if not isinstance(one, Word):
            return _none
        match one.name:
            case "Field" | "StringConstraints":
                options = {k: v for k, v in one.options.items() if k not in _SAYING_NOTHING}
                if not options.keys() <= _JUDGED:
                    return _none
                limits |= options
            case "BeforeValidator":
                before.append(one.args[0])
            case "FailFast" | "Strict" | "WithJsonSchema":
                pass
            case _:
                return _none
    check = _bounded(_of_type(annotation, from_json, is_strict), limits)
    if not before:
        return check
    if len(before) > 1 or before[0].__code__.co_argcount != 1:
        return _none
    return lambda value: check(_judged(before[0], value))


def _bounded(check: Check, limits: Mapping[str, Any]) -> Check:
    """Return a check that also holds the limits; None of them says a thing of null."""
    if not limits:
        return check
    pattern = limits.get("pattern")
    # Where a text ends with a line break, Python's `$` matches before it.
    matches = None if pattern is None else late_pattern(pattern, re.ASCII)
    least, most = limits.get("ge", -math.inf), limits.get("le", math.inf)
    shortest, longest = limits.get("min_length", 0), limits.get("max_length", math.inf)

    def bounded(value: Any) -> Any:
        value = check(value)
        if isinstance(value, str):
            if matches is not None and (value.endswith("\n") or not matches.search(value)):
                raise NotPlainError
            if not shortest <= len(value) <= longest:
                raise NotPlainError
        elif isinstance(value, tuple | dict):
            if not shortest <= len(value) <= longest or matches is not None:
                raise NotPlainError
        elif value is not None and not (isinstance(value, int) and least <= value <= most):
            raise NotPlainError
        return value

    return bounded


def _of_type(annotation: Any, from_json: bool, is_strict: bool) -> Check:
    """Return the check of a type, whatever limits it has."""
    origin = typing.get_origin(annotation)
    args = typing.get_args(annotation)

    def below(one: Any) -> Check:
        return _checks(one, [], from_json, is_strict)

    if annotation in _CHECKS:
        return _CHECKS[annotation]
    if origin in {types.UnionType, typing.Union}:
        return _any_of([below(one) for one in args])
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
    return _none


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
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise NotPlainError
        return value

    return check


def _finite(value: Any) -> Any:
    if type(value) is not float or not math.isfinite(value):
        raise NotPlainError
    return value


_CHECKS: Final[Mapping[Any, Check]] = {
    str: _text,
    int: _exactly(int),
    bool: _exactly(bool),
    float: _finite,
    datetime: _exactly(datetime),
    types.NoneType: _exactly(types.NoneType),
    None: _exactly(types.NoneType),
}


def _any_of(checks: list[Check]) -> Check:
    """Return the check of a union: of the one member that takes the value."""

    def check(value: Any) -> Any:
        taken = []
        for one in checks:
            try:
                taken.append(one(value))
            except NotPlainError:
                continue
        if len(taken) != 1:
            raise NotPlainError
        return taken[0]

    return check


def _literal(allowed: tuple[Any, ...]) -> Check:
    def check(value: Any) -> Any:
        if type(value) not in {str, int} or (type(value), value) not in known:
            raise NotPlainError
        return value

    known = {(type(one), one) for one in allowed}
    return check


def _enum(kind: Any, *, takes_text: bool) -> Check:
    def check(value: Any) -> Any:
        if type(value) is kind:
            return value
        if takes_text and type(value) is str:
            try:
                return kind(value)
            except ValueError:
                raise NotPlainError from None
        raise NotPlainError

    return check


def _tuple(each: Check, kind: type[list[Any] | tuple[Any, ...]]) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise NotPlainError
        return tuple([each(one) for one in value])

    return check


def _dict(of_key: Check, of_value: Check) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not dict:
            raise NotPlainError
        return {of_key(key): of_value(one) for key, one in value.items()}

    return check


def _model(cls: Any, from_json: bool, *, takes_dict: bool) -> Check:
    def check(value: Any) -> Any:
        if type(value) is cls and not from_json:
            return value
        if takes_dict and type(value) is dict and all(type(key) is str for key in value):
            if not from_json and cls.model_config.get("strict"):
                raise NotPlainError
            made = cls.__new__(cls)
            fill(made, value, from_json=from_json)
            return made
        raise NotPlainError

    return check
