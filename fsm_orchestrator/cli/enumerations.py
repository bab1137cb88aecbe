"""Makes this package's enumerations as `enum` does, in a fraction of the time.

A start defines three hundred members. For each value `enum` checks whether it is a member, a method
or generated, and for each base class whether it has an attribute of that name. Here `enum` makes
one class without members of each kind; the package's classes are made like it, and plain members
are put into them.

This affects the command's own process only. `enum` itself makes whatever is not plain, and
everything in a Python that this was not checked against.
"""

from __future__ import annotations

import enum
import sys
from enum import Enum, IntEnum, StrEnum
from types import FunctionType
from typing import Any, Final

_NOT_TRIED: Final = (3, 14)
"""The first Python whose `enum` the result was not compared with."""
_PLACE: Final = f"{__name__.partition('.')[0]}."
_VALUES: Final[dict[Any, tuple[Any, tuple[type, ...]]]] = {
    (StrEnum,): (str.__new__, (str,)),
    (IntEnum,): (int.__new__, (int,)),
    (Enum,): (lambda kind, _: object.__new__(kind), (str, int)),
}
"""The constructor of members and the types of their values, by the bases of a class."""
_METHODS: Final = (FunctionType, property, classmethod, staticmethod)
_OF_CLASS: Final = frozenset(
    ("__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__")
)
_OF_EACH: Final = _OF_CLASS | {"__dict__", "__weakref__"}
"""The attributes that Python makes for each class separately."""


class _Body(dict[str, Any]):
    """The definitions in the body of a class of this package, in order."""


def install() -> None:
    """Make this package's enumerations here from now on."""
    if sys.version_info >= _NOT_TRIED:
        return
    kind: Any = enum.EnumType
    prepare, make = kind.__prepare__.__func__, kind.__new__
    empty: dict[Any, dict[str, Any]] = {}

    def prepared(meta: Any, name: str, bases: Any, /, **given: Any) -> Any:
        defining: Any = sys._getframe(1)  # noqa: SLF001 - the only way to know whose class it is
        is_ours = bases in _VALUES and defining.f_globals["__name__"].startswith(_PLACE)
        return _Body() if is_ours and not given else prepare(meta, name, bases, **given)

    def made(meta: Any, name: str, bases: Any, namespace: Any, **given: Any) -> Any:
        if type(namespace) is not _Body:
            return make(meta, name, bases, namespace, **given)
        members = _plain_members(namespace, _VALUES[bases][1])
        if not members:
            classes = prepare(meta, name, bases)
            for key, value in namespace.items():
                classes[key] = value
            return make(meta, name, bases, classes)
        if bases not in empty:
            empty[bases] = _of_every(make(meta, name, bases, prepare(meta, name, bases)))
        own = {key: value for key, value in namespace.items() if key not in members}
        common = {
            key: value.copy() if isinstance(value, (dict, list)) else value
            for key, value in empty[bases].items()
        }
        one = type.__new__(meta, name, bases, common | own)
        _put(one, members, _VALUES[bases][0])
        return one

    kind.__prepare__ = classmethod(prepared)
    kind.__new__ = made


def _of_every(made: type) -> dict[str, Any]:
    """Return what `enum` has put into a class without members, methods and text of its own."""
    return {key: value for key, value in vars(made).items() if key not in _OF_EACH}


def _plain_members(namespace: dict[str, Any], types: tuple[type, ...]) -> dict[str, Any]:
    """Return the members of a class by their names; empty if one of them is not plain."""
    members = {}
    for key, value in namespace.items():
        if type(value) in types and not key.startswith("_"):
            members[key] = value
        elif not (isinstance(value, _METHODS) or key in _OF_CLASS):
            return {}
    has_special = any(key.startswith("_") and key not in _OF_CLASS for key in namespace)
    return {} if has_special or len(set(members.values())) < len(members) else members


def _put(kind: Any, members: dict[str, Any], make: Any) -> None:
    hashable = getattr(kind, "_hashable_values_", [])  # from Python 3.13
    for index, (name, value) in enumerate(members.items()):
        member = make(kind, value)
        member._name_ = name
        member._value_ = value
        member.__objclass__ = kind
        member._sort_order_ = index
        kind._member_names_.append(name)
        kind._member_map_[name] = member
        kind._value2member_map_[value] = member
        hashable.append(value)
        type.__setattr__(kind, name, member)
