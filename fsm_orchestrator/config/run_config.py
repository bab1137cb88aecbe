"""RunConfig: all settings given now; None means not given. stage_settings.py adds the kept ones."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fsm_orchestrator.config.given_types import (
    AfterGiven,
    ClosingGiven,
    DeclaredSecrets,
    EnvironmentKey,
    Inherited,
    PlaceGiven,
    RunQueueGiven,
    StageQueueGiven,
    Text,
    VerifyGiven,
)
from fsm_orchestrator.config.origins import GivenFile
from fsm_orchestrator.disk.where import current_directory
from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.model.base import GateName, PathText, Principal, RunId, Sha256, StateName
from fsm_orchestrator.model.declared import BaseModel, ConfigDict, Field, field_validator
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.model.limits import (
    GraceMilliseconds,
    LimitFields,
    Milliseconds,
    RunLimitFields,
    unset,
)
from fsm_orchestrator.model.promises import OnUnmetered
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.secrets.declared import known, looks_secret
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.text.phrases import suggestion
from fsm_orchestrator.vocabulary import Gate, GateSource, OnChangedStage, OnLeak

if TYPE_CHECKING:
    from pydantic import ValidationError, ValidationInfo

    from fsm_orchestrator.gates.sources.base import SourceModel
    from fsm_orchestrator.model.confinement import Confine
    from fsm_orchestrator.model.contracts import ContractGiven
    from fsm_orchestrator.model.evidence import SubjectGiven
else:
    ContractGiven = lazily("fsm_orchestrator.model.contracts", "ContractGiven")
    Confine = lazily("fsm_orchestrator.model.confinement", "Confine")
    SourceModel = lazily("fsm_orchestrator.gates.sources.registry", "SourceGiven")
    SubjectGiven = lazily("fsm_orchestrator.model.evidence", "SubjectGiven")


class GivenModel(BaseModel):
    """Base of an operator's settings: frozen, unknown keys refused, values never echoed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    if not TYPE_CHECKING:  # a type checker reads the fields

        def __new__(cls, /, **given: Any) -> Self:
            """Refuse an unknown keyword, and suggest the nearest known one.

            Raises:
                UsageError: there is one.
            """
            fields = cls.model_fields
            unknown = [key for key in given if key not in fields]
            if unknown:
                raise UsageError("\n".join(_unknown(key, fields) for key in unknown))
            return super().__new__(cls)


def _unknown(key: str, known: Iterable[str]) -> str:
    return f"unknown keyword {key!r}{suggestion(key, known)}"


class GivenCommand(GivenModel):
    """The command given for a stage; null means not given."""

    bin: PathText | None = unset("bin")
    args: tuple[Text, ...] | None = unset("args")
    env: Mapping[EnvironmentKey, Text] | None = unset("env")
    secrets: DeclaredSecrets | None = unset("secrets")
    expected_artifacts: tuple[PathText, ...] | None = unset("expected_artifacts")


