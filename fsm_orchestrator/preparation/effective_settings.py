"""The settings that a run would use, and where each came from: for `config show`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.vocabulary import DEFAULT_KILL_GRACE_MS, DEFAULT_TIMEOUT_MS, GateSource

DEFAULT = "default"
Origin = Callable[..., str]
"""Where a setting that is not a default was set, given the path of its key."""


class Setting(StrictModel):
    """One setting: its key as the config file has it, its value, and where it was set."""

    key: str
    value: str | int | bool | tuple[str, ...] | None
    source: str


def effective_settings(preparation: Preparation, origin: Origin) -> tuple[Setting, ...]:
    """List the settings of an invocation. Of the environment only the keys are shown."""
    return tuple(_run_settings(preparation, origin)) + tuple(_stage_settings(preparation, origin))


def _run_settings(preparation: Preparation, origin: Origin) -> Iterator[Setting]:
    checkpoint = preparation.checkpoint
    yield Setting(
        key="lifecycle",
        value=checkpoint.lifecycle.name,
        source=origin("lifecycle") if _is_kept(preparation, "lifecycle") else DEFAULT,
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
    is_given = preparation.config.on_leak is not None
    yield Setting(
        key="on_leak",
        value=checkpoint.on_leak.value,
        source=origin("on_leak") if is_given or preparation.config.resume else DEFAULT,
    )


def _stage_settings(preparation: Preparation, origin: Origin) -> Iterator[Setting]:
    lifecycle, masker = preparation.checkpoint.lifecycle, preparation.masker
    for stage in lifecycle.stages:
        settings = preparation.settings.get(stage)
        if settings is None:
            yield Setting(key=f"stage.{stage}.bin", value=None, source="not given: passed over")
            continue
        values: tuple[tuple[str, str | int | bool | tuple[str, ...], bool, str], ...] = (
            ("bin", masker.mask_path(settings.command), True, DEFAULT),
            ("args", masker.mask_all(settings.args), bool(settings.args), DEFAULT),
            ("env", tuple(settings.env), bool(settings.env), DEFAULT),
            (
                "expected_artifacts",
                masker.mask_paths(settings.expected_artifacts),
                bool(settings.expected_artifacts),
                DEFAULT,
            ),
            (
                "cwd",
                masker.mask_path(settings.cwd),
                _has_cwd(preparation, stage),
                "the operator's directory",
            ),
            ("allow_stale", settings.allow_stale, settings.allow_stale, DEFAULT),
        )
        for field, value, is_set, otherwise in values:
            source = origin("stage", stage, field) if is_set else otherwise
            yield Setting(key=f"stage.{stage}.{field}", value=value, source=source)
        yield from _limit_settings(preparation, stage, origin)
        yield from _retry_settings(preparation, stage, origin)


def _limit_settings(preparation: Preparation, stage: str, origin: Origin) -> Iterator[Setting]:
    checkpoint = preparation.checkpoint
    limits = preparation.limits_of(stage)
    for field in LIMIT_FIELDS:
        if getattr(preparation.settings[stage].limits, field) is not None:
            source = origin("stage", stage, field)
        elif getattr(checkpoint, field, None) is not None:
            source = f"as {field}"
        elif getattr(checkpoint.lifecycle.states[stage], field) is not None:
            source = "lifecycle"
        else:
            source = DEFAULT
        yield Setting(key=f"stage.{stage}.{field}", value=getattr(limits, field), source=source)


def _retry_settings(preparation: Preparation, stage: str, origin: Origin) -> Iterator[Setting]:
    """List the settings of retries, unless nothing is said of them: most stages have none."""
    given = preparation.settings[stage].retry
    declared = preparation.checkpoint.lifecycle.states[stage].retry
    if given == RetryPolicy() and declared is None:
        return
    policy = preparation.retry_of(stage)
    for field in RetryPolicy.model_fields:
        if getattr(given, field) is not None:
            source = origin("stage", stage, "retry", field)
        elif declared is not None and getattr(declared, field) is not None:
            source = "lifecycle"
        else:
            source = DEFAULT
        value = getattr(policy, field)
        shown = tuple(map(str, value)) if isinstance(value, tuple) else value
        yield Setting(key=f"stage.{stage}.retry.{field}", value=shown, source=source)


def _is_kept(preparation: Preparation, key: str) -> bool:
    return preparation.config.resume or getattr(preparation.config, key) is not None


def _has_cwd(preparation: Preparation, stage: str) -> bool:
    given = preparation.config.stages.get(stage)
    return preparation.config.resume or (given is not None and given.cwd is not None)
