"""Makes named tuples as `typing` does, in a fraction of the time: a start makes a hundred.

The same is done for the typed dictionaries of click: `typing` compiles the annotation of each key.

`typing` compiles the annotation of each field, compiles a constructor from text, and builds each
class twice. Here a constructor is shared by the classes with as many fields, with its names
changed; the annotations are kept as text, and compiled on request (`typing.get_type_hints`).

This affects the command's own process only. `typing` itself makes what is rare and refuses what is
wrong; Python 3.14 and later, which defer annotations on their own, are left alone.
"""

from __future__ import annotations

import sys
import typing
from _collections import _tuplegetter  # type: ignore[import-not-found]
from collections.abc import Iterable
from types import FunctionType
from typing import Any, Final

_ASKS_LATE: Final = (3, 14)
"""The first Python that compiles annotations only when they are asked for."""
_new: Final = tuple.__new__
_SEEN: Final[dict[str, Any]] = {"_new": _new, "__builtins__": {}, "__name__": __name__}
"""The globals of a constructor."""
_CONSTRUCTORS: Final[tuple[Any, ...]] = (
    lambda _cls: _new(_cls, ()),
    lambda _cls, a: _new(_cls, (a,)),
    lambda _cls, a, b: _new(_cls, (a, b)),
    lambda _cls, a, b, c: _new(_cls, (a, b, c)),
    lambda _cls, a, b, c, d: _new(_cls, (a, b, c, d)),
    lambda _cls, a, b, c, d, e: _new(_cls, (a, b, c, d, e)),
    lambda _cls, a, b, c, d, e, f: _new(_cls, (a, b, c, d, e, f)),
    lambda _cls, a, b, c, d, e, f, g: _new(_cls, (a, b, c, d, e, f, g)),
    lambda _cls, a, b, c, d, e, f, g, h: _new(_cls, (a, b, c, d, e, f, g, h)),
    lambda _cls, a, b, c, d, e, f, g, h, i: _new(_cls, (a, b, c, d, e, f, g, h, i)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j: _new(_cls, (a, b, c, d, e, f, g, h, i, j)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k: _new(_cls, (a, b, c, d, e, f, g, h, i, j, k)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m: _new(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n: _new(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o: _new(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p: _new(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q: _new(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q)
    ),
)
"""The constructors for no field, one, two, and so on; more are rare."""
_OF_TYPING: Final = frozenset(
    {
        *("__new__", "__init__", "__slots__", "__getnewargs__", "__classcell__"),
        *("_fields", "_field_defaults", "_make", "_replace", "_asdict", "_source"),
    }
)
"""The names that a class must not define, and those that need more than is done here."""


def install() -> None:
    """Make named tuples here from now on."""
    meta = vars(typing).get("NamedTupleMeta")
    if meta is None or sys.version_info >= _ASKS_LATE:
        return
    make = meta.__new__

    def made(cls: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        fields = tuple(namespace.get("__annotations__", ()))
        is_plain = (
            len(bases) == 1
            and len(fields) <= len(_GETTERS)
            and _OF_TYPING.isdisjoint(namespace)
            and not any(field.startswith("_") for field in fields)
        )
        defaults = {field: namespace[field] for field in fields if field in namespace}
        if not is_plain or tuple(defaults) != fields[len(fields) - len(defaults) :]:
            return make(cls, name, bases, namespace)
        return _class(name, fields, defaults, namespace)

    meta.__new__ = made
    _install_for_dictionaries(vars(typing).get("_TypedDictMeta"))


def _install_for_dictionaries(meta: Any) -> None:
    """Make typed dictionaries whose annotations are text here from now on."""
    if meta is None:
        return
    make = meta.__new__

    def made(
        cls: type, name: str, bases: Any, namespace: dict[str, Any], total: Any = True, **given: Any
    ) -> Any:
        own = namespace.get("__annotations__", {})
        if given or not own or not all(type(one) is str for one in own.values()):
            return make(cls, name, bases, namespace, total=total, **given)
        one = make(cls, name, bases, {**namespace, "__annotations__": {}}, total=total)
        if not own.keys().isdisjoint(one.__annotations__):
            return make(cls, name, bases, namespace, total=total)
        one.__annotations__ = {**one.__annotations__, **own}
        for kind in ("__required_keys__" if total else "__optional_keys__", "__mutable_keys__"):
            if hasattr(one, kind):  # the second one since Python 3.13
                setattr(one, kind, frozenset({*getattr(one, kind), *own}))
        return one

    meta.__new__ = made


def _class(
    name: str, fields: tuple[str, ...], defaults: dict[str, Any], namespace: dict[str, Any]
) -> type:
    made = {
        "__doc__": f"{name}({', '.join(fields)})",
        "__match_args__": fields,
        **_METHODS,
        **namespace,
        "__slots__": (),
        "__new__": _constructor(name, fields, defaults, namespace),
        "_fields": fields,
        "_field_defaults": defaults,
    }
    for index, field in enumerate(fields):
        made[field] = _GETTERS[index]
    return type(name, (tuple,), made)


def _constructor(
    name: str, fields: tuple[str, ...], defaults: dict[str, Any], namespace: dict[str, Any]
) -> FunctionType:
    if len(fields) < len(_CONSTRUCTORS):
        like = _CONSTRUCTORS[len(fields)]
    else:
        listed = ", ".join(fields)
        like = eval(f"lambda _cls, {listed}: _new(_cls, ({listed}))")  # noqa: S307 - as typing does
    code = like.__code__.replace(
        co_varnames=("_cls", *fields), co_name="__new__", co_qualname=f"{name}.__new__"
    )
    made = FunctionType(code, _SEEN, "__new__", tuple(defaults.values()))
    made.__annotations__ = namespace.get("__annotations__", {})
    return made


_GETTERS: Final = tuple(
    _tuplegetter(index, f"Alias for field number {index}") for index in range(64)
)


def _make(cls: Any, iterable: Iterable[Any]) -> Any:
    """Make one from a sequence or iterable."""
    made = _new(cls, iterable)
    if len(made) != len(cls._fields):
        raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
    return made


def _replace(self: Any, /, **given: Any) -> Any:
    """Return one that has other values for some fields."""
    made = self._make(map(given.pop, self._fields, self))
    if given:
        raise ValueError(f"Got unexpected field names: {list(given)!r}")
    return made


def _shown(self: Any) -> str:
    """Return it as it is written in Python."""
    values = zip(self._fields, self, strict=True)
    return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in values)})"


def _as_dictionary(self: Any) -> dict[str, Any]:
    """Return its values by its fields."""
    return dict(zip(self._fields, self, strict=True))


def _plain(self: Any) -> tuple[Any, ...]:
    """Return it as a plain tuple, for copying and pickling."""
    return tuple(self)


_METHODS: Final[dict[str, Any]] = {
    "_make": classmethod(_make),
    "_replace": _replace,
    "_asdict": _as_dictionary,
    "__repr__": _shown,
    "__getnewargs__": _plain,
}
if sys.version_info >= (3, 13):
    _METHODS["__replace__"] = _replace
