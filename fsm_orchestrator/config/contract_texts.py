"""The paths in the contracts of a stage: templates filled in, bases changed, as in other paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fsm_orchestrator.config.run_config import StageGiven

if TYPE_CHECKING:
    from fsm_orchestrator.model.contracts import ContractGiven

CONTRACTS_KEY = "artifact"


def paths_of(given: StageGiven) -> Iterator[str]:
    """Yield the paths in the contracts of a stage."""
    for one in given.artifact or ():
        yield one.path
        if one.json_schema is not None:
            yield one.json_schema


def with_paths(given: StageGiven, change: Callable[[str], str]) -> tuple[ContractGiven, ...]:
    """Return the contracts of a stage with changed paths; a trailing slash is kept."""
    return tuple(
        one.model_copy(
            update={
                "path": _slashed(one.path, change(one.path)),
                "json_schema": None if one.json_schema is None else change(one.json_schema),
            }
        )
        for one in given.artifact or ()
    )


def _slashed(before: str, now: str) -> str:
    return f"{now}/" if before.endswith("/") and not now.endswith("/") else now
