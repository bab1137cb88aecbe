"""Field types that several models share, and the base class of all of them.

A type that most runs have no value of is named by `lazily`: its models are loaded with a value.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, StringConstraints
from pydantic_core import CoreSchema, core_schema, to_json

from fsm_orchestrator.constants import RUN_ID_PATTERN, STATE_NAME_PATTERN

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler, TypeAdapter


def _refuse_bool(value: Any) -> Any:
    """Refuse true and false as numbers: Python compares True equal to 1."""
    if isinstance(value, bool):
        raise ValueError("is a number, not true or false")  # noqa: TRY004 - pydantic's protocol
    return value


Timestamp = Annotated[
    str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", max_length=24)
]
StateName = Annotated[str, StringConstraints(pattern=f"^{STATE_NAME_PATTERN}$", max_length=64)]
RunId = Annotated[str, StringConstraints(pattern=f"^{RUN_ID_PATTERN}$")]
Count = Annotated[int, Field(ge=0)]
Ordinal = Annotated[int, Field(ge=1)]
SchemaVersion = Annotated[Literal[1], BeforeValidator(_refuse_bool)]

Many = FailFast()
"""For long lists: validation stops at the first wrong entry. All errors of a list made to be wrong
would take a hundred thousand times the file's size."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class StrictModel(BaseModel):
    """Base of everything kept: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Lazily(NamedTuple):
    """A type of a module that is loaded when the first value is read, or for its schema.

    Attributes:
        module: its full name.
        name: the name of a model, or of a type that stands for several.
    """

    module: str
    name: str

    def read(self, value: Any) -> Any:
        """Return the value as the type has it.

        Raises:
            pydantic.ValidationError: it is none; the places are those in the document.
        """
        adapter = self._adapter()
        if isinstance(value, dict):
            return adapter.validate_json(to_json(value))
        return adapter.validate_python(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Return a schema that knows the type by its name alone."""
        del source, handler
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value, info: value.model_dump(
                    mode=info.mode, by_alias=info.by_alias, exclude_none=info.exclude_none
                ),
                info_arg=True,
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: "GetJsonSchemaHandler"
    ) -> dict[str, Any]:
        """Return the JSON Schema of the type itself."""
        del schema
        # Wrapped, so that what the type itself says of its JSON Schema is asked for.
        return handler(
            core_schema.no_info_before_validator_function(self.read, self._adapter().core_schema)
        )

    def _adapter(self) -> "TypeAdapter[Any]":
        from pydantic import TypeAdapter  # noqa: PLC0415 - only with a value

        return TypeAdapter(getattr(import_module(self.module), self.name))


def lazily(module: str, name: str) -> Any:
    """Return the annotation of a field whose type is loaded only with a value."""
    return Annotated[Any, Lazily(module, name)]
