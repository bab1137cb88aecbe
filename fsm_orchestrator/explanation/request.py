"""A command to type, together with the request that it stands for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.model.option_kinds import Bounds, Kind, StageOption
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.text.toml import value_at
from fsm_orchestrator.text.units import as_typed

VALUE_UNKNOWN: Final = "VALUE"
"""The placeholder in a command for a value that no file holds."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command, and the request that it stands for."""

    words: tuple[str, ...]
    settings: dict[str, Any]

    def config(self, directory: Path) -> RunConfig:
        """Return the configuration that the command asks for in the output directory."""
        # No path in it is relative, and the current directory may be gone.
        places = {"output_directory": directory, "directory": directory}
        return RunConfig.model_validate({**places, **self.settings})


def option_words(stage: str, given: StageGiven) -> Iterator[str]:
    """Yield the options that give a stage these settings, as people type them."""
    table = given.model_dump(mode="json", exclude_none=True)
    for row in STAGE_OPTIONS:
        value = value_at(table, row.path)
        name = f"{option_prefix(stage)}-{row.suffixes[0]}"
        if value is True:
            yield name
        elif isinstance(value, list):
            yield from (word for one in value for word in (name, _typed(row, one)))
        elif isinstance(value, dict):
            pairs = (key if text is None else f"{key}={text}" for key, text in value.items())
            yield from (word for pair in pairs for word in (name, pair))
        elif value is not None and value is not False:
            yield from (name, _typed(row, value))


def _typed(row: StageOption, value: Any) -> str:
    if row.kind is Kind.COMMAND:
        return shlex.join(value)
    measure = row.kind.measure if isinstance(row.kind, Bounds) else None
    return str(value) if measure is None else as_typed(value, measure)
