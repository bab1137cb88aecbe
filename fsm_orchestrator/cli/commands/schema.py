"""`schema`: the published JSON Schema of one of the shapes that are written or read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.schemas import schema_text
from fsm_orchestrator.vocabulary import ExitCode, SchemaName


def schema_command(parameters: Mapping[str, Any]) -> int:
    """Print the schema."""
    console.stdout().write(schema_text(SchemaName(parameters["name"])))
    return ExitCode.DONE
