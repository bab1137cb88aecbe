"""The shape of a config file, and how it combines with options. Every option of a run has a key."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fsm_orchestrator.config.given_types import (
    AfterGiven,
    Base,
    ClosingGiven,
    NonEmptyText,
    RunQueueGiven,
)
from fsm_orchestrator.config.origins import GivenFile, keys_given
from fsm_orchestrator.config.run_config import GivenModel, RunConfig, StageGiven
from fsm_orchestrator.constants import STATE_NAME_PATTERN
from fsm_orchestrator.disk.where import RelativeTo, base_of
from fsm_orchestrator.lifecycle.source import is_name
from fsm_orchestrator.model.base import GateName, Principal, RunId, SchemaVersion, StateName
from fsm_orchestrator.model.declared import ConfigDict, Field
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.model.limits import GraceMilliseconds, Milliseconds, RunLimitFields
from fsm_orchestrator.vocabulary import (
    GateSource,
    LogFormat,
    LogLevel,
    OnChangedStage,
    OnLeak,
)

if TYPE_CHECKING:
    from fsm_orchestrator.gates.sources.base import SourceModel
    from fsm_orchestrator.model.evidence import SubjectGiven
else:
    SourceModel = lazily("fsm_orchestrator.gates.sources.registry", "SourceGiven")
    SubjectGiven = lazily("fsm_orchestrator.model.evidence", "SubjectGiven")


class _Signals:
    """Reads `[gates]`: the values of gates that every lifecycle has are known."""

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> Any:
        from pydantic_core import core_schema  # noqa: PLC0415 - only where pydantic judges

        known = {
            gate: core_schema.typed_dict_field(
                core_schema.literal_schema(list(rule.values)), required=False
            )
            for gate, rule in MANDATORY_RULES.items()
        }
        others = core_schema.str_schema()
        return core_schema.typed_dict_schema(known, extra_behavior="allow", extras_schema=others)

    def __get_pydantic_json_schema__(self, _schema: object, _handler: object) -> dict[str, Any]:
        known = {
            gate: {
                "description": f"The signal of the gate {gate}; only {rule.passing} passes.",
                "enum": list(rule.values),
                "type": "string",
            }
            for gate, rule in MANDATORY_RULES.items()
        }
        return {
            "type": "object",
            "properties": known,
            "patternProperties": {f"^{STATE_NAME_PATTERN}$": {"type": "string"}},
            "additionalProperties": False,
        }


class ConfigFile(RunLimitFields, GivenModel, ClosingGiven, RunQueueGiven, AfterGiven):
    """A config file. Every key is optional; relative paths are relative to the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, strict=True)

    schema_version: SchemaVersion = Field(default=1, description="The version of this format.")
    lifecycle: NonEmptyText | None = Field(
        default=None, description="The name of a built-in lifecycle, or a path to one."
    )
    relative_to: Base = Field(
        default=RelativeTo.FILE.value,
        description="What the relative paths of this file are relative to: its own directory"
        " (file), the one in which the command is typed (cwd), or the absolute path of another.",
    )
    run_id: RunId | None = Field(default=None, description="The id of the run.")
    resume: bool | None = Field(default=None, description="Whether to continue the run in OUT.")
    resume_or_start: bool | None = Field(
        default=None,
        description="Whether to continue the run in OUT if it is not done, and to start a new one"
        " otherwise.",
    )
    on_changed_stage: OnChangedStage | None = Field(
        default=None, description="What to do about a completed stage that has changed."
    )
    rerun: tuple[StateName, ...] | None = Field(
        default=None, description="Completed stages to rerun, with all stages after them."
    )
    keep_secrets: bool | None = Field(
        default=None,
        description="Whether values of secrets are stored for a resume until the run is done.",
    )
    timeout_ms: Milliseconds | None = Field(
        default=None, description="How long each stage may run, in milliseconds."
    )
    kill_grace_ms: GraceMilliseconds | None = Field(
        default=None,
        description="How long each stage may take to end after SIGTERM, in milliseconds, where its"
        " own settings do not say.",
    )
    on_leak: OnLeak | None = Field(
        default=None,
        description="What it means for a stage that it leaves processes running: warn or fail.",
    )
    fixed_clock: dt.datetime | None = Field(
        default=None, description="The time at which the clock stands still, for golden files."
    )
    log_format: LogFormat | None = Field(
        default=None,
        description=(
            "The log on stderr: text, JSON lines, or live on a terminal and text elsewhere."
        ),
    )
    log_level: LogLevel | None = Field(
        default=None,
        description="The least severe events that are shown on stderr; info unless given.",
    )
    log_output: bool | None = Field(
        default=None,
        description="Whether each line that a stage prints becomes an event of the log.",
    )
    telemetry: bool | None = Field(
        default=None,
        description="Whether each invocation is shown to OpenTelemetry once it has ended, at"
        " OTEL_EXPORTER_OTLP_ENDPOINT.",
    )
    json_: bool | None = Field(
        default=None, alias="json", description="Whether the result is printed as JSON."
    )
    gates: Annotated[Mapping[str, str], _Signals()] = Field(
        default_factory=dict,
        description="The gates' signals, by gate; of a gate that the lifecycle declares, one of its"
        " values.",
    )
    gate: Mapping[GateName, SourceModel] = Field(
        default_factory=dict, description="The source of evidence of each gate, by its name."
    )
    requester: Principal | None = Field(
        default=None, description="Who asks for approvals, as a principal of allowed_signers."
    )
    subject: SubjectGiven | None = Field(
        default=None, description="What the run is about; looked at when it begins."
    )
    stage: Mapping[StateName, StageGiven] = Field(
        default_factory=dict, description="The settings of each stage, by its name."
    )


