"""Pydantic's form of a declared model: its parser, its serializer, its schema.

It is made from the same declaration, when something has to be judged, read back or described; its
parser makes instances of the declared class.
"""

from __future__ import annotations

import types
import typing
import warnings
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pydantic
from pydantic_core import CoreSchema, SchemaSerializer, SchemaValidator

from fsm_orchestrator.model.words import MISSING, Declaration, Word


def parsed_form(cls: Any) -> Any:
    """Return pydantic's form of a declared model."""
    forms = cls.__forms__
    if "model" not in forms:
        forms["model"] = _made(cls)
    return forms["model"]


def schema_of(cls: Any) -> CoreSchema:
    """Return the schema by which pydantic parses a model: instances are of the declared class."""
    form = parsed_form(cls)
    schema: CoreSchema = _with_class(form.__pydantic_core_schema__, form, cls)
    return schema


def adapter_of(annotation: Any) -> pydantic.TypeAdapter[Any]:
    """Return the adapter that parses values of a type declared with this package's words."""
    return pydantic.TypeAdapter(_annotation(annotation))


def parser_of(cls: Any) -> SchemaValidator:
    """Return the parser of a model."""
    forms = cls.__forms__
    if "parser" not in forms:
        forms["parser"] = _built(SchemaValidator, cls)
    parser: SchemaValidator = forms["parser"]
    return parser


def serializer_of(cls: Any) -> SchemaSerializer:
    """Return the serializer of a model."""
    forms = cls.__forms__
    if "serializer" not in forms:
        forms["serializer"] = _built(SchemaSerializer, cls)
    serializer: SchemaSerializer = forms["serializer"]
    return serializer


def _built(kind: Callable[..., Any], cls: Any) -> Any:
    """Return what pydantic builds from a schema and its settings, which may hide given values."""
    schema: Any = schema_of(cls)
    model = schema
    while model["type"] != "model":
        model = model["schema"]
    return kind(schema, model["config"])


def _made(cls: Any) -> Any:
    namespace: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__annotations__": {},
        "model_config": cls.model_config,
    }
    for name, declaration in cls.__declared__.items():
        namespace["__annotations__"][name] = _annotation(declaration.annotation)
        if declaration.given is not MISSING:
            namespace[name] = _given(declaration)
    if cls.__left_out__:
        namespace["_leave_out"] = _leaving_out(cls.__left_out__)
    for name, judge in cls.__judges__.items():
        namespace[name] = judge.word.made()(judge.function)
    with warnings.catch_warnings():
        # A field may have the name of an old method of pydantic's, which nobody calls.
        warnings.filterwarnings("ignore", "Field name .* shadows an attribute", UserWarning)
        return types.new_class(
            cls.__name__, (pydantic.BaseModel,), exec_body=lambda body: body.update(namespace)
        )


def _leaving_out(absent: Mapping[str, Any]) -> Any:
    """Return a serializer that omits the fields that have these defaults."""

    def leave_out(self: Any, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        values, written = vars(self), write(self)
        return {
            name: one
            for name, one in written.items()
            if name not in absent or values[name] != absent[name]
        }

    # Its return type is not declared: the JSON Schema is that of the model.
    del leave_out.__annotations__["return"]
    return pydantic.model_serializer(mode="wrap")(leave_out)


def _given(declaration: Declaration) -> Any:
    given = declaration.given
    return given.made() if isinstance(given, Word) else given


def _annotation(one: Any) -> Any:
    """Return an annotation in pydantic's own words."""
    args = typing.get_args(one)
    if not args or typing.get_origin(one) is typing.Literal:
        return one
    if typing.get_origin(one) is Annotated:
        words = (word.made() if isinstance(word, Word) else word for word in one.__metadata__)
        return Annotated[(_annotation(one.__origin__), *words)]
    inner = tuple(_annotation(arg) for arg in args)
    if isinstance(one, types.UnionType):
        return typing.Union[inner]  # noqa: UP007
    origin = typing.get_origin(one)
    return typing.Union[inner] if origin is typing.Union else origin[inner]  # noqa: UP007


def _with_class(schema: Any, form: Any, cls: Any) -> Any:
    """Return a schema that makes instances of one class instead of those of another."""
    if isinstance(schema, dict):
        return {
            key: cls if one is form and key == "cls" else _with_class(one, form, cls)
            for key, one in schema.items()
        }
    if isinstance(schema, list):
        return [_with_class(one, form, cls) for one in schema]
    return schema
