"""The words with which models are declared: pydantic's, understood without loading pydantic.

A model of this package is a pydantic model to anybody who reads it, checks its types or asks for
its schema. But nearly everything that a run makes is good already; to see that takes no parser, and
pydantic and its parsers take longer to load than everything else. So a value that is plainly of the
kind that its field declares is taken (accepting.py) and written (dumping.py) without pydantic.
Everything else, including all that is wrong and all that is read back, is pydantic's (parsed.py).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from fsm_orchestrator.model import dumping
from fsm_orchestrator.model.accepting import defaults_of, fill, put
from fsm_orchestrator.model.checking import NotPlainError
from fsm_orchestrator.model.words import MISSING, Declaration, Judge, LeftOut, judge, word

if TYPE_CHECKING:
    from pydantic import ConfigDict
else:
    ConfigDict = dict


class _Declaring(type):
    """A metaclass that collects what a class declares; nothing is built before it is used.

    `__also__` of a class has the annotation and the value of fields whose names are keywords of
    Python; they come first.
    """

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        """Make the class of a declaration."""
        fields: dict[str, Declaration] = {}
        judges: dict[str, Judge] = {}
        config: dict[str, Any] = {}
        for base in bases:
            config |= getattr(base, "model_config", {})
        for base in reversed(bases):
            fields |= getattr(base, "__declared__", {})
            judges |= getattr(base, "__judges__", {})
        module = namespace["__module__"]
        for field, (annotation, given) in namespace.pop("__also__", {}).items():
            fields[field] = Declaration(annotation, given, module)
        for field, annotation in namespace.get("__annotations__", {}).items():
            given = namespace.pop(field, MISSING)
            if type(given).__module__ == "pydantic.fields":
                raise TypeError(f"{name}.{field}: declare it with the Field of {__name__}")
            fields[field] = Declaration(annotation, given, module)
        judges |= {key: one for key, one in namespace.items() if isinstance(one, Judge)}
        namespace |= {
            "model_config": config | namespace.get("model_config", {}),
            "__declared__": fields,
            "__judges__": judges,
            "__left_out__": {
                field: one.given.options["default"]
                for field, one in fields.items()
                if isinstance(one.given, LeftOut)
            },
            "__plans__": {},
            "__forms__": {},
        }
        return super().__new__(cls, name, bases, namespace, **options)

    @property
    def model_fields(cls: Any) -> Mapping[str, Declaration]:
        """The fields of the model, in order."""
        declared: Mapping[str, Declaration] = cls.__declared__
        return declared


class Model(metaclass=_Declaring):
    """The counterpart of pydantic's BaseModel, to make, copy, compare and write models."""

    __slots__ = (
        *("__compact__", "__dict__", "__indented__", "__pydantic_extra__"),
        *("__pydantic_fields_set__", "__pydantic_private__"),
    )

    def __init__(self, /, **given: Any) -> None:
        """Take the given values.

        Raises:
            pydantic.ValidationError: they are not as declared.
        """
        try:
            fill(self, given)
        except NotPlainError:
            self._parse(given)

    def _parse(self, given: dict[str, Any]) -> None:
        with self._refusing():
            self._parser().validate_python(given, self_instance=self)

    @classmethod
    def _parser(cls) -> Any:
        from fsm_orchestrator.model.parsed import parser_of  # noqa: PLC0415 - not for a good run

        return parser_of(cls)

    @classmethod
    @contextlib.contextmanager
    def _refusing(cls) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise cls.refusal(error) from None

    @classmethod
    def refusal(cls, error: Any) -> Exception:
        """Return the error to raise if pydantic finds something wrong."""
        refused: Exception = error
        return refused

    @classmethod
    def plainly_made(cls, given: Mapping[str, Any], *, from_json: bool = False) -> Self:
        """Return the model of values that are plainly good.

        Raises:
            NotPlainError: not all values are plainly good.
        """
        made = cls.__new__(cls)
        fill(made, given, from_json=from_json)
        return made

    @classmethod
    def model_validate(cls, given: Any, *, strict: bool | None = None) -> Self:
        """Return the model of the given values."""
        if strict is None and type(given) is dict and all(type(key) is str for key in given):
            with contextlib.suppress(NotPlainError):
                return cls.plainly_made(given)
        with cls._refusing():
            parsed: Self = cls._parser().validate_python(given, strict=strict)
        return parsed

    @classmethod
    def model_validate_json(cls, text: str | bytes) -> Self:
        """Return the model of a JSON document: pydantic judges whatever is read back."""
        with cls._refusing():
            parsed: Self = cls._parser().validate_json(text)
        return parsed

    @classmethod
    def model_construct(cls, **values: Any) -> Self:
        """Return a model of values that are known to be good."""
        made = cls.__new__(cls)
        put(made, {**defaults_of(cls), **values}, set(values))
        return made

    @classmethod
    def model_json_schema(cls, **options: Any) -> dict[str, Any]:
        """Return the model's JSON Schema."""
        from fsm_orchestrator.model.parsed import parsed_form  # noqa: PLC0415 - not for a run

        schema: dict[str, Any] = parsed_form(cls).model_json_schema(**options)
        return schema

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """Return the schema by which pydantic parses the model."""
        from fsm_orchestrator.model.parsed import schema_of  # noqa: PLC0415 - pydantic asks

        return schema_of(cls)

    @property
    def model_fields_set(self) -> set[str]:
        """The names of the fields that were given."""
        given: set[str] = self.__pydantic_fields_set__  # type: ignore[attr-defined]
        return given

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return a copy with other values for some fields; these are not validated."""
        cls = type(self)
        values, given = dict(self.__dict__), set(self.model_fields_set)
        if update:
            if len(values) > len(cls.model_fields):  # cached properties are not copied
                values = self._values()
            values.update(update)
            given.update(update)
        made = cls.__new__(cls)
        put(made, values, given)
        return made

    def model_dump(self, *, mode: str = "python", **options: Any) -> dict[str, Any]:
        """Return the model as a dictionary."""
        if options.keys() <= {"exclude", "exclude_none"}:
            try:
                return dumping.dumped(self, is_json=mode == "json", **options)
            except NotPlainError:
                pass
        from fsm_orchestrator.model.parsed import serializer_of  # noqa: PLC0415 - rare

        made: dict[str, Any] = serializer_of(type(self)).to_python(self, mode=mode, **options)
        return made

    def model_dump_json(self, *, indent: int | None = None) -> str:
        """Return the model as JSON."""
        try:
            return dumping.compact(self) if indent is None else dumping.indented(self, indent)
        except NotPlainError:
            from fsm_orchestrator.model.parsed import serializer_of  # noqa: PLC0415 - rare

            return serializer_of(type(self)).to_json(self, indent=indent).decode()

    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse("frozen_instance", name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse("frozen_instance", name, None)

    def _refuse(self, kind: str, name: str, value: Any) -> None:
        from pydantic_core import ValidationError  # noqa: PLC0415 - rare

        raise ValidationError.from_exception_data(
            type(self).__name__,
            [{"type": kind, "loc": (name,), "input": value}],
        )

    def _values(self) -> dict[str, Any]:
        """Return the values of the fields, without cached properties."""
        return {name: self.__dict__[name] for name in type(self).model_fields}

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.__dict__ == other.__dict__ or self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), *self._values().values()))

    def __copy__(self) -> Self:
        made = type(self).__new__(type(self))
        put(made, dict(self.__dict__), set(self.model_fields_set))
        return made

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        made = type(self).__new__(type(self))
        put(made, copy.deepcopy(self.__dict__, memo), set(self.model_fields_set))
        return made

    def __getstate__(self) -> tuple[dict[str, Any], set[str]]:
        return self.__dict__, self.model_fields_set

    def __setstate__(self, state: tuple[dict[str, Any], set[str]]) -> None:
        put(self, *state)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from self._values().items()

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the parts of the model that are shown."""
        yield from self._values().items()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._shown())})"

    def __str__(self) -> str:
        return " ".join(self._shown())

    def _shown(self) -> Iterator[str]:
        return (f"{name}={value!r}" for name, value in self.__repr_args__())


