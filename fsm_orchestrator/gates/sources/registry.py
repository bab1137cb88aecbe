"""The registry of sources. The key that names the kind decides which settings a table has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fsm_orchestrator.gates.sources.approval import ApprovalSource
from fsm_orchestrator.gates.sources.base import SourceModel
from fsm_orchestrator.gates.sources.cedar import CedarPolicy, CedarSource
from fsm_orchestrator.gates.sources.command import CommandSource
from fsm_orchestrator.gates.sources.github import GitHubAsked, GitHubSource
from fsm_orchestrator.gates.sources.junit import JUnitSource
from fsm_orchestrator.gates.sources.rego import RegoPolicy, RegoSource
from fsm_orchestrator.gates.sources.signatures import SignedBy
from fsm_orchestrator.gates.sources.statement import StatementSource
from fsm_orchestrator.model.base import StrictModel

SOURCES: Final[Mapping[str, type[SourceModel]]] = {
    "command": CommandSource,
    "statement": StatementSource,
    "junit": JUnitSource,
    "github": GitHubSource,
    "rego": RegoSource,
    "cedar": CedarSource,
    "approval": ApprovalSource,
}
"""The sources by the key that names their kind."""


class _ByKey:
    """A reader of a gate's table as the source that its key names."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Return a schema that takes one of the sources."""
        del source, handler
        return core_schema.no_info_before_validator_function(_checked, core_schema.any_schema())

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return a schema with one alternative per source."""
        del schema
        choices: list[CoreSchema | tuple[CoreSchema, str]] = [
            TypeAdapter(one).core_schema for one in SOURCES.values()
        ]
        return handler(core_schema.union_schema(choices))


def _checked(value: Any) -> SourceModel:
    if isinstance(value, SourceModel):
        return value
    named = [key for key in SOURCES if isinstance(value, Mapping) and key in value]
    if len(named) > 1:
        raise PydanticCustomError(
            "sources", "Input has more than one source: {keys}", {"keys": ", ".join(named)}
        )
    if not named:
        raise PydanticCustomError(
            "source",
            "Input should have one of the keys {keys}",
            {"keys": ", ".join(SOURCES)},
        )
    return SOURCES[named[0]].model_validate_json(TypeAdapter(Any).dump_json(value))


TABLES: Final[Mapping[str, type[StrictModel]]] = {
    "signed_by": SignedBy,
    "rego": RegoPolicy,
    "cedar": CedarPolicy,
    "github": GitHubAsked,
}
"""The keys of a source that are tables themselves."""


def known_keys(table: object) -> tuple[str, ...]:
    """Return the keys that a gate's table may have, by the source that it names."""
    found = [one for key, one in SOURCES.items() if isinstance(table, Mapping) and key in table]
    models = found or list(SOURCES.values())
    return tuple(dict.fromkeys(key for one in models for key in one.model_fields))


SourceGiven = Annotated[SourceModel, _ByKey()]
"""The settings of any source."""
