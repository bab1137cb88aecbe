"""Prepares what was asked for: a new run, a resume, or a resume that begins from the start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.errors import ReportError, UsageError
from fsm_orchestrator.preparation.new_run import prepare_run
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.record.report_reader import read_report
from fsm_orchestrator.vocabulary import (
    CHECKPOINT_FILE,
    REPORT_FILE,
    ExecutionMode,
    OnChangedStage,
)

if TYPE_CHECKING:
    from fsm_orchestrator.record.checkpoint_reader import SavedRun


def prepare(config: RunConfig, saved: SavedRun | None = None) -> Preparation:
    """Decide what the request would do. Writes nothing.

    `saved` is what the run to resume has left, if the caller has read it already.

    Raises:
        UsageError: the request is wrong or refused.
        CheckpointError: a resume without a checkpoint that can be used.
    """
    if not config.resume:
        return prepare_run(config)
    if saved is None and _was_never_recorded(config):
        if not any(given.bin for given in config.stages.values()):
            raise UsageError(
                "the run to resume could not write its checkpoint, so nothing is kept of it: it"
                " begins again, and no stage has a binary",
                remedy="type the whole command of the run again",
            )
        afresh = {"resume": False, "rerun": (), "on_changed_stage": OnChangedStage.REFUSE}
        return prepare_run(config.model_copy(update=afresh), mode=ExecutionMode.RESUME)
    from fsm_orchestrator.preparation.resume import prepare_resume  # noqa: PLC0415 - not for a new run

    return prepare_resume(config, saved)


def _was_never_recorded(config: RunConfig) -> bool:
    """Say whether no checkpoint was ever written and the report proves that nothing was spawned."""
    output = config.output_path
    if os.path.isfile(output / CHECKPOINT_FILE):  # a directory in its place is no checkpoint
        return False
    try:
        return read_report(output / REPORT_FILE).is_nothing_kept
    except ReportError:
        return False
