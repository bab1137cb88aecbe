"""The config file: whatever the flags can say, in TOML, read into a frozen model.

Everything that is wrong with a file is found at once, with its line. How file and flags combine
is said in `combined`: the tighter gate counts, for all else the flag.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import CoreSchema, core_schema

from fsm_orchestrator.config.run_config import (
    GivenModel,
    NonEmptyText,
    RunConfig,
    StageGiven,
    named_location,
)
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import LifecycleError, UsageError
from fsm_orchestrator.gates.rules import GATE_RULES
from fsm_orchestrator.lifecycle import reading as lifecycle
from fsm_orchestrator.model.base import RunId, SchemaVersion, StateName
from fsm_orchestrator.model.limits import GraceMilliseconds, Milliseconds
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.text.phrases import described, suggestion
from fsm_orchestrator.text.toml import NotATableError, line_of, table_of, value_at
from fsm_orchestrator.vocabulary import (
    DEFAULT_LIFECYCLE,
    Gate,
    GateSource,
    LogFormat,
    LogLevel,
    OnChangedStage,
    OnLeak,
)

CONFIG_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True)
class _SignalOf:
    """Says of a field that it takes the values that a gate knows."""

    gate: Gate

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        return core_schema.literal_schema(list(GATE_RULES[self.gate].values))


def _signal_of(gate: Gate) -> Any:
    passing = GATE_RULES[gate].passing
    described = f"The signal of the gate {gate.value}; only {passing} passes."
    return Field(default=None, description=described)


class GatesGiven(GivenModel):
    """`[gates]`: the signals, by gate."""

    policy: Annotated[str, _SignalOf(Gate.POLICY)] | None = _signal_of(Gate.POLICY)
    ci: Annotated[str, _SignalOf(Gate.CI)] | None = _signal_of(Gate.CI)
    review: Annotated[str, _SignalOf(Gate.REVIEW)] | None = _signal_of(Gate.REVIEW)

    def given(self) -> dict[Gate, str]:
        """The signals that the file gives."""
        return {Gate(name): value for name, value in self if value is not None}


class ConfigFile(GivenModel):
    """A config file. Every key is optional; paths are relative to the operator's directory."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, strict=True)

    schema_version: SchemaVersion = Field(default=1, description="The version of this format.")
    lifecycle: NonEmptyText | None = Field(
        default=None, description="The name of a shipped lifecycle, or a path to one."
    )
    run_id: RunId | None = Field(default=None, description="The id of the run.")
    resume: bool | None = Field(default=None, description="Whether to continue the run in OUT.")
    on_changed_stage: OnChangedStage | None = Field(
        default=None, description="What to do about a completed stage that is not what it was."
    )
    rerun: tuple[StateName, ...] | None = Field(
        default=None, description="Completed stages to run again, with all after them."
    )
    timeout_ms: Milliseconds | None = Field(
        default=None, description="How long each stage may run, in milliseconds."
    )
    kill_grace_ms: GraceMilliseconds | None = Field(
        default=None,
        description=(
            "How long each stage may take to end after SIGTERM, in milliseconds, where its own"
            " settings do not say."
        ),
    )
    on_leak: OnLeak | None = Field(
        default=None,
        description="What it means for a stage that it leaves processes running: warn or fail.",
    )
    fixed_clock: dt.datetime | None = Field(
        default=None, description="The time at which time stands still, for golden files."
    )
    log_format: LogFormat | None = Field(
        default=None,
        description="The log on stderr: text, JSON lines, or by whether stderr is a terminal.",
    )
    log_level: LogLevel | None = Field(
        default=None,
        description="The least grave events that are shown on stderr; info unless given.",
    )
    log_output: bool | None = Field(
        default=None,
        description="Whether each line that a stage prints becomes an event of the log.",
    )
    json_: bool | None = Field(
        default=None, alias="json", description="Whether the result is printed as JSON."
    )
    gates: GatesGiven = Field(default_factory=GatesGiven, description="The gates' signals.")
    stage: Mapping[StateName, StageGiven] = Field(
        default_factory=dict, description="The settings of each stage, by its name."
    )


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """A config file that could be read: its name, its text and what it says."""

    name: str
    text: str
    content: ConfigFile

    def origin(self, *path: str) -> str:
        """`run.toml:7` for a key that the file sets."""
        return _at(self.name, self.text, path)


def load(path: Path, name: str) -> ReadConfig:
    """Read a config file; `name` is what messages call it.

    Raises:
        UsageError: it cannot be read or something in it is wrong; every problem has a line.
    """
    return _understood(name, *_read(path, name))


def _understood(name: str, text: str, document: dict[str, Any]) -> ReadConfig:
    try:
        content = ConfigFile.model_validate_json(json.dumps(document, default=_json_value))
    except ValidationError as error:
        raise _refusal(_problems(error, name, text, document)) from None
    return ReadConfig(name=name, text=text, content=content)


def check(path: Path, name: str) -> ReadConfig:
    """Read a config file as `load` does, and hold its stages against its lifecycle as well.

    Raises:
        UsageError: everything that is wrong with it, at once.
    """
    text, document = _read(path, name)
    problems = list(_stage_problems(name, text, document))
    try:
        read = _understood(name, text, document)
    except UsageError as error:
        problems = [*str(error).splitlines(), *problems]
    if problems:
        raise UsageError("\n".join(problems), remedy="mend the file")
    return read


