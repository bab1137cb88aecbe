"""Names in a request what a stage is held to, wherever the output directory is. Pure."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.text.digest import sha256_of

if TYPE_CHECKING:
    from fsm_orchestrator.model.confinement import Confine


def inside(path: str, output: Path) -> str:
    """Return a path as requests name it: relative to the output directory if it is inside.

    That is the run's directory: under an engine each invocation has its own record directory.
    """
    found, output = Path(path), run_of(output)
    if not found.is_relative_to(output):
        return path
    from fsm_orchestrator.model.contracts import is_directory  # noqa: PLC0415 - rare

    return f"{found.relative_to(output)}{os.sep if is_directory(path) else ''}"


def confined_to(confine: Confine, output: Path) -> str:
    """Return the digest of a stage's confinement."""
    lists = {name: getattr(confine, name) for name in ("write", "read")}
    named = {
        name: tuple(inside(one, output) for one in paths)
        for name, paths in lists.items()
        if paths is not None
    }
    return sha256_of(confine.model_copy(update=named).model_dump_json().encode())


def held_to(record: StageRecord, output: Path) -> str:
    """Return the digest of a stage's contracts, protected paths and inputs."""
    contracts = [one.model_dump(mode="json") for one in record.contracts]
    for one in contracts:
        schema = one["json_schema"]
        one["path"] = inside(one["path"], output)
        one["json_schema"] = None if schema is None else inside(schema, output)
    said = {
        "contracts": contracts,
        "protect": [inside(one, output) for one in record.protect],
        "inputs": [inside(one, output) for one in record.inputs],
        "input_program": record.input_program,
    }
    return sha256_of(json.dumps(said, sort_keys=True).encode())
