"""RunConfig: the only form in which what the operator gave travels past the command line.

It holds what was given *now* and nothing else: `None` means not given. What a run uses, once
kept settings and defaults are added, is settings.py's duty.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.gates import GATE_RULES
from fsm_orchestrator.records import RunId, StateName
from fsm_orchestrator.vocabulary import MILLISECONDS_MAX, Gate, GateSource, OnChangedStage

Milliseconds = Annotated[int, Field(ge=1, le=MILLISECONDS_MAX)]
GraceMilliseconds = Annotated[int, Field(ge=0, le=MILLISECONDS_MAX)]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
NonEmptyText = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]
PathText = Annotated[
    str,
    BeforeValidator(lambda value: os.fspath(value) if isinstance(value, os.PathLike) else value),
    StringConstraints(pattern=r"^[^\x00]+$"),
]
EnvironmentKey = Annotated[str, StringConstraints(pattern=r"^[^\x00=]+$")]


class Given(BaseModel):
    """Base of what an operator gives: frozen, unknown keys refused, values never echoed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class StageGiven(Given):
    """What was given for one stage. `bin` redeclares the stage whole; the rest replaces its own."""

    bin: PathText | None = None
    args: tuple[Text, ...] | None = None
    env: Mapping[EnvironmentKey, Text] | None = None
    expected_artifacts: tuple[PathText, ...] | None = None
    timeout_ms: Milliseconds | None = None
    cwd: PathText | None = None
    allow_stale: bool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was given."""
        return not self.model_dump(exclude_none=True)


class RunConfig(Given):
    """What was given for one invocation.

    `output_directory` and relative paths in the settings are relative to `directory`, the
    operator's directory (default: the process's). `lifecycle` is a shipped name or a path.
    """

    output_directory: PathText
    directory: PathText = Field(default_factory=os.getcwd)
    resume: bool = False
    lifecycle: PathText | None = None
    run_id: RunId | None = None
    gates: Mapping[Gate, str] = Field(default_factory=dict)
    gate_sources: Mapping[Gate, GateSource] = Field(
        default_factory=dict,
        description="Where the signals came from; a flag, or the program, where it is silent.",
    )
    stages: Mapping[StateName, StageGiven] = Field(default_factory=dict)
    timeout_ms: Milliseconds | None = None
    kill_grace_ms: GraceMilliseconds | None = None
    on_changed_stage: OnChangedStage = OnChangedStage.REFUSE
    rerun: tuple[StateName, ...] = ()
    fixed_clock: datetime | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_as_usage(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """What is wrong with a configuration is the caller's mistake, told as such."""
        try:
            return handler(data)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            raise UsageError("\n".join(map(_in_words, problems))) from None

    @model_validator(mode="after")
    def _check_gates(self) -> Self:
        for gate, status in self.gates.items():
            values = GATE_RULES[gate].values
            if status not in values:
                raise ValueError(f"{gate.value} is one of {', '.join(values)}")
        return self

    @property
    def output_path(self) -> Path:
        """OUT, made absolute; links are kept as they are."""
        return Path(self.absolute(self.output_directory))

    def absolute(self, path: str) -> str:
        """A path of this invocation made absolute against the operator's directory."""
        return os.path.normpath(os.path.join(self.directory, path))


def _in_words(problem: ErrorDetails) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "there is no such setting"
    return f"{where}: {message[:1].lower()}{message[1:]}" if where else message