def _read(path: Path, name: str) -> tuple[str, dict[str, Any]]:
    try:
        data = files.read_bounded(path, CONFIG_BYTES_MAX)
    except OSError as error:
        raise UsageError(
            f"cannot read the config file {name}: {files.reason(error)}",
            remedy="name a TOML file",
        ) from error
    try:
        document = table_of(data)  # first: it says best what is wrong with the bytes
        return data.decode(), document
    except NotATableError as error:
        raise _refusal([f"{name}: {error}"]) from error


def _stage_problems(name: str, text: str, document: Mapping[str, Any]) -> Iterator[str]:
    """Stages that the lifecycle does not have, and settings for a stage without a binary."""
    stages = document.get("stage")
    asked = document.get("lifecycle", DEFAULT_LIFECYCLE)
    if not isinstance(stages, dict) or not isinstance(asked, str):
        return
    try:
        known = lifecycle.find(asked, Path()).stages
    except LifecycleError as error:
        yield f"{_at(name, text, ('lifecycle',))}: {error}"
        return
    for stage, settings in stages.items():
        where = _at(name, text, ("stage", stage))
        if stage not in known:
            hint = suggestion(stage, known) or f"; its stages are {', '.join(known)}"
            yield f"{where}: the lifecycle {asked!r} has no stage {described(stage)}{hint}"
        elif isinstance(settings, dict) and "bin" not in settings:
            yield f"{where}: stage {described(stage)} has settings, but no key 'bin'"


def _at(name: str, text: str, path: tuple[int | str, ...]) -> str:
    line = line_of(text, path)
    return name if line is None else f"{name}:{line}"


def combined(flags: RunConfig, file: ConfigFile) -> RunConfig:
    """What flags and file say together.

    The tighter gate counts. For all else the flag wins; lists are replaced as a whole, the
    environment is overlaid by key.
    """
    gates, sources = _combined_gates(flags, file)
    stages = {
        stage: _combined_stage(flags.stages.get(stage), file.stage.get(stage))
        for stage in (*file.stage, *(name for name in flags.stages if name not in file.stage))
    }
    fields = ("lifecycle", "run_id", "timeout_ms", "kill_grace_ms", "on_leak", "fixed_clock")
    chosen = {field: getattr(file, field) for field in fields if getattr(flags, field) is None}
    if file.on_changed_stage is not None and "on_changed_stage" not in flags.model_fields_set:
        chosen["on_changed_stage"] = file.on_changed_stage
    return flags.model_copy(
        update={
            **chosen,
            "resume": flags.resume or bool(file.resume),
            "log_output": flags.log_output or bool(file.log_output),
            "rerun": flags.rerun or file.rerun or (),
            "gates": gates,
            "gate_sources": sources,
            "stages": stages,
        }
    )


def _combined_gates(
    flags: RunConfig, file: ConfigFile
) -> tuple[dict[Gate, str], dict[Gate, GateSource]]:
    gates = dict(flags.gates)
    sources: dict[Gate, GateSource] = {}
    for gate, status in file.gates.given().items():
        if gate not in gates or GATE_RULES[gate].is_tighter(status, gates[gate]):
            gates[gate] = status
            sources[gate] = GateSource.CONFIG
    return gates, sources


def _combined_stage(flags: StageGiven | None, file: StageGiven | None) -> StageGiven:
    if flags is None or file is None:
        return flags or file or StageGiven()
    given = flags.model_dump(exclude_none=True)
    if flags.env is not None:
        given["env"] = {**(file.env or {}), **flags.env}
    if flags.retry is not None:
        given["retry"] = flags.retry.over(file.retry)
    return file.model_copy(update=given)


def _json_value(value: object) -> object:
    """A TOML time as JSON has it; a time without an offset is UTC."""
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).isoformat()
    return str(value)


def _problems(
    error: ValidationError, name: str, text: str, document: Mapping[str, Any]
) -> list[str]:
    """One line for each problem, in the order of the file's lines."""
    found = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        path = tuple("json" if part == "json_" else part for part in detail["loc"])
        path = named_location(path)
        what = _what(detail["type"], detail["msg"], path, document)
        found.append((line_of(text, path) or 0, f"{_at(name, text, path)}: {what}"))
    return [problem for _, problem in sorted(found)]


def _what(kind: str, message: str, path: tuple[int | str, ...], document: Any) -> str:
    key = ".".join(str(part) for part in path)
    if kind == "extra_forbidden":
        known = _known_keys(path)
        hint = suggestion(str(path[-1]), known) or f"; known keys: {', '.join(known)}"
        return f"unknown key {described(key)}{hint}"
    is_secret = "env" in path
    return f"key {described(key)}: {_expectation(message)}" + (
        "" if is_secret else f", not {described(value_at(document, path))}"
    )


def _expectation(message: str) -> str:
    text = message.removeprefix("Input should be ").removeprefix("Value error, ")
    return f"should be {text}" if message.startswith("Input should be") else text


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    match path:
        case ("gates", _):
            return list(GatesGiven.model_fields)
        case ("stage", _, _):
            return list(StageGiven.model_fields)
        case ("stage", _, "retry", _):
            return list(RetryPolicy.model_fields)
        case _:
            fields = ConfigFile.model_fields
            return [field.alias or name for name, field in fields.items()]


def _refusal(problems: list[str]) -> UsageError:
    return UsageError(
        "\n".join(problems),
        remedy="mend the file; `fsm-orchestrator config check FILE` finds everything at once",
    )
