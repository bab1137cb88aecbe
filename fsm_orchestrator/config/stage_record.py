"""The kept form of a stage's settings.

`StageRecord` goes into the output directory, without environment values; with them, the settings
are kept in the private file.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from fsm_orchestrator.config.run_config import Text
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.limits import LIMIT_FIELDS, LimitFields
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.model.stage_options import OPTION_OF_KEY
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import StageSecrets


class RecordedCommand(StrictModel):
    """The command of a stage as the checkpoint keeps it."""

    model_config = ConfigDict(defer_build=True)

    command: str = Field(
        description="The binary: an absolute path, or a name looked up on PATH; masked."
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


class StageRecord(LimitFields, RecordedCommand):
    """A stage's settings as the checkpoint keeps them.

    Digests show whether an environment value is the same, and do not let it be guessed.
    """

    retry: RetryPolicy | None = Field(
        description="When the stage is tried again by itself; null when nothing was given."
    )
    allow_stale: bool = Field(description=OPTION_OF_KEY["allow_stale"].description)

    @model_validator(mode="after")
    def _refuse_gaps(self) -> Self:
        """Refuse a record without a limit: what the program writes has every key."""
        missing = [key for key in LIMIT_FIELDS if key not in self.model_fields_set]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        return self


def record_of(
    settings: StageSettings, masker: Masker, digest_key: bytes, kept: StageRecord | None
) -> StageRecord:
    """Return what the checkpoint keeps of `settings`; digests of lost values come from `kept`."""
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
    """Return the HMAC-SHA-256 of one environment pair, in hexadecimal."""
    return hmac.new(digest_key, f"{key}={value}".encode(), hashlib.sha256).hexdigest()


def settings_of(record: StageRecord) -> StageSettings:
    """Return the settings that a checkpoint alone gives back: without environment values."""
    return StageSettings(
        command=record.command,
        args=record.args,
        cwd=record.cwd,
        env=dict.fromkeys(record.env_digests),
        expected_artifacts=record.expected_artifacts,
        limits=record.limits,
        retry=record.retry or RetryPolicy(),
        allow_stale=record.allow_stale,
        is_complete=not record.is_masked,
    )


def secrets_of(settings: Mapping[str, StageSettings]) -> dict[str, StageSecrets]:
    """Return what the private file must hold: all stages, if any of them has environment values.

    A value of one stage may stand in an argument of another. Settings known only in masked form
    are not kept: they must never be run.
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
