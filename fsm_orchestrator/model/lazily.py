"""Field types whose models are loaded only for a value: most runs have none."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema


class Lazily(NamedTuple):
    """A type in a module that is loaded when the first value is read, or for the type's schema.

    Attributes:
        module: the full name of the module.
        name: the name of a model, or of a type that stands for several models.
    """

    module: str
    name: str

    def read(self, value: Any) -> Any:
        """Return the value as the type has it.

        Raises:
            pydantic.ValidationError: it is not such a value; the locations are those in the
                document.
        """
        from pydantic_core import to_json  # noqa: PLC0415 - only with a value

        adapter = _adapter_of(self)
        if isinstance(value, dict):
            return adapter.validate_json(to_json(value))
        return adapter.validate_python(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Return a schema that knows the type only by its name."""
        from pydantic_core import core_schema  # noqa: PLC0415 - pydantic asks

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
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON Schema of the type itself."""
        from pydantic_core import core_schema  # noqa: PLC0415 - pydantic asks

        del schema
        # Wrapped, so that the type's own additions to its JSON Schema are used.
        return handler(
            core_schema.no_info_before_validator_function(self.read, _adapter_of(self).core_schema)
        )


@cache
def _adapter_of(lazy: Lazily) -> TypeAdapter[Any]:
    """Return the adapter that reads values of the type, made only once."""
    from fsm_orchestrator.model.parsed import adapter_of  # noqa: PLC0415 - only with a value

    return adapter_of(getattr(import_module(lazy.module), lazy.name))


def lazily(module: str, name: str) -> Any:
    """Return the annotation of a field whose type is loaded only for a value."""
    return Annotated[Any, Lazily(module, name)]