def combined(flags: RunConfig, file: ConfigFile) -> RunConfig:
    """Combine options and file.

    The stricter gate signal counts. For everything else the option wins; lists are replaced as a
    whole, the environment is merged by key.
    """
    gates, sources = _combined_gates(flags, file)
    signals_in_file = {
        gate: status
        for gate, status in file.gates.items()
        if gate in flags.gates and gate not in MANDATORY_RULES
    }
    stages = {
        stage: _combined_stage(flags.stages.get(stage), file.stage.get(stage))
        for stage in (*file.stage, *(name for name in flags.stages if name not in file.stage))
    }
    fields = (
        *("lifecycle", "run_id", "timeout_ms", "kill_grace_ms", "on_leak", "fixed_clock"),
        *("requester", "run_timeout_ms", "total_timeout_ms", *ClosingGiven.model_fields),
        *RunQueueGiven.model_fields,
        *AfterGiven.model_fields,
    )
    chosen = {field: getattr(file, field) for field in fields if getattr(flags, field) is None}
    if file.on_changed_stage is not None and "on_changed_stage" not in flags.model_fields_set:
        chosen["on_changed_stage"] = file.on_changed_stage
    is_said = flags.resume or flags.resume_or_start
    return flags.model_copy(
        update={
            **chosen,
            "resume": flags.resume or (not is_said and bool(file.resume)),
            "resume_or_start": (
                flags.resume_or_start or (not is_said and bool(file.resume_or_start))
            ),
            "log_output": flags.log_output or bool(file.log_output),
            "telemetry": flags.telemetry or bool(file.telemetry),
            "keep_secrets": flags.keep_secrets or bool(file.keep_secrets),
            "rerun": flags.rerun or file.rerun or (),
            "budget": {**(file.budget or {}), **(flags.budget or {})} or None,
            "gates": gates,
            "gate_sources": sources,
            "signals_in_file": signals_in_file,
            "sources": {**file.gate, **flags.sources},
            "subject": file.subject if flags.subject is None else flags.subject,
            "stages": stages,
        }
    )


def with_file(flags: RunConfig, file: ConfigFile, path: str, sha256: str) -> RunConfig:
    """Combine options and the file at the absolute `path`, and note what came from the file.

    A path of a lifecycle in the file is resolved against the file's base. Other paths, and
    templates, are left until the run is known: file_texts.py, asked_texts.py.
    """
    base = base_of(file.relative_to, os.path.dirname(path), flags.directory)
    if file.lifecycle is not None and not is_name(file.lifecycle):
        file = file.model_copy(update={"lifecycle": str(Path(base, file.lifecycle))})
    if file.notify is not None:
        notices = tuple(one.based(base) for one in file.notify)
        file = file.model_copy(update={"notify": notices})
    both = combined(flags, file)
    given = GivenFile(path=path, sha256=sha256, keys=_keys_decided(flags, both), base=base)
    return both.model_copy(update={"config_file": given})


def _keys_decided(flags: RunConfig, both: RunConfig) -> tuple[str, ...]:
    """Return the keys of the settings that the file decided when options and file were combined."""
    by_flag = set(keys_given(flags.model_dump(mode="json", exclude_none=True)))
    from_file = {
        f"gates.{gate}" for gate, one in both.gate_sources.items() if one is GateSource.CONFIG
    }
    given = keys_given(both.model_dump(mode="json", exclude_none=True))
    return tuple(key for key in given if key not in by_flag or key in from_file)


def _combined_gates(
    flags: RunConfig, file: ConfigFile
) -> tuple[dict[str, str], dict[str, GateSource]]:
    gates = dict(flags.gates)
    sources: dict[str, GateSource] = {}
    for gate, status in file.gates.items():
        rule = MANDATORY_RULES.get(gate)
        is_tighter = rule is not None and rule.is_tighter(status, gates.get(gate, rule.passing))
        if gate not in gates or is_tighter:
            gates[gate] = status
            sources[gate] = GateSource.CONFIG
    return gates, sources


def _combined_stage(flags: StageGiven | None, file: StageGiven | None) -> StageGiven:
    if flags is None or file is None:
        return flags or file or StageGiven()
    given = flags.model_dump(exclude_none=True)
    if flags.env is not None:
        given["env"] = {**(file.env or {}), **flags.env}
    if flags.secrets is not None:
        given["secrets"] = {**(file.secrets or {}), **flags.secrets}
    if flags.retry is not None:
        given["retry"] = flags.retry.over(file.retry)
    if flags.confine is not None:
        given["confine"] = flags.confine.over(file.confine)
    if flags.artifact is not None:
        given["artifact"] = flags.artifact
    return file.model_copy(update=given)
