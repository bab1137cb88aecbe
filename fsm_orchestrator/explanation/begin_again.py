"""The command that begins a done run again, from its record: no stage of that run can rerun."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fsm_orchestrator.config.config_file import with_file
from fsm_orchestrator.config.config_reading import load
from fsm_orchestrator.config.origins import InputFile, InputKind
from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import DEFAULT_LIFECYCLE, PRODUCT
from fsm_orchestrator.disk.files import read_bounded
from fsm_orchestrator.disk.where import current_directory
from fsm_orchestrator.errors import LifecycleError, OrchestratorError
from fsm_orchestrator.explanation.request import VALUE_UNKNOWN, Request, option_words
from fsm_orchestrator.lifecycle.reading import shipped
from fsm_orchestrator.model.option_kinds import INHERIT_ALL
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.preparation.plan import Plan, plan_of
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.record.kept import kept_settings
from fsm_orchestrator.text.phrases import signal_option
from fsm_orchestrator.text.units import Measure, as_typed
from fsm_orchestrator.vocabulary import OnLeak, SettingSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsm_orchestrator.model.budget import RunBudget

_FILE_BYTES_MAX: Final = 1024 * 1024


class Beginning(NamedTuple):
    """A command that would begin again, its plan, and what to do before it is typed."""

    words: tuple[str, ...]
    plan: Plan
    before: tuple[str, ...]


def begin_again(saved: SavedRun, directory: Path, shown: str) -> Beginning | None:
    """Return the command of a new run like the recorded one, tried as `plan` tries it.

    None if the record does not hold the command: one of its texts is known only masked, its
    lifecycle file has changed, or it is refused as things are now.
    """
    try:
        found = _of_file(saved, directory, shown) or _in_words(saved, directory, shown)
        words, config, absent = found
        plan = plan_of(prepare(config, may_lack_values=True))
    except (_NotKeptError, OrchestratorError):
        return None
    before = (f"set {', '.join(absent)} in the environment of the command",) if absent else ()
    return Beginning(words, plan, before)


_Command = tuple[tuple[str, ...], RunConfig, tuple[str, ...]]
"""The words, the request that they stand for, and the secrets that the environment lacks."""


class _NotKeptError(Exception):
    """The record does not hold the command."""


def _of_file(saved: SavedRun, directory: Path, shown: str) -> _Command | None:
    """Return the command with the config file that gave all settings but gates, or None."""
    checkpoint = saved.checkpoint
    files = [one for one in checkpoint.origins.files if one.kind is InputKind.CONFIG]
    of_gates = {f"gates.{gate}" for gate in checkpoint.lifecycle.gates}
    by_flag = [
        key
        for key, one in checkpoint.origins.by_setting.items()
        if one.source is SettingSource.FLAG and key not in of_gates
    ]
    if len(files) != 1 or by_flag or not _is_as_it_was(files[0]):
        return None
    (file,) = files
    here = current_directory()
    if file.directory != here:  # settings not in the file are relative to the operator's directory
        return None
    words, gates = _gate_words(checkpoint, but=checkpoint.origins.keys_of(file))
    path = Path(file.path)
    near = str(path.relative_to(here)) if path.is_relative_to(here) else file.path
    read = load(path, near)
    flags = RunConfig(output_directory=str(directory), directory=here, gates=gates)
    config = with_file(flags, read.content, file.path, read.sha256)
    return (PRODUCT, shown, "--config", near, *words), config, ()


def _in_words(saved: SavedRun, directory: Path, shown: str) -> _Command:
    """Return the command with every setting as an option.

    Raises:
        _NotKeptError: a setting is known only masked, the lifecycle cannot be found, or gates have
            sources.
    """
    checkpoint, kept = saved.checkpoint, kept_settings(saved)
    if checkpoint.sources:  # without them, the person who types it would answer for the sources
        raise _NotKeptError
    words, settings = [PRODUCT, shown], dict[str, Any]()
    lifecycle = _lifecycle(checkpoint)
    if lifecycle is not None:
        words += ["--lifecycle", lifecycle]
        settings["lifecycle"] = lifecycle
    gate_words, settings["gates"] = _gate_words(checkpoint, but=())
    words += gate_words
    for option, key in (("--timeout", "timeout_ms"), ("--kill-grace", "kill_grace_ms")):
        if (value := getattr(checkpoint, key)) is not None:
            words += [option, as_typed(value, Measure.MILLISECONDS)]
            settings[key] = value
    if checkpoint.budget is not None:
        words += budget_words(checkpoint.budget)
        settings |= checkpoint.budget.given
    if checkpoint.on_leak is not OnLeak.WARN:
        words += ["--on-leak", checkpoint.on_leak.value]
        settings["on_leak"] = checkpoint.on_leak
    if checkpoint.task_queue is not None:
        words += ["--task-queue", checkpoint.task_queue]
        settings["task_queue"] = checkpoint.task_queue
    if checkpoint.allow_empty:
        words.append("--allow-empty")
        settings["allow_empty"] = True
    for stage in checkpoint.skip_stages:
        words += ["--skip-stage", stage]
        settings["skip_stages"] = checkpoint.skip_stages
    given = {stage: _given(one) for stage, one in kept.stages.items()}
    for stage, one in given.items():
        texts = tuple(option_words(stage, one))
        if any(map(kept.masker.hides, texts)):
            raise _NotKeptError
        words += texts
    settings["stages"] = given
    absent = [key for one in kept.stages.values() for key in one.missing_secrets]
    request = Request(tuple(words), settings)
    return request.words, request.config(directory), tuple(dict.fromkeys(absent))


def budget_words(budget: RunBudget) -> Iterator[str]:
    """Yield the options that give a run its budget."""
    for option, value in (
        ("--run-timeout", budget.run_timeout_ms),
        ("--total-timeout", budget.total_timeout_ms),
    ):
        if value is not None:
            yield from (option, as_typed(value, Measure.MILLISECONDS))
    for unit, amount in budget.units.items():
        yield from ("--budget", f"{unit}={amount}")


def _given(settings: StageSettings) -> StageGiven:
    """Return the settings of a stage as they would be given again.

    Raises:
        _NotKeptError: one of their texts is known only masked, or no option gives them.
    """
    if settings.hidden or settings.contracts:  # no option gives a contract
        raise _NotKeptError
    return StageGiven(
        bin=settings.command,
        args=settings.args or None,
        env=dict.fromkeys(settings.env, VALUE_UNKNOWN) or None,
        secrets=dict.fromkeys(settings.secrets) or None,
        expected_artifacts=settings.expected_artifacts or None,
        cwd=None if settings.cwd == current_directory() else settings.cwd,
        retry=None if settings.retry == RetryPolicy() else settings.retry,
        allow_stale=settings.allow_stale or None,
        on_unmetered=settings.on_unmetered,
        task_queue=settings.task_queue,
        env_inherit=None if settings.env_inherit == INHERIT_ALL else settings.env_inherit,
        confine=settings.confine,
        pin=settings.pin or None,
        verify=settings.verify or None,
        verify_timeout_ms=settings.verify_timeout_ms,
        clean_env=None if settings.clean_env else False,
        verify_unconfined=settings.verify_unconfined or None,
        protect=settings.protect or None,
        inputs=settings.inputs or None,
        input_program=settings.input_program or None,
        **settings.limits._asdict(),
    )


def _gate_words(
    checkpoint: Checkpoint, *, but: tuple[str, ...]
) -> tuple[list[str], dict[str, str]]:
    """Return the passing signals, except those that a file gives or a source will give."""
    gates = {
        gate: rule.passing
        for gate, rule in checkpoint.lifecycle.gates.items()
        if f"gates.{gate}" not in but and gate not in checkpoint.sources
    }
    return [word for gate, one in gates.items() for word in (signal_option(gate), one)], gates


def _lifecycle(checkpoint: Checkpoint) -> str | None:
    """Return the name or path of the lifecycle, or None for the default one.

    Raises:
        _NotKeptError: no file holds it any longer.
    """
    name = checkpoint.lifecycle.name
    with contextlib.suppress(LifecycleError):  # no built-in lifecycle has that name
        if shipped(name).sha256 == checkpoint.lifecycle_sha256:
            return None if name == DEFAULT_LIFECYCLE else name
    files = [one for one in checkpoint.origins.files if one.kind is InputKind.LIFECYCLE]
    if not files or not _is_as_it_was(files[-1]):
        raise _NotKeptError
    return files[-1].path


def _is_as_it_was(file: InputFile) -> bool:
    try:
        data = read_bounded(Path(file.path), _FILE_BYTES_MAX)
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == file.sha256