class StageGiven(LimitFields, VerifyGiven, StageQueueGiven, GivenCommand):
    """Settings given for one stage; null means not given."""

    retry: RetryPolicy | None = Field(
        default=None, description="When the stage is retried automatically; without it, never."
    )
    confine: Confine | None = Field(
        default=None, description="What the stage is confined to; without it, to nothing."
    )
    cwd: PathText | None = unset("cwd")
    allow_stale: bool | None = unset("allow_stale")
    on_unmetered: OnUnmetered | None = unset("on_unmetered")
    env_inherit: Inherited | None = unset("env_inherit")
    artifact: tuple[ContractGiven, ...] | None = Field(
        default=None, description="Contracts on artifacts, instead of those that were kept."
    )
    protect: tuple[PathText, ...] | None = unset("protect")
    inputs: tuple[PathText, ...] | None = unset("inputs")
    input_program: bool | None = unset("input_program")
    pin: bool | None = unset("pin")

    @property
    def is_empty(self) -> bool:
        """True if nothing was given."""
        return all(value is None for _, value in self)

    def secret_values(self) -> Iterator[str]:
        """Yield the secrets whose values were given here, by any option."""
        yield from (value for value in (self.secrets or {}).values() if value is not None)
        for key, value in (self.env or {}).items():
            if looks_secret(key) or key in (self.secrets or {}):
                yield value

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show only the keys of environment and secrets."""
        for name, value in super().__repr_args__():
            yield name, tuple(value) if name in {"env", "secrets"} and value else value


class RunConfig(RunLimitFields, GivenModel, ClosingGiven, RunQueueGiven, AfterGiven, PlaceGiven):
    """Settings given for one invocation; null means not given."""

    output_directory: PathText = Field(description="The directory that holds the run's files.")
    directory: PathText = Field(
        default_factory=current_directory,
        description="The operator's directory, which relative paths are relative to; the process's"
        " own unless given.",
    )
    resume: bool = Field(
        default=False,
        description="Whether to continue the run in the output directory instead of starting a new"
        " one.",
    )
    resume_or_start: bool = Field(
        default=False,
        description="Whether to continue the run in the output directory if it is not done, and to"
        " start a new one otherwise.",
    )
    lifecycle: PathText | None = Field(
        default=None, description="Name of a built-in lifecycle, or the path of a file."
    )
    run_id: RunId | None = Field(
        default=None, description="Id of the new run, or of the run to resume."
    )
    gates: Mapping[GateName, str] = Field(
        default_factory=dict, description="The signal of each gate that one was given for."
    )
    gate_sources: Mapping[GateName, GateSource] = Field(
        default_factory=dict,
        description="The sources of the signals; a flag, or the program, for a gate not listed.",
    )
    signals_in_file: Mapping[GateName, str] = Field(
        default_factory=dict,
        description="The signals that a config file gives besides options, for gates whose stricter"
        " signal only the lifecycle knows.",
    )
    sources: Mapping[GateName, SourceModel] = Field(
        default_factory=dict, description="The source of each gate's evidence, where it has one."
    )
    subject: SubjectGiven | None = Field(
        default=None, description="What the run is about; null means not given."
    )
    requester: Principal | None = Field(
        default=None, description="Who asks for approvals, as a principal; null means not given."
    )
    config_file: GivenFile | None = Field(
        default=None,
        description="The config file that some of the settings come from; none unless given.",
    )
    stages: Mapping[StateName, StageGiven] = Field(
        default_factory=dict, description="What was given for each stage, by its name."
    )
    timeout_ms: Milliseconds | None = Field(
        default=None,
        description="How long each stage may run, in milliseconds, where its own settings do not"
        " say.",
    )
    kill_grace_ms: GraceMilliseconds | None = Field(
        default=None,
        description="How long each stage may take to end after SIGTERM, in milliseconds, where its"
        " own settings do not say.",
    )
    on_leak: OnLeak | None = Field(
        default=None,
        description="Whether a stage that exits with 0 and leaves processes running has failed"
        " (fail), or is warned about (warn).",
    )
    keep_secrets: bool = Field(
        default=False,
        description="Whether values of secrets are stored for a resume, in the run's private file,"
        " until the run is done.",
    )
    on_changed_stage: OnChangedStage = Field(
        default=OnChangedStage.REFUSE,
        description="What a resume does about a completed stage that has changed.",
    )
    accept_record: Sha256 | None = Field(
        default=None,
        description="The digest of a record to continue from although it is not, or is"
        " not known to be, the one that was left here.",
    )
    state_key_file: PathText | None = Field(
        default=None,
        description="A file with a key that records are proved by, shared by those who work on"
        " them; the user's own key unless given.",
    )
    rerun: tuple[StateName, ...] = Field(
        default=(), description="Completed stages to run again, with all stages after them."
    )
    log_output: bool = Field(
        default=False, description="Whether each line that a stage prints is an event of the log."
    )
    telemetry: bool = Field(
        default=False, description="Whether it is shown to OpenTelemetry once it has ended."
    )
    fixed_clock: datetime | None = Field(
        default=None,
        description="The time at which the clock stands still, so that two equal runs give equal"
        " reports.",
    )

    @classmethod
    def refusal(cls, error: "ValidationError") -> UsageError:
        """Return a validation error as UsageError: a configuration is the caller's."""
        from fsm_orchestrator.config.closed_sets import meant  # noqa: PLC0415 - rare
        from fsm_orchestrator.text.validation import problems  # noqa: PLC0415 - rare

        given = [one["input"] for one in error.errors(include_url=False, include_context=False)]
        said = zip(problems(error), given, strict=True)
        return UsageError(
            "\n".join(f"{one.text}{meant(one, value, cls, StageGiven)}" for one, value in said)
        )

    @field_validator("fixed_clock")
    @classmethod
    def _in_utc(cls, at: datetime | None) -> datetime | None:
        if at is None:
            return None
        try:
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except OverflowError:
            raise ValueError("there is no such time in UTC") from None

    @field_validator("gates", "gate_sources", "sources", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        """Accept gates given as members of the enum, and return them by their names."""
        if not isinstance(given, Mapping):
            return given
        return {one.value if isinstance(one, Gate) else one: given[one] for one in given}

    @field_validator("subject")
    @classmethod
    def _absolute_subject(
        cls, subject: "SubjectGiven | None", info: "ValidationInfo"
    ) -> "SubjectGiven | None":
        """Make the paths absolute: a resume from another directory reads the subject again."""
        base = info.data.get("directory")
        if subject is None or base is None:
            return subject
        return subject.based(base)

    @field_validator("sources")
    @classmethod
    def _absolute_sources(
        cls, sources: "Mapping[str, SourceModel]", info: "ValidationInfo"
    ) -> "Mapping[str, SourceModel]":
        base = info.data.get("directory")
        return sources if base is None else {gate: one.based(base) for gate, one in sources.items()}

    @field_validator("gates")
    @classmethod
    def _check_signals(cls, gates: Mapping[str, str]) -> Mapping[str, str]:
        for gate, status in gates.items():
            rule = MANDATORY_RULES.get(gate)  # only the lifecycle knows the other gates
            if rule is not None and status not in rule.values:
                values = rule.values
                hint = suggestion(status, values)
                raise ValueError(f"{gate} is one of {', '.join(values)}{hint}")
        return gates

    def __repr__(self) -> str:
        """Return the representation with secrets masked, also in arguments."""
        return Masker(self.known_secrets()).mask(super().__repr__())

    def __str__(self) -> str:
        """Return the text with secrets masked, also in arguments."""
        return Masker(self.known_secrets()).mask(super().__str__())

    @field_validator("gate_sources")
    @classmethod
    def _check_sources(cls, sources: Mapping[str, GateSource]) -> Mapping[str, GateSource]:
        """Refuse a source that a signal given now cannot have."""
        for gate, source in sources.items():
            if source not in {GateSource.FLAG, GateSource.CONFIG}:
                raise ValueError(f"{gate} is given by flag or config, not by {source.value}")
        return sources

    def known_secrets(self) -> frozenset[str]:
        """Return the values of all secrets that are declared here, as far as they are known."""
        stages = self.stages.values()
        given = {value for one in stages for value in one.secret_values()}
        names = {key for one in stages for key in one.secrets or {}}
        return frozenset(given | {value for key in names if (value := known(key)) is not None})

    @contextlib.contextmanager
    def hidden_in_errors(self) -> Iterator[None]:
        """Mask the secrets in errors of this program that are raised in the block."""
        try:
            yield
        except OrchestratorError as error:
            masker = Masker(self.known_secrets())
            error.args = masker.mask_all(map(str, error.args))
            error.remedy = masker.mask(error.remedy)
            raise

    @property
    def has_tables(self) -> bool:
        """True if a config file may have set what gates ask, or the subject of the run."""
        return self.config_file is not None and bool(self.sources or self.subject)

    @property
    def has_other_gates(self) -> bool:
        """True if it names gates that only a lifecycle can declare."""
        return not MANDATORY_RULES.keys() >= {*self.gates, *self.sources}

    @cached_property
    def output_path(self) -> Path:
        """OUT, made absolute; links are not resolved."""
        return Path(self.directory, self.output_directory)

    def absolute(self, path: str) -> str:
        """Make a path of this invocation absolute, against the operator's directory.

        `..` is kept: after a symbolic link it does not mean what a normalized path would say.
        """
        return str(Path(self.directory, path))