def left_out(default: Any, description: str) -> Any:
    """Return a field that is omitted from what is written while it has its default."""
    return LeftOut("Field", (), {"default": default, "description": description})


def __getattr__(name: str) -> Any:
    """Return pydantic's error: code that may raise it names it, and needs it only when raising."""
    if name != "ValidationError":
        raise AttributeError(name)
    from pydantic_core import ValidationError  # noqa: PLC0415 - see above

    return ValidationError


if TYPE_CHECKING:
    from pydantic import (
        BaseModel,
        BeforeValidator,
        FailFast,
        Field,
        Strict,
        StringConstraints,
        ValidationError,
        WithJsonSchema,
        field_validator,
        model_validator,
    )
else:
    BaseModel = Model
    BeforeValidator = word("BeforeValidator")
    FailFast = word("FailFast")
    Field = word("Field")
    Strict = word("Strict")
    StringConstraints = word("StringConstraints")
    WithJsonSchema = word("WithJsonSchema")
    field_validator = judge("field_validator")
    model_validator = judge("model_validator")

__all__ = [
    "BaseModel",
    "BeforeValidator",
    "ConfigDict",
    "FailFast",
    "Field",
    "Strict",
    "StringConstraints",
    "ValidationError",
    "WithJsonSchema",
    "field_validator",
    "left_out",
    "model_validator",
]
