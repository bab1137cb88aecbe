"""Prepares what was requested: a new run, a resume, or a resume that begins from the start.

Everything that can be refused is refused before anything is written. Resumes are prepared in
resume.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.clock import Clock
from fsm_orchestrator.config.file_texts import named_lifecycle
from fsm_orchestrator.config.hidden_text import Hider
from fsm_orchestrator.config.origins import NO_ORIGINS, Origins
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_settings import given_settings
from fsm_orchestrator.constants import (
    CHECKPOINT_FILE,
    PRODUCT,
    __version__,
)
from fsm_orchestrator.disk import archive, belongings
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.gates.judging import signals_in_force
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.preparation.preparation import (
    Preparation,
    clock_of,
    new_invocation,
    new_run_id,
    origins_of,
    output_masker,
    private_of,
    recorded,
    secret_keys,
    secret_values,
    with_known_gates,
)
from fsm_orchestrator.preparation.setting_warnings import setting_warnings
from fsm_orchestrator.preparation.starter import signal_given
from fsm_orchestrator.preparation.terms import given_of_run, refuse_options_of_a_resume
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.home import NOT_MADE, home_of
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.artifacts import MayGoOn, always
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import ExecutionMode, OnChangedStage, Trigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsm_orchestrator.config.stage_settings import StageSettings
    from fsm_orchestrator.gates.judging import GateSignal
    from fsm_orchestrator.gates.sources.base import SourceModel
    from fsm_orchestrator.lifecycle.model import Lifecycle
    from fsm_orchestrator.model.evidence import Subject
    from fsm_orchestrator.record.checkpoint_reader import SavedRun


def prepare(
    config: RunConfig,
    saved: SavedRun | None = None,
    *,
    may_lack_values: bool = False,
    may_go_on: MayGoOn = always,
) -> Preparation:
    """Decide what the request would do, and what it may use. Writes nothing.

    Args:
        config: the request.
        saved: what the run to resume has left, if the caller has read it already.
        may_lack_values: True if it is only to be looked at, so that a secret may be unknown.
        may_go_on: asked while the artifacts of completed stages are judged; once it has said no,
            the result may only be aborted.

    Raises:
        UsageError: the request is wrong or refused.
        CheckpointError: a resume has no checkpoint that can be used.
    """
    prepared = _prepared(config, saved, may_lack_values=may_lack_values, may_go_on=may_go_on)
    has_limits = config.has_run_limits or prepared.checkpoint.budget is not None
    is_metered = any(one.on_unmetered is not None for one in prepared.settings.values())
    if prepared.first_trigger is None or not (has_limits or is_metered):
        return prepared
    from fsm_orchestrator.preparation.budgets import budgeted  # noqa: PLC0415 - only with a budget

    return budgeted(prepared)


def _prepared(
    config: RunConfig, saved: SavedRun | None, *, may_lack_values: bool, may_go_on: MayGoOn
) -> Preparation:
    if config.resume_or_start:
        from fsm_orchestrator.preparation.resume_or_start import settled  # noqa: PLC0415 - rare

        config = settled(config)
    if config.state_key_file is not None:
        from fsm_orchestrator.secrets.state_key import shared_key  # noqa: PLC0415 - rare

        shared_key(Path(config.absolute(config.state_key_file)))  # or refuse before anything else
    if not config.resume:
        return prepare_run(config, may_lack_values=may_lack_values)
    if saved is None and _was_never_recorded(config.output_path):
        if not any(given.bin for given in config.stages.values()):
            raise UsageError(
                "the run to resume could not write its checkpoint, so nothing is kept of it: it"
                " begins again, and no stage has a binary",
                remedy="type the whole command of the run again",
            )
        afresh = {
            "resume": False,
            "rerun": (),
            "reverify": None,
            "on_changed_stage": OnChangedStage.REFUSE,
            "accept_record": None,
        }
        return prepare_run(config.model_copy(update=afresh), mode=ExecutionMode.RESUME)
    from fsm_orchestrator.preparation.resume import prepare_resume  # noqa: PLC0415 - not for a new run

    return prepare_resume(config, saved, may_lack_values=may_lack_values, may_go_on=may_go_on)


def _was_never_recorded(output: Path) -> bool:
    """Return whether no checkpoint was ever written for a run that is to be resumed."""
    if os.path.isfile(output / CHECKPOINT_FILE):  # a directory in its place is no checkpoint
        return False
    from fsm_orchestrator.disk.restoring import refuse_half_restored  # noqa: PLC0415 - rare
    from fsm_orchestrator.preparation.never_recorded import is_nothing_kept  # noqa: PLC0415 - rare

    refuse_half_restored(output)
    return is_nothing_kept(output)


def prepare_run(
    config: RunConfig,
    *,
    mode: ExecutionMode = ExecutionMode.RUN,
    may_lack_values: bool = False,
) -> Preparation:
    """Decide on a new run. Writes nothing.

    `mode` is what the operator requested: a resume of nothing begins like a run.

    Raises:
        UsageError: the request is wrong or refused.
    """
    _check_output_directory(config.output_path)
    _refuse_foreign(config.output_path)
    refuse_options_of_a_resume(config)
    clock = clock_of(config)
    declared = named_lifecycle(config)
    config, run_id = _for_a_new_run(config, declared, clock)
    settings = _settings(config, declared, run_id)
    _refuse_settings(config, declared, settings, may_lack_values=may_lack_values)
    subject, sources = _asked_about(config, declared)
    values = secret_values(settings)
    origins = origins_of(config, NO_ORIGINS, 1, ({}, settings))
    masker = _masker_of(config, declared, settings, origins)
    private = private_of(settings, None, run_id, config)
    records = recorded(settings, Hider(masker, values, private.digest_key_bytes), {})
    warnings = masker.mask_all(setting_warnings(config, settings, declared))
    checkpoint = Checkpoint(
        schema_version=1,
        product=PRODUCT,
        version=__version__,
        run_id=private.run_id,
        home=home_of(config.output_path, NOT_MADE, masker, config.directory),
        private_ref=private_file.new_private_ref() if private.stages else None,
        secret_keys=secret_keys(records),
        current_state=declared.initial,
        lifecycle_sha256=declared.sha256,
        lifecycle=declared,
        gate_signals=_first_signals(config, declared, clock, masker),
        sources=sources,
        subject=subject,
        **given_of_run(config),
        stages=records,
        origins=origins,
        completions=(),
        open_attempts=(),
        last_event_seq=0,
        last_event_sha256=None,
        doubt=None,
        mac=None,
        events=None,
        earlier=None,
        invocations=(new_invocation(1, mode, clock, warnings=warnings),),
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=masker,
        output_masker=output_masker(masker, settings),
        checkpoint=checkpoint,
        settings=settings,
        first_trigger=Trigger.START,
        leftovers=_leftovers(config.output_path),
        private=private if private.stages else None,
        archives=bool(archive.present_files(config.output_path)),
    )


def _masker_of(
    config: RunConfig,
    declared: Lifecycle,
    settings: Mapping[str, StageSettings],
    origins: Origins,
) -> Masker:
    """Return the masker of the given secrets, none of which may be in anything that is shown."""
    values = secret_values(settings)
    masker = Masker(values.values())
    if masker.knows_any:
        from fsm_orchestrator.preparation.shown_secrets import refuse_shown_secrets  # noqa: PLC0415 - only with a secret

        refuse_shown_secrets(config, declared, settings, origins, values, masker)
    return masker


def _settings(config: RunConfig, declared: Lifecycle, run_id: str) -> dict[str, StageSettings]:
    """Return the settings of the stages of a new run."""
    settings = given_settings(config, declared, {}, run_id)
    if not any(one.contracts for one in settings.values()):
        return settings
    from fsm_orchestrator.preparation.held_schemas import with_schemas  # noqa: PLC0415 - rare

    return with_schemas(settings, tuple(settings))


def _for_a_new_run(config: RunConfig, declared: Lifecycle, clock: Clock) -> tuple[RunConfig, str]:
    """Return the request, completed by lifecycle and run id, and that id."""
    config = with_known_gates(config, declared)
    run_id = _run_id(config, clock)
    if config.has_tables:
        from fsm_orchestrator.config.asked_texts import with_asked_texts  # noqa: PLC0415 - rare

        config = with_asked_texts(config, run_id, frozenset())
    return config, run_id


def _first_signals(
    config: RunConfig, declared: Lifecycle, clock: Clock, masker: Masker
) -> tuple[GateSignal, ...]:
    given = signal_given(config, clock, 1, masker)
    return signals_in_force(declared.gates, config.gates, sources=config.gate_sources, now=given)


def _refuse_settings(
    config: RunConfig,
    declared: Lifecycle,
    settings: Mapping[str, StageSettings],
    *,
    may_lack_values: bool,
) -> None:
    """Refuse lost values, open cages, artifacts of two stages, and queues that do not fit."""
    if declared.group_of:
        from fsm_orchestrator.preparation.beside import refuse_shared_artifacts  # noqa: PLC0415 - few lifecycles

        refuse_shared_artifacts(declared, settings)
    if declared.group_of or declared.finally_stage is not None:
        from fsm_orchestrator.preparation.queues import refuse_queues  # noqa: PLC0415 - likewise

        refuse_queues(declared, config.task_queue, settings)
    if not may_lack_values and not all(one.is_known for one in settings.values()):
        from fsm_orchestrator.preparation.lost_values import refuse_lost_values  # noqa: PLC0415 - rare

        refuse_lost_values(settings, tuple(settings))
    if any(one.confine is not None for one in settings.values()):
        from fsm_orchestrator.preparation.confined import refuse_open_cages  # noqa: PLC0415 - only with a cage

        refuse_open_cages(config.output_path, settings)


def _asked_about(
    config: RunConfig, declared: Lifecycle
) -> tuple[Subject | None, dict[str, SourceModel]]:
    """Return the subject of a new run, and the sources of its gates."""
    if config.subject is None and not config.sources:
        return None, {}
    from fsm_orchestrator.preparation.asked_about import (  # noqa: PLC0415 - rare
        sources_in_force,
        subject_of,
    )

    return subject_of(config), sources_in_force(config, {}, declared.gates)


def _check_output_directory(output: Path) -> None:
    if os.path.isdir(output) or _can_be_made(output):
        return
    from fsm_orchestrator.preparation.no_directory import refuse_output  # noqa: PLC0415 - rare

    refuse_output(output)


def _can_be_made(output: Path) -> bool:
    try:
        os.lstat(output)
    except FileNotFoundError:
        above = next(parent for parent in output.parents if os.path.exists(parent))
        return os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK)
    except OSError:
        return False
    return False


def _refuse_foreign(output: Path) -> None:
    """Refuse a directory with files under this program's names that no run has made."""
    found = belongings.foreign_names(output)
    if found:
        named = ", ".join(str(output / name) for name in found)
        raise UsageError(
            f"no run of {PRODUCT} made {named}, and a run would write there",
            remedy="move it away, or name another output directory; nothing was touched",
        )


def _run_id(config: RunConfig, clock: Clock) -> str:
    """Return the given id if it is free, else a new one: unique, and sorting by time."""
    if config.run_id is None:
        return new_run_id(clock)
    output = config.output_path
    taken = archive.archived_run_ids(output) | {archive.earlier_run_id(output)}
    if config.run_id in taken:
        raise UsageError(
            f"the run id {config.run_id!r} is taken: an earlier run in {copyable(output)} has it",
            remedy="give another --run-id, or none",
        )
    return config.run_id


def _leftovers(output: Path) -> tuple[AttemptRecord, ...]:
    """Return the attempts that an earlier run in this directory left open, where known.

    Raises:
        CheckpointError: there is a file that cannot be read now; it may name a process.
    """
    try:
        os.lstat(output / CHECKPOINT_FILE)
    except FileNotFoundError:
        return ()
    except OSError:
        pass  # the reader below reports why
    from fsm_orchestrator.preparation.left_open import attempts_left_open  # noqa: PLC0415 - not for a new directory

    return attempts_left_open(output)
