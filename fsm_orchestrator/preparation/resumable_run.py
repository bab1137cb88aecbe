"""What a resume finds: the checkpoint, the private file, and what was given now laid over both.

Reads and merges; what may be done with it is decided in resumption.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_record import StageRecord, settings_of
from fsm_orchestrator.config.stage_settings import StageSettings, given_settings
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.preparation.preparation import (
    masker_of,
    private_of,
    recorded,
    setting_warnings,
)
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateFile
from fsm_orchestrator.vocabulary import Outcome


@dataclass(frozen=True, slots=True)
class ResumableRun:
    """A run to be resumed, on the way to a decision."""

    config: RunConfig
    checkpoint: Checkpoint
    kept: Mapping[str, StageSettings]
    settings: Mapping[str, StageSettings]
    records: Mapping[str, StageRecord]
    masker: Masker
    private: PrivateFile
    warnings: list[str] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether the run had reached done."""
        state = self.checkpoint.lifecycle.states[self.checkpoint.current_state]
        return state.outcome is Outcome.DONE


def read_resumable_run(config: RunConfig) -> ResumableRun:
    """Read what is kept of the run and lay over it what was given now.

    Raises:
        CheckpointError: there is no checkpoint, or it cannot be used.
        UsageError: what was given does not fit the run.
    """
    checkpoint = checkpoint_reader.load(config.output_path)
    if config.run_id not in {None, checkpoint.run_id}:
        raise UsageError(
            f"--run-id {config.run_id} does not fit: the run to resume is {checkpoint.run_id}",
            remedy="leave --run-id out, or start a new run without --resume",
        )
    _refuse_other_lifecycle(config, checkpoint)
    ref = checkpoint.private_ref
    private = None if ref is None else private_file.load(ref)
    kept = {stage: settings_of(record) for stage, record in checkpoint.stages.items()}
    for stage, known in ({} if private is None else private.stages).items():
        if stage in kept:
            kept[stage] = replace(
                kept[stage],
                command=known.command,
                args=known.args,
                cwd=known.cwd,
                expected_artifacts=known.expected_artifacts,
                env={**kept[stage].env, **known.env},
                is_complete=True,
            )
    settings = given_settings(config, checkpoint.lifecycle, kept)
    masker = masker_of(kept, settings)  # a value that was replaced is secret still
    to_keep = private_of(settings, private, checkpoint.run_id)
    return ResumableRun(
        config=config,
        checkpoint=checkpoint,
        kept=kept,
        settings=settings,
        records=recorded(settings, masker, to_keep, checkpoint.stages),
        masker=masker,
        private=to_keep,
        warnings=list(setting_warnings(settings)),
    )


def _refuse_other_lifecycle(config: RunConfig, checkpoint: Checkpoint) -> None:
    if config.lifecycle is None:
        return
    named = reading.find(config.lifecycle, Path(config.directory))
    if named.sha256 != checkpoint.lifecycle_sha256:
        raise UsageError(
            f"the run to resume follows the lifecycle {checkpoint.lifecycle.name!r} that its"
            f" checkpoint holds, and {config.lifecycle} is not the same relation",
            remedy="leave --lifecycle out, or start a new run without --resume",
        )
