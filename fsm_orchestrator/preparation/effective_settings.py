"""Every setting that a run would use, and its source: for `config show`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, assert_never, cast

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import DEFAULT_KILL_GRACE_MS, DEFAULT_TIMEOUT_MS
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS, Bounds, Choices, Kind, StageOption
from fsm_orchestrator.preparation.precedence import Level, Resolved, resolved_limits, resolved_retry
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import GateSource

DEFAULT: Final = Level.DEFAULT.value
Origin = Callable[..., str]
"""Where a setting that is not a default was set, given the path of its key."""


Value: TypeAlias = str | int | bool | tuple[str, ...] | None


class Setting(StrictModel):
    """One setting: its key as the config file has it, its value, and where it was set."""

    key: str
    value: Value
    source: str


def effective_settings(preparation: Preparation, origin: Origin) -> tuple[Setting, ...]:
    """Return the settings of an invocation. Of the environment only the keys are shown."""
    return tuple(_run_settings(preparation, origin)) + tuple(_stage_settings(preparation, origin))


def _run_settings(preparation: Preparation, origin: Origin) -> Iterator[Setting]:
    checkpoint, config = preparation.checkpoint, preparation.config
    is_given = config.lifecycle is not None
    yield Setting(
        key="lifecycle",
        value=checkpoint.lifecycle.name,
        source=origin("lifecycle") if is_given or config.resume else DEFAULT,
    )
    for signal in checkpoint.gate_signals:
        is_default = signal.source is GateSource.DEFAULT
        source = DEFAULT if is_default else origin("gates", signal.gate.value)
        yield Setting(key=f"gates.{signal.gate.value}", value=signal.status, source=source)
    for key, kept, default in (
        ("timeout_ms", checkpoint.timeout_ms, DEFAULT_TIMEOUT_MS),
        ("kill_grace_ms", checkpoint.kill_grace_ms, DEFAULT_KILL_GRACE_MS),
    ):
        source = DEFAULT if kept is None else origin(key)
        yield Setting(key=key, value=default if kept is None else kept, source=source)
    is_given = config.on_leak is not None
    yield Setting(
        key="on_leak",
        value=checkpoint.on_leak.value,
        source=origin("on_leak") if is_given or config.resume else DEFAULT,
    )


def _stage_settings(preparation: Preparation, origin: Origin) -> Iterator[Setting]:
    for stage in preparation.checkpoint.lifecycle.stages:
        settings = preparation.settings.get(stage)
        if settings is None:
            yield Setting(key=f"stage.{stage}.bin", value=None, source="not given: passed over")
            continue
        resolved = _resolved(preparation, stage, settings)
        for option in STAGE_OPTIONS:
            if option.key in resolved:
                value, level = resolved[option.key]
                shown = tuple(map(str, value)) if isinstance(value, tuple) else value
                source = _source(level, option, stage, origin)
            elif not option.table:
                shown = _shown(option, settings, preparation.masker)
                source = _own_source(preparation, stage, option, origin)
            else:
                continue  # most stages have no retries, and nothing is said of them
            yield Setting(key=".".join(("stage", stage, *option.path)), value=shown, source=source)


def _resolved(preparation: Preparation, stage: str, settings: StageSettings) -> dict[str, Resolved]:
    """Return what several levels may say; of retries only where one of them does."""
    checkpoint = preparation.checkpoint
    found = resolved_limits(checkpoint, stage, settings)
    retry = resolved_retry(checkpoint, stage, settings)
    if any(one.level is not Level.DEFAULT for one in retry.values()):
        found |= retry
    return found


def _source(level: Level, option: StageOption, stage: str, origin: Origin) -> str:
    match level:
        case Level.STAGE:
            return origin("stage", stage, *option.path)
        case Level.RUN:
            return f"as {option.key}"
        case Level.LIFECYCLE | Level.DEFAULT:
            return level.value
        case _:
            assert_never(level)


def _shown(option: StageOption, settings: StageSettings, masker: Masker) -> Value:
    """Return a setting as it may be shown: masked, and of the environment only the keys."""
    value = settings.command if option.key == "bin" else getattr(settings, option.key)
    match option.kind:
        case Kind.PAIR | Kind.NAME:
            return tuple(value)
        case Kind.TEXT:
            return masker.mask_all(value)
        case Kind.FILE | Kind.DIRECTORY:
            return masker.mask_all(value) if option.is_repeatable else masker.mask(value)
        case Kind.FLAG | Choices() | Bounds():
            return cast("Value", value)
        case _:
            assert_never(option.kind)


def _own_source(preparation: Preparation, stage: str, option: StageOption, origin: Origin) -> str:
    """Return where a setting that only the stage itself can have was set."""
    if option.key == "cwd":
        given = preparation.config.stages.get(stage)
        is_given = given is not None and given.cwd is not None
        is_set, otherwise = preparation.config.resume or is_given, "the operator's directory"
    else:
        settings = preparation.settings[stage]
        is_set = option.key == "bin" or bool(getattr(settings, option.key))
        otherwise = DEFAULT
    return origin("stage", stage, *option.path) if is_set else otherwise
