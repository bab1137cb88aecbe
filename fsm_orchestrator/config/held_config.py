"""The request for a run under an engine, whose record is in an epoch, not in OUT itself."""

from functools import cached_property
from pathlib import Path

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.model.base import PathText
from fsm_orchestrator.model.declared import Field


class HeldConfig(RunConfig):
    """The request, and the epoch in which it is carried out.

    `output_directory` stays the directory that the user has named: it is shown, passed to stages,
    and the base for relative artifacts.
    """

    record_directory: PathText = Field(description="Absolute path of the epoch's directory.")

    @cached_property
    def output_path(self) -> Path:
        """The directory of the record: that of the epoch."""
        return Path(self.record_directory)


def held(config: RunConfig, record_directory: Path) -> RunConfig:
    """Return the request for a run whose record is in another directory than OUT."""
    given = {name: getattr(config, name) for name in RunConfig.model_fields}
    return HeldConfig.model_construct(**given, record_directory=str(record_directory))
