"""What each stage runs with: given now, else kept, else the default. And how two settings differ.

`StageSettings` is exact and lives in memory (and, for secrets, in the private file); what goes
into the output directory is `StageRecord`, without environment values.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import Field

from fsm_orchestrator.config.run_config import RunConfig, StageGiven, Text
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.model import Lifecycle, State
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.limits import (
    GivenLimits,
    IdleTimeoutMs,
    KillGraceMs,
    OutputLimitBytes,
    SlowAfterMs,
    TimeoutMs,
    limits_in,
)
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import StageSecrets
from fsm_orchestrator.text.phrases import option_prefix


@dataclass(frozen=True, slots=True)
class StageSettings:
    """Everything a stage runs with; paths are absolute, a bare command name stays bare.

    `env` values are None where only the key is known: the private file is gone.
    `is_complete` is False where secrets were masked out and cannot be had back.
    """

    command: str
    args: tuple[str, ...]
    cwd: str
    env: Mapping[str, str | None] = field(default_factory=dict)
    expected_artifacts: tuple[str, ...] = ()
    limits: GivenLimits = field(default_factory=GivenLimits)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    allow_stale: bool = False
    is_complete: bool = True

    @property
    def missing_values(self) -> tuple[str, ...]:
        """The keys of environment pairs whose value is not known any more."""
        return tuple(key for key, value in self.env.items() if value is None)


class StageRecord(StrictModel):
    """A stage's settings as the checkpoint keeps them.

    Equal environment values can be recognised by their digests, and nothing be guessed from them.
    """

    command: str = Field(
        description="The program: an absolute path, or a name looked up on PATH; masked."
    )
    args: tuple[Text, ...] = Field(
        description="Its arguments in order; known secret values are masked."
    )
    is_masked: bool = Field(
        description=(
            "Whether something is masked in these settings, so that they cannot be used as they"
            " are: the exact ones are in the private file."
        )
    )
    cwd: str = Field(description="Absolute path of the directory it runs in.")
    env_digests: dict[str, str] = Field(
        description=(
            "HMAC-SHA-256 in hexadecimal of each environment variable given, by its name, under a"
            " key that is not in the output directory; empty where the value was lost."
        )
    )
    expected_artifacts: tuple[str, ...] = Field(
        description="Absolute paths of the files that the stage must write."
    )
    timeout_ms: TimeoutMs
    kill_grace_ms: KillGraceMs
    idle_timeout_ms: IdleTimeoutMs
    slow_after_ms: SlowAfterMs
    output_limit_bytes: OutputLimitBytes
    retry: RetryPolicy | None = Field(
        description="When the stage is tried again by itself; null when nothing was given."
    )
    allow_stale: bool = Field(
        description=(
            "Whether an expected artifact may be one that was there before and was not written"
            " again."
        )
    )


def given_settings(
    config: RunConfig, lifecycle: Lifecycle, kept: Mapping[str, StageSettings]
) -> dict[str, StageSettings]:
    """The settings of every stage that has a binary: kept ones overlaid by those given now.

    Raises:
        UsageError: settings for an unknown stage, or for one without a binary.
    """
    unknown = [stage for stage in config.stages if stage not in lifecycle.stages]
    if unknown:
        raise UsageError(
            f"the lifecycle {lifecycle.name!r} has no stage {unknown[0]!r}",
            remedy=f"its stages are {', '.join(lifecycle.stages)}",
        )
    merged = {}
    for stage in lifecycle.stages:
        settings = _merge(stage, config, kept.get(stage))
        if settings is not None:
            merged[stage] = settings
            _refuse_senseless_retry(lifecycle.states[stage], settings)
    return merged


def _refuse_senseless_retry(declared: State, settings: StageSettings) -> None:
    retry = settings.retry.over(declared.retry)
    option = option_prefix(declared.name)
    if retry.names_nothing:
        raise UsageError(
            f"stage {declared.name!r} has {retry.max_attempts} attempts, but nothing is named to"
            " try again after",
            remedy=f"give {option}-retry-exit-code CODE, or {option}-retry-timeouts",
        )
    if declared.rework_exit_code in (retry.exit_codes or ()):
        raise UsageError(
            f"stage {declared.name!r} asks for rework by exit code {declared.rework_exit_code}, so"
            " it cannot be tried again after it",
            remedy="leave that code out",
        )


def _merge(stage: str, config: RunConfig, kept: StageSettings | None) -> StageSettings | None:
    given = config.stages.get(stage, StageGiven())
    if given.bin is not None:
        command = config.absolute(given.bin) if os.sep in given.bin else given.bin
        kept = StageSettings(command=command, args=(), cwd=config.directory)
    if given.is_empty:
        return kept
    if kept is None:
        raise UsageError(
            f"settings for stage {stage!r}, but no binary: none was given and none is kept",
            remedy=f"give {option_prefix(stage)}-bin as well",
        )
    artifacts = given.expected_artifacts
    return replace(
        kept,
        args=kept.args if given.args is None else given.args,
        cwd=kept.cwd if given.cwd is None else config.absolute(given.cwd),
        env={**kept.env, **(given.env or {})},
        expected_artifacts=(
            kept.expected_artifacts
            if artifacts is None
            else tuple(dict.fromkeys(config.absolute(path) for path in artifacts))
        ),
        limits=limits_in(given).over(kept.limits),
        retry=(given.retry or RetryPolicy()).over(kept.retry),
        allow_stale=kept.allow_stale if given.allow_stale is None else given.allow_stale,
    )


def record_of(
    settings: StageSettings, masker: Masker, digest_key: bytes, kept: StageRecord | None
) -> StageRecord:
    """What the checkpoint keeps of `settings`; the digests of lost values are taken from `kept`."""
    command, cwd = masker.mask_paths((settings.command, settings.cwd))
    args = masker.mask_all(settings.args)
    artifacts = masker.mask_paths(settings.expected_artifacts)
    exact = (settings.command, settings.cwd, settings.args, settings.expected_artifacts)
    kept_digests = {} if kept is None else kept.env_digests
    return StageRecord(
        command=command,
        args=args,
        is_masked=(command, cwd, args, artifacts) != exact or not settings.is_complete,
        cwd=cwd,
        env_digests={
            key: kept_digests.get(key, "") if value is None else env_digest(digest_key, key, value)
            for key, value in settings.env.items()
        },
        expected_artifacts=artifacts,
        **settings.limits._asdict(),
        retry=None if settings.retry == RetryPolicy() else settings.retry,
        allow_stale=settings.allow_stale,
    )


def env_digest(digest_key: bytes, key: str, value: str) -> str:
    """HMAC-SHA256 of one environment pair, in hexadecimal."""
    return hmac.new(digest_key, f"{key}={value}".encode(), hashlib.sha256).hexdigest()


def settings_of(record: StageRecord) -> StageSettings:
    """The settings that a checkpoint alone gives back: without environment values."""
    return StageSettings(
        command=record.command,
        args=record.args,
        cwd=record.cwd,
        env=dict.fromkeys(record.env_digests),
        expected_artifacts=record.expected_artifacts,
        limits=limits_in(record),
        retry=record.retry or RetryPolicy(),
        allow_stale=record.allow_stale,
        is_complete=not record.is_masked,
    )


def secrets_of(settings: Mapping[str, StageSettings]) -> dict[str, StageSecrets]:
    """What must be kept privately: all stages exactly, as soon as any has environment values.

    A value of one stage may stand in an argument of another. Settings that are known only masked
    are not kept: what is masked must never be run.
    """
    if not any(one.env for one in settings.values()):
        return {}
    return {
        stage: StageSecrets(
            command=one.command,
            args=one.args,
            cwd=one.cwd,
            expected_artifacts=one.expected_artifacts,
            env={key: value for key, value in one.env.items() if value is not None},
        )
        for stage, one in settings.items()
        if one.is_complete
    }
