"""The request for a run under an engine, whose record lies in an epoch, not in OUT itself."""

from functools import cached_property
from pathlib import Path

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.model.base import PathText
from fsm_orchestrator.model.declared import Field


class HeldConfig(RunConfig):
    """What was asked for, and the epoch in which it is done.

    `output_directory` stays what the user has named: that is what is shown, what stages are told,
    and what relative artifacts are found in.
    """

    record_directory: PathText = Field(description="Absolute path of the epoch's directory.")

    @cached_property
    def output_path(self) -> Path:
        """Where the record lies: the epoch's directory."""
        return Path(self.record_directory)


def held(config: RunConfig, record_directory: Path) -> RunConfig:
    """Return the request for a run whose record lies in a directory of its own."""
    given = {name: getattr(config, name) for name in RunConfig.model_fields}
    return HeldConfig.model_construct(**given, record_directory=str(record_directory))
