"""A run to be resumed: what it has left, and what was given now laid over it. Pure.

What may be done with it is decided in decision.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
)
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateFile


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


def resumable_run(config: RunConfig, saved: SavedRun) -> ResumableRun:
    """Lay what was given now over what the run has left.

    Raises:
        UsageError: what was given does not fit the run.
    """
    checkpoint, private = saved
    if config.run_id not in {None, checkpoint.run_id}:
        raise UsageError(
            f"--run-id {config.run_id} does not fit: the run to resume is {checkpoint.run_id}",
            remedy="leave --run-id out, or start a new run without --resume",
        )
    _refuse_other_lifecycle(config, checkpoint)
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
