"""Every setting that a run would use, and its source: for `config show`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never, cast

from fsm_orchestrator.config.config_file import ConfigFile
from fsm_orchestrator.config.origins import TIME_KEYS
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import DEFAULT_KILL_GRACE_MS, DEFAULT_TIMEOUT_MS
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.option_kinds import INHERIT_ALL, Bounds, Choices, Kind, StageOption
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.model.verify_options import VERIFY_KEYS
from fsm_orchestrator.preparation.precedence import (
    Level,
    Resolved,
    resolved_limits,
    resolved_queue,
    resolved_retry,
)
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.text.hidden import shell_line
from fsm_orchestrator.vocabulary import GateSource, LogFormat, LogLevel, OnChangedStage

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import RunBudget

DEFAULT: Final = Level.DEFAULT.value
Origin = Callable[..., str]
"""A function from the path of a key to where that setting, if it is no default, was set."""


Value: TypeAlias = str | int | bool | tuple[str, ...] | None


class Setting(StrictModel):
    """One setting: its key in the config file, its value, and where it was set.

    `is_set` is True if somebody set it for the run or the stage; `path` has the parts of its key.
    """

    key: str
    value: Value
    source: str
    is_set: bool
    path: tuple[str, ...] = Field(exclude=True)


def effective_settings(
    preparation: Preparation, origin: Origin, asked: ConfigFile | None = None
) -> tuple[Setting, ...]:
    """Return the settings of an invocation. Of the environment, only the keys are shown.

    Args:
        preparation: the invocation.
        origin: returns where a setting was set.
        asked: the config file, for its settings of this invocation alone; None if there is none.
    """
    return (
        *_run_settings(preparation, origin),
        *_asked_settings(asked, origin),
        *_stage_settings(preparation, origin),
    )


def setting(path: tuple[str, ...], value: Value, source: str, *, is_set: bool) -> Setting:
    """Return a setting with the key that its parts form."""
    return Setting(key=".".join(path), value=value, source=source, is_set=is_set, path=path)


def _setting(path: tuple[str, ...], value: Value, source: str | None) -> Setting:
    """Return a setting; one without a source has its default."""
    shown = DEFAULT if source is None else source
    return setting(path, value, shown, is_set=source is not None)


def _asked_settings(asked: ConfigFile | None, origin: Origin) -> Iterator[Setting]:
    """Yield the settings of this invocation alone, which are not kept: id, output, repetition."""
    defaults: dict[str, Value] = {
        "log_format": LogFormat.AUTO.value,
        "log_level": LogLevel.INFO.value,
        "log_output": False,
        "telemetry": False,
        "json": False,
    }
    if asked is not None:
        defaults |= {
            "run_id": None,
            "resume": False,
            "resume_or_start": False,
            "on_changed_stage": OnChangedStage.REFUSE.value,
            "rerun": (),
            "reverify": False,
            "keep_secrets": False,
            "requester": None,
            "fixed_clock": None,
            "keep_archived": None,
        }
    given = {} if asked is None else asked.model_dump(mode="json", by_alias=True, exclude_none=True)
    for key, default in defaults.items():
        value = given.get(key, default)
        value = tuple(value) if isinstance(value, list) else value
        yield _setting((key,), value, origin(key) if key in given else None)


def _run_settings(preparation: Preparation, origin: Origin) -> Iterator[Setting]:
    checkpoint, config = preparation.checkpoint, preparation.config
    is_given = config.lifecycle is not None or config.resume
    source = origin("lifecycle") if is_given else None
    yield _setting(("lifecycle",), checkpoint.lifecycle.name, source)
    for signal in checkpoint.gate_signals:
        is_default = signal.source is GateSource.DEFAULT
        source = None if is_default else origin("gates", signal.gate)
        yield _setting(("gates", signal.gate), signal.status, source)
    for gate, one in checkpoint.sources.items():
        yield _setting(("gate", gate), one.words, origin("gate", gate))
    about = None if checkpoint.subject is None else checkpoint.subject.lines
    yield _setting(("subject",), about, None if about is None else origin("subject"))
    for key, kept, default in (
        ("timeout_ms", checkpoint.timeout_ms, DEFAULT_TIMEOUT_MS),
        ("kill_grace_ms", checkpoint.kill_grace_ms, DEFAULT_KILL_GRACE_MS),
    ):
        yield _setting(
            (key,), default if kept is None else kept, None if kept is None else origin(key)
        )
    yield from _budget_settings(checkpoint.budget, origin)
    is_given = config.on_leak is not None or config.resume
    yield _setting(("on_leak",), checkpoint.on_leak.value, origin("on_leak") if is_given else None)
    for key, closing in (
        ("allow_empty", checkpoint.allow_empty),
        ("skip_stages", checkpoint.skip_stages),
    ):
        yield _setting((key,), closing, origin(key) if closing else None)
    queue = checkpoint.task_queue
    yield _setting(("task_queue",), queue, None if queue is None else origin("task_queue"))
    told = tuple(one.all_words for one in checkpoint.notify)
    yield _setting(("notify",), told or None, origin("notify") if told else None)


def _budget_settings(budget: RunBudget | None, origin: Origin) -> Iterator[Setting]:
    for key in TIME_KEYS:
        value = None if budget is None else getattr(budget, key)
        yield _setting((key,), value, None if value is None else origin(key))
    units = {} if budget is None else budget.units
    if not units:
        yield _setting(("budget",), None, None)
    for unit, amount in units.items():
        yield _setting(("budget", unit), amount, origin("budget", unit))


def _stage_settings(preparation: Preparation, origin: Origin) -> Iterator[Setting]:
    for stage in preparation.checkpoint.lifecycle.stages:
        settings = preparation.settings.get(stage)
        if settings is None:
            yield setting(("stage", stage, "bin"), None, "not given: passed over", is_set=False)
            continue
        resolved = _resolved(preparation, stage, settings)
        for option in STAGE_OPTIONS:
            if option.key in resolved:
                value, level = resolved[option.key]
                shown = tuple(map(str, value)) if isinstance(value, tuple) else value
                source = _source(level, option, stage, origin)
                is_set = level in {Level.STAGE, Level.LIFECYCLE}
            elif _says_nothing(option, settings):
                continue  # as for retries below
            elif not option.table:
                shown = _shown(option, settings, preparation.masker)
                is_set = _is_own(preparation, stage, option)
                source = origin("stage", stage, *option.path) if is_set else _otherwise(option)
            elif option.table == "confine" and settings.confine is not None:
                value = getattr(settings.confine, option.key)
                shown = value if not isinstance(value, tuple) else tuple(map(str, value))
                is_set = value is not None
                source = origin("stage", stage, *option.path) if is_set else DEFAULT
            else:
                continue  # most stages have no retries: these are not shown
            yield setting(("stage", stage, *option.path), shown, source, is_set=is_set)
        if settings.contracts:
            from fsm_orchestrator.config.given_contracts import words_of  # noqa: PLC0415 - rare

            words = tuple(map(words_of, settings.contracts))
            yield setting(
                ("stage", stage, "artifact"),
                words,
                origin("stage", stage, "artifact"),
                is_set=True,
            )


def _says_nothing(option: StageOption, settings: StageSettings) -> bool:
    """Return whether a setting of verifications was not given, and there are none."""
    is_of_them = option.key in VERIFY_KEYS and not settings.verify
    return is_of_them and getattr(settings, option.key) in (None, (), option.key == "clean_env")


def _resolved(preparation: Preparation, stage: str, settings: StageSettings) -> dict[str, Resolved]:
    """Return the settings that several levels may give; those of retries only if one does."""
    checkpoint = preparation.checkpoint
    found = resolved_limits(checkpoint, stage, settings)
    queue = resolved_queue(checkpoint.lifecycle, checkpoint.task_queue, stage, settings)
    found["task_queue"] = queue
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
    """Return a setting as it may be shown: masked, and only the keys of the environment."""
    value = settings.command if option.key == "bin" else getattr(settings, option.key)
    match option.kind:
        case Kind.PAIR | Kind.NAME:
            return tuple(value)
        case Kind.TEXT if isinstance(value, str):
            return value
        case Kind.TEXT:
            return masker.mask_all(value)
        case Kind.FILE | Kind.DIRECTORY:
            return masker.mask_all(value) if option.is_repeatable else masker.mask(value)
        case Kind.COMMAND:
            return tuple(shell_line(masker.mask_all(one)) for one in value)
        case Kind.FLAG | Kind.PORT | Kind.QUEUE | Choices() | Bounds():
            return cast("Value", value)
        case _:
            assert_never(option.kind)


def _is_own(preparation: Preparation, stage: str, option: StageOption) -> bool:
    """Return whether a setting that only the stage itself can have was set."""
    if option.key == "cwd":
        given = preparation.config.stages.get(stage)
        return preparation.config.resume or (given is not None and given.cwd is not None)
    if option.key == "clean_env":
        return not preparation.settings[stage].clean_env
    if option.key == "env_inherit":
        return preparation.settings[stage].env_inherit != INHERIT_ALL
    return option.key == "bin" or bool(getattr(preparation.settings[stage], option.key))


def _otherwise(option: StageOption) -> str:
    return "the operator's directory" if option.key == "cwd" else DEFAULT
