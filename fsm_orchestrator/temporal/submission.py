"""A run that may be submitted, or is refused. Writes nothing.

The request is a config file: it holds the values of settings, but of secrets only the names. The
workflow gets its path.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.config import config_file, config_reading
from fsm_orchestrator.config.config_text import config_text
from fsm_orchestrator.config.file_texts import named_lifecycle
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_settings import guessed_secrets
from fsm_orchestrator.disk import belongings
from fsm_orchestrator.disk.epochs import epochs_of, latest_record, next_invocation
from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.gates.sources.approval import ApprovalSource
from fsm_orchestrator.preparation.asked_about import sources_in_force
from fsm_orchestrator.preparation.preparation import clock_of, new_run_id, with_known_gates
from fsm_orchestrator.record.checkpoint_reader import load
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.temporal.deciding import refusal_of
from fsm_orchestrator.temporal.request_file import (
    REQUEST_FILE,
    directory_of,
    run_id_of,
    submitted_run_id,
)
from fsm_orchestrator.temporal.shapes import Carried, ResumeOptions, RunSpec
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import described, option_prefix, suggestion
from fsm_orchestrator.vocabulary import OnChangedStage

if TYPE_CHECKING:
    from fsm_orchestrator.gates.judging import GateSignal
    from fsm_orchestrator.lifecycle.model import Lifecycle

TASK_QUEUE: Final = "fsm-orchestrator"
"""The queue of runs and workers that name none."""


class Wish(NamedTuple):
    """The engine settings that options give for a run; see `RunSpec`."""

    heartbeat_seconds: float = 30.0
    attempts: int = 20
    retries: int = 0
    retry_seconds: float = 10.0
    wait_seconds: float | None = None


class Submission(NamedTuple):
    """A run that may be submitted.

    Attributes:
        text: its request, as a config file.
        is_begun: True if it continues a run that was submitted before.
    """

    spec: RunSpec
    text: str
    is_begun: bool


def submission_of(config: RunConfig, wish: Wish) -> Submission:
    """Return the submission. Writes nothing, and asks nobody.

    Raises:
        UsageError: the request is wrong, or its directory holds a run already.
    """
    run_directory = Path(os.path.abspath(config.output_path))
    if config.resume:
        return _of_one_begun(config, run_directory, wish)
    _refuse_options(config)
    lifecycle = named_lifecycle(config)
    _refuse_unknown_stages(config, lifecycle)
    _refuse_taken(run_directory)
    run_id = config.run_id or new_run_id(clock_of(config))
    asked = with_known_gates(config, lifecycle).model_copy(
        update={"run_id": run_id, "task_queue": _queue_of(config)}
    )
    sources_in_force(asked, {}, lifecycle.gates)  # or refuse, as each invocation would
    spec = _spec(run_directory, run_id, config, lifecycle, wish)
    _refuse_secret_places(config, spec)
    return Submission(spec, config_text(asked, config.directory), is_begun=False)


def _of_one_begun(config: RunConfig, run_directory: Path, wish: Wish) -> Submission:
    """Return a submission that continues a run that was submitted before.

    The new settings are added to its request. Signals and the options for what it has left are for
    its next invocation. A run that no worker has begun keeps the signals of its request.

    Raises:
        UsageError: there is no such run, or the new settings cannot be applied.
    """
    run_id = run_id_of(run_directory)
    if config.run_id not in {None, run_id}:
        raise UsageError(
            f"the run in {copyable(str(run_directory))} is {run_id}",
            remedy="leave --run-id out, or name the directory of the run that you mean",
        )
    _refuse_values(config)
    path = run_directory / REQUEST_FILE
    read = config_reading.load(path, str(path))
    directory = directory_of(read.content, str(path))
    if config.stages and config.directory != directory:
        raise UsageError(
            "settings of stages are given in another directory than that of the run, which relative"
            " paths are relative to",
            remedy=f"run the command in {copyable(directory)}",
        )
    has_begun = bool(epochs_of(run_directory))
    both = config_file.with_file(
        config.model_copy(update={"directory": directory, "run_id": run_id, "gates": {}}),
        read.content.model_copy(update={"gates": {}} if has_begun else {}),
        str(path),
        read.sha256,
    )
    lifecycle = named_lifecycle(both)
    both = with_known_gates(both, lifecycle)
    _refuse_unknown_stages(both, lifecycle)
    if config.gates and (refusal := refusal_of(dict(config.gates), _gates(lifecycle))):
        raise UsageError(refusal)
    kept = _kept_signals(run_directory, lifecycle) if has_begun else ()
    if kept is not None:
        now = both.model_copy(update={"gates": config.gates, "gate_sources": config.gate_sources})
        sources_in_force(now, {}, lifecycle.gates, kept)  # or refuse, as each invocation would
    options = ResumeOptions(
        on_changed_stage=config.on_changed_stage.value,
        rerun=config.rerun,
        reverify=bool(config.reverify),
        accept_record=config.accept_record,
    )
    spec = _spec(run_directory, run_id, both, lifecycle, wish)
    carried = Carried(
        number=spec.first_number - 1, task_queue=spec.task_queue, gates=dict(config.gates)
    )
    spec = replace(spec, options=options, carried=carried)
    _refuse_secret_places(both, spec)
    asked = _without_resume(both)
    if has_begun:
        asked = asked.model_copy(update={"gates": {}})
    return Submission(spec, config_text(asked, directory), is_begun=True)


def _kept_signals(run_directory: Path, lifecycle: Lifecycle) -> tuple[GateSignal, ...] | None:
    """Return the signals of a run; None if its record cannot be read, which a worker reports."""
    try:
        signals = load(latest_record(run_directory)).gate_signals
    except (OrchestratorError, OSError):
        return None
    return tuple(one for one in signals if one.gate in lifecycle.gates)


def _without_resume(config: RunConfig) -> RunConfig:
    """Return a request without the settings that are for a single invocation."""
    return config.model_copy(
        update={
            "resume": False,
            "rerun": (),
            "reverify": None,
            "on_changed_stage": OnChangedStage.REFUSE,
        }
    )


def _gates(lifecycle: Lifecycle) -> dict[str, list[str]]:
    return {gate: list(rule.values) for gate, rule in lifecycle.gates.items()}


def _spec(
    run_directory: Path, run_id: str, config: RunConfig, lifecycle: Lifecycle, wish: Wish
) -> RunSpec:
    return RunSpec(
        run_id=run_id,
        run_directory=str(run_directory),
        request=str(run_directory / REQUEST_FILE),
        task_queue=_queue_of(config),
        gates=_gates(lifecycle),
        approval_gates=tuple(
            gate for gate, one in config.sources.items() if isinstance(one, ApprovalSource)
        ),
        first_number=next_invocation(run_directory),
        **wish._asdict(),
    )


# -- refusals ---------------------------------------------------------------------------------


def _refuse_options(config: RunConfig) -> None:
    """Refuse options for an existing run or for the machine of a run.

    Raises:
        UsageError: there is such an option.
    """
    given = {
        "--state-key-file": config.state_key_file is not None,
        "--accept-record": config.accept_record is not None,
        "--as-copy": config.as_copy,
        "--adopt": config.adopt,
        "--resume-or-start": config.resume_or_start,
        "--on-changed-stage": config.on_changed_stage is not OnChangedStage.REFUSE,
        "--reverify": bool(config.reverify),
        "--rerun": bool(config.rerun),
    }
    for option, is_given in given.items():
        if is_given:
            remedy = "leave it out"
            if option == "--state-key-file":
                remedy = "give it to the workers: temporal worker --state-key-file FILE"
            raise UsageError(f"{option} cannot be given to a run that is submitted", remedy=remedy)
    _refuse_values(config)


def _refuse_values(config: RunConfig) -> None:
    """Refuse values of secrets, which would be written to the request.

    Raises:
        UsageError: one is given.
    """
    for stage, settings in config.stages.items():
        prefix = option_prefix(stage)
        named = [key for key, value in (settings.secrets or {}).items() if value is not None]
        for key in (*named, *guessed_secrets(settings)):
            raise UsageError(
                f"the value of the secret {copyable(key)} of stage {stage} is given, and would have"
                " to be written into a file (not shown)",
                remedy=f"set it in the environment of the workers, and name it: {prefix}-secret"
                f" {copyable(key)}",
            )


def _refuse_unknown_stages(config: RunConfig, lifecycle: Lifecycle) -> None:
    for stage in config.stages:
        if stage not in lifecycle.stages:
            raise UsageError(
                f"the lifecycle {lifecycle.name!r} has no stage {described(stage)}"
                f"{suggestion(stage, lifecycle.stages)}",
                remedy=f"its stages are {', '.join(lifecycle.stages)}",
            )


def _refuse_secret_places(config: RunConfig, spec: RunSpec) -> None:
    """Refuse names and paths that hold a secret: a history keeps them in plain text.

    Raises:
        UsageError: one of them does.
    """
    masker = Masker(config.known_secrets())
    told = (spec.run_id, spec.run_directory, config.directory, spec.task_queue)
    if any(map(masker.hides, told)):
        raise UsageError(
            "a name or path of the run holds a secret (not shown), and would be kept by the server",
            remedy="rename it, or give the secret another value",
        )


def _refuse_taken(run_directory: Path) -> None:
    """Refuse a directory that holds a run.

    Raises:
        UsageError: it holds one, or is not a directory.
    """
    if os.path.lexists(run_directory) and not os.path.isdir(run_directory):
        raise UsageError(
            f"{copyable(str(run_directory))} is not a directory", remedy="name another one"
        )
    has_record = any(os.path.lexists(run_directory / name) for name in belongings.RUN_FILES)
    if has_record or epochs_of(run_directory) or submitted_run_id(run_directory) is not None:
        where = copyable(str(run_directory))
        raise UsageError(
            f"{where} holds a run already",
            remedy="name another directory; to continue a run that was submitted there:"
            f" fsm-orchestrator temporal signal {where} --resume",
        )


def _queue_of(config: RunConfig) -> str:
    return config.task_queue or TASK_QUEUE
