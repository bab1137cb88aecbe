"""The generators of the published JSON Schemas, based on pydantic's."""

from __future__ import annotations

from typing import Any, TypeAlias

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import (
    DictSchema,
    LiteralSchema,
    ModelSchema,
    TaggedUnionSchema,
    WithDefaultSchema,
)

Schema: TypeAlias = dict[str, Any]


class Generator(GenerateJsonSchema):
    """Pydantic's generator, without titles that repeat the key and without keywords of OpenAPI.

    A key that may be left out is never null: TOML has no null, and an event leaves out a key for
    which it has no value.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: a title would repeat the key."""
        del schema
        return False

    def tagged_union_schema(self, schema: TaggedUnionSchema) -> Schema:
        """Return a plain `oneOf`."""
        document = super().tagged_union_schema(schema)
        document.pop("discriminator", None)
        return document

    def literal_schema(self, schema: LiteralSchema) -> Schema:
        """Return a single value as `const` only; the lowest pydantic supported adds an `enum`."""
        document = super().literal_schema(schema)
        if "const" in document:
            document.pop("enum", None)
        return document

    def dict_schema(self, schema: DictSchema) -> Schema:
        """Return a schema that refuses keys that do not match, as `patternProperties` would not."""
        return {
            "type": "object",
            "propertyNames": self.generate_inner(schema["keys_schema"]),
            "additionalProperties": self.generate_inner(schema["values_schema"]),
        }

    def default_schema(self, schema: WithDefaultSchema) -> Schema:
        """Return the schema of the key when it is present, without a default that is null."""
        inner = schema["schema"]
        if schema.get("default", ...) is None and inner["type"] == "nullable":
            return self.generate_inner(inner["schema"])
        return super().default_schema(schema)


class WrittenGenerator(Generator):
    """The generator for files that only the program writes.

    A key is present, null if it has no value, or left out.
    """

    def model_schema(self, schema: ModelSchema) -> Schema:
        """Return a schema that requires every key except those left out at their default."""
        document = super().model_schema(schema)
        left_out = getattr(schema["cls"], "__left_out__", {})
        if left_out and "required" in document:
            document["required"] = [key for key in document["required"] if key not in left_out]
        return document

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Return True: every key is written."""
        del field, total
        return True

    def default_schema(self, schema: WithDefaultSchema) -> Schema:
        """Return the schema of the key alone: it is always present, so its default says nothing."""
        return self.generate_inner(schema["schema"])
