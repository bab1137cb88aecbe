"""The origins of a run's settings: the option or file, and the invocation.

The checkpoint keeps them, so that a resume can compare the files of then with those of now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from fsm_orchestrator.model.base import Many, Ordinal, Sha256, StateName, StrictModel
from fsm_orchestrator.model.declared import Field, StringConstraints
from fsm_orchestrator.model.stage_options import TABLES
from fsm_orchestrator.vocabulary import SettingSource

RUN_KEYS: Final = (
    *("timeout_ms", "kill_grace_ms", "on_leak", "allow_empty", "skip_stages"),
    "task_queue",
)
"""The settings of a run that its checkpoint keeps under the same names."""
_SettingKey = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$", max_length=200)
]


class InputKind(StrEnum):
    """The kind of a file that an invocation was given."""

    CONFIG = "config"
    LIFECYCLE = "lifecycle"


class GivenFile(StrictModel):
    """A config file that an invocation is given."""

    path: str = Field(description="Its absolute path.")
    sha256: Sha256 = Field(description="SHA-256 of its bytes, in hexadecimal.")
    keys: tuple[str, ...] = Field(description="The settings that it decides, by key.")
    base: str = Field(description="The directory that its relative paths are relative to.")


class InputFile(StrictModel):
    """A file that an invocation was given, as it was then."""

    kind: InputKind = Field(description="What the file is.")
    path: str = Field(description="Its absolute path.")
    sha256: Sha256 = Field(description="SHA-256 of its bytes, in hexadecimal.")
    directory: str = Field(description="The operator's directory when it was given.")
    invocation: Ordinal = Field(description="Number of the invocation that it was given to.")


class SettingOrigin(StrictModel):
    """The origin of one setting."""

    source: SettingSource = Field(description="What gave it.")
    invocation: Ordinal = Field(description="Number of the invocation that it was given to.")


class Origins(StrictModel):
    """The origins of a run's settings."""

    files: Annotated[tuple[InputFile, ...], Many] = Field(
        description="The files that it still has a setting or its lifecycle from."
    )
    by_setting: Annotated[dict[_SettingKey, SettingOrigin], Field(max_length=10_000)] = Field(
        description="By key as a config file has it; what is not listed was not given."
    )
    stages_since: dict[StateName, Ordinal] = Field(
        description="By stage, the invocation that gave it the work that it has: all but limits."
    )

    def file_of(self, kind: InputKind, invocation: int) -> InputFile | None:
        """Return the file of a kind that an invocation was given."""
        wanted = (kind, invocation)
        return next((one for one in self.files if (one.kind, one.invocation) == wanted), None)

    def keys_of(self, file: InputFile) -> tuple[str, ...]:
        """Return the keys of the settings that the run still has from a config file."""
        origin = SettingOrigin(source=SettingSource.CONFIG, invocation=file.invocation)
        return tuple(key for key, one in self.by_setting.items() if one == origin)


NO_ORIGINS = Origins(files=(), by_setting={}, stages_since={})
"""The origins of a run without any given settings yet."""


TIME_KEYS: Final = ("run_timeout_ms", "total_timeout_ms")
"""The limits on a run's time over all its stages."""


def keys_given(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the key of each setting in a configuration, as in a config file.

    `given` is the dumped configuration without the settings that were not given.
    """
    for key in ("lifecycle", *RUN_KEYS, *TIME_KEYS):
        if key in given:
            yield key
    yield from (f"budget.{unit}" for unit in given.get("budget", {}))
    yield from (f"gates.{gate}" for gate in given.get("gates", {}))
    yield from (f"gate.{gate}" for gate in given.get("sources", {}))
    if "subject" in given:
        yield "subject"
    for stage, settings in given.get("stages", {}).items():
        for key, value in settings.items():
            if key in TABLES:
                yield from (f"stage.{stage}.{key}.{name}" for name in value)
            else:
                yield f"stage.{stage}.{key}"


def with_given(
    kept: Origins,
    invocation: int,
    given: Mapping[str, Any],
    config_keys: tuple[str, ...],
    files: tuple[InputFile, ...],
) -> Origins:
    """Return the origins with those of an invocation; a new binary resets those of its stage."""
    keys = tuple(keys_given(given))
    redeclared = tuple(
        f"stage.{stage}." for stage, one in given.get("stages", {}).items() if "bin" in one
    )
    settings = {key: one for key, one in kept.by_setting.items() if not key.startswith(redeclared)}
    flag, config = (
        SettingOrigin(source=source, invocation=invocation)
        for source in (SettingSource.FLAG, SettingSource.CONFIG)
    )
    settings |= {key: config if key in config_keys else flag for key in keys}
    origins = Origins(
        files=(*kept.files, *files), by_setting=settings, stages_since=kept.stages_since
    )
    lifecycles = [one for one in origins.files if one.kind is InputKind.LIFECYCLE]
    in_use = [one for one in origins.files if origins.keys_of(one)] + lifecycles[-1:]
    return origins.model_copy(
        update={"files": tuple(one for one in origins.files if one in in_use)}
    )
