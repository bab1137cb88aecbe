"""The request for a run under an engine: placed in an epoch, or refused."""

from __future__ import annotations

import os
from pathlib import Path

from fsm_orchestrator.config.held_config import held
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE, EPOCHS_DIRECTORY, PRODUCT, REPORT_FILE
from fsm_orchestrator.disk.epochs import Epoch, epochs_of
from fsm_orchestrator.disk.where import record_of, run_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.text.hidden import copyable


def in_epoch(config: RunConfig, epoch: Epoch) -> RunConfig:
    """Return the request, placed in an epoch that holds the run.

    Raises:
        UsageError: the epoch is another run's, or a new run is requested where one has begun.
        FencedError: a later epoch holds the run.
    """
    run = config.output_path
    if not _is_same(run, epoch.run_directory):
        raise UsageError(
            f"the epoch is of {copyable(epoch.run_directory)}, and the run of {copyable(run)}",
            remedy="claim the epoch of the run's own directory",
        )
    epoch.confirm()
    record = run / EPOCHS_DIRECTORY / epoch.name
    if config.resume_or_start:
        has_begun = any(os.path.lexists(record / one) for one in (CHECKPOINT_FILE, REPORT_FILE))
        config = config.model_copy(update={"resume_or_start": False, "resume": has_begun})
    if not config.resume and os.path.lexists(record / CHECKPOINT_FILE):
        raise UsageError(
            f"the run in {copyable(run)} has begun: an engine's run has its directory to itself",
            remedy="resume it, or name another directory",
        )
    return held(config, record)


def in_latest_epoch(config: RunConfig) -> RunConfig:
    """Return a request that only looks, placed in the run's latest epoch.

    Raises:
        UsageError: it is for a new run, which would be refused.
    """
    if not config.resume:
        refuse_held(config)
    return held(config, record_of(config.output_path))


def _is_same(one: Path, other: Path) -> bool:
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def refuse_held(config: RunConfig) -> None:
    """Refuse to run without a claim if an engine holds the run.

    Raises:
        UsageError: the directory is of such a run, or an epoch of one.
    """
    output = config.output_path
    run = run_of(output)
    if not epochs_of(run):
        return
    ask = f"{PRODUCT} temporal signal {copyable(run)} --resume"
    raise UsageError(
        f"the run in {copyable(run)} belongs to an engine, which says where it continues",
        remedy=f"ask the engine: {ask}"
        if config.resume
        else f"to continue that run, ask the engine: {ask}; for a new one, name another output"
        " directory",
    )


def refuse_artifacts(preparation: Preparation) -> None:
    """Refuse artifacts that are expected among the epochs: each invocation has its own epoch.

    Raises:
        UsageError: there are some.
    """
    run = run_of(preparation.config.output_path)
    epochs = os.path.realpath(run / EPOCHS_DIRECTORY)
    for stage, settings in preparation.settings.items():
        for path in settings.artifact_paths:
            if Path(os.path.realpath(path)).is_relative_to(epochs):
                raise UsageError(
                    f"stage {stage!r} is expected to leave {copyable(path)}, which is among the"
                    " run's epochs: the next invocation has another one",
                    remedy=f"let it leave that in {copyable(run / stage)}",
                )
