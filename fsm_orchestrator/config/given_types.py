"""The types of the settings that an operator gives for a stage: texts, variable names, lists."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fsm_orchestrator.constants import ARCHIVED_KEPT_MAX, NOTICES_MAX, VERIFICATIONS_MAX
from fsm_orchestrator.model.base import StateName, TaskQueue
from fsm_orchestrator.model.declared import (
    BaseModel,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.model.limits import Milliseconds, unset
from fsm_orchestrator.model.option_kinds import INHERITED_WORDS

if TYPE_CHECKING:
    from pydantic import ValidationInfo

    from fsm_orchestrator.config.notice import Notice
else:
    Notice = lazily("fsm_orchestrator.config.notice", "Notice")

Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
NonEmptyText = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]


def _a_base(given: Any) -> Any:
    is_path = isinstance(given, str) and os.path.isabs(given) and "\0" not in given
    if isinstance(given, str) and not is_path and given not in ("file", "cwd"):
        raise ValueError("should be file, cwd or an absolute path")
    return given


Base = Annotated[
    str, StringConstraints(pattern=r"^(file|cwd|/[^\x00]*)$"), BeforeValidator(_a_base)
]
"""The base of a file's paths: one of `RelativeTo`, or an absolute path."""


ArchivedKept = Annotated[int, Field(ge=0, le=ARCHIVED_KEPT_MAX)]
"""The number of archived runs that are left in an output directory."""


def _one_word(given: Any) -> Any:
    """Accept a list that holds only the one word for the word itself, as an option gives it."""
    listed = isinstance(given, list | tuple)
    word = given[0] if listed and len(given) == 1 else given
    if isinstance(word, str) and word in INHERITED_WORDS:
        return word
    if not listed or not all(isinstance(one, str) and one and "=" not in one for one in given):
        raise ValueError(f"should be {' or '.join(INHERITED_WORDS)}, or a list of variables' names")
    return given


def _words(given: Any) -> Any:
    """Refuse a value that is not a command: a list of words, the program first."""
    listed = isinstance(given, list | tuple)
    if not listed or not given or not all(isinstance(one, str) for one in given) or not given[0]:
        raise ValueError('each command is a list of words, such as ["pytest", "-q"]')
    return given


CommandWords = Annotated[
    Annotated[tuple[Text, ...], Strict(strict=False), Field(min_length=1)], BeforeValidator(_words)
]
Commands = Annotated[tuple[CommandWords, ...], Field(max_length=VERIFICATIONS_MAX)]
"""Commands, each a list of words."""
EnvironmentKey = Annotated[str, StringConstraints(pattern=r"^[^\x00=]+$")]
Inherited = Annotated[
    Annotated[tuple[EnvironmentKey, ...], Strict(strict=False)] | Literal["all", "minimal"],
    BeforeValidator(_one_word),
]
"""The part of the operator's environment that a stage inherits: a word, or names of variables."""


def _secrets_by_key(given: Any, info: "ValidationInfo") -> Any:
    """Accept a list of names, or, from a program only, a mapping with values."""
    if isinstance(given, list | tuple):
        if not all(isinstance(one, str) and one and "=" not in one for one in given):
            raise ValueError("each is the name of a variable; its value is in the environment")
        return dict.fromkeys(given)
    if info.mode == "json":
        raise ValueError("input should be a list of names of variables")
    return given


DeclaredSecrets = Annotated[
    Mapping[EnvironmentKey, Text | None],
    BeforeValidator(_secrets_by_key),
    WithJsonSchema({"type": "array", "items": {"type": "string", "pattern": "^[^\x00=]+$"}}),
]
"""Secrets by name; a value of None is taken from the environment."""


class VerifyGiven(BaseModel):
    """The keys of a model with the settings given for verification; null means not given."""

    verify: Commands | None = unset("verify")
    verify_timeout_ms: Milliseconds | None = unset("verify_timeout_ms")
    clean_env: bool | None = unset("clean_env")
    verify_unconfined: bool | None = unset("verify_unconfined")


class ClosingGiven(BaseModel):
    """The keys of a model with the settings given for closing a run; null means not given."""

    reverify: bool | None = Field(
        default=None,
        description="Whether a resume verifies again the work of a stage that failed only in its"
        " verification, instead of running the stage again.",
    )
    allow_empty: bool | None = Field(
        default=None,
        description="Whether the run may be closed although stages were passed over for lack of a"
        " binary, or nothing was run at all; false unless given.",
    )
    skip_stages: tuple[StateName, ...] | None = Field(
        default=None,
        description="Stages that are to be passed over: the run may be closed without them.",
    )


class StageQueueGiven(BaseModel):
    """The key of a model with the task queue given for a stage; null means not given."""

    task_queue: TaskQueue | None = unset("task_queue")


class RunQueueGiven(BaseModel):
    """The key of a model with the task queue given for a run; null means not given."""

    task_queue: TaskQueue | None = Field(
        default=None,
        description="The task queue of the machines that the stages need, where an engine runs"
        " them and neither their own settings nor the lifecycle say; without an engine it has no"
        " effect.",
    )


class AfterGiven(BaseModel):
    """The keys of a model with the settings given for after the end of an invocation."""

    notify: Annotated[tuple[Notice, ...], Field(max_length=NOTICES_MAX)] | None = Field(
        default=None,
        description="Who is notified of the ends of the run, and how; a resume notifies as the run"
        " did before, unless given.",
    )
    keep_archived: ArchivedKept | None = Field(
        default=None,
        description="How many archived runs are left in the output directory when this one has"
        " ended; all unless given.",
    )


class PlaceGiven(BaseModel):
    """The instructions for an output directory that is not where its run was."""

    as_copy: bool = Field(
        default=False,
        description="Whether a copy of a run is continued as a separate run, under a new id.",
    )
    adopt: bool = Field(
        default=False,
        description="Whether a run whose directory came from elsewhere is continued under its own"
        " id.",
    )
