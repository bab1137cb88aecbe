"""Field types and closed sets that several models share, and the base class of all models."""

import os
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from fsm_orchestrator.constants import (
    REASON_CODE_PATTERN,
    RUN_ID_PATTERN,
    STATE_NAME_PATTERN,
    TASK_QUEUE_PATTERN,
)
from fsm_orchestrator.model.declared import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
)
from fsm_orchestrator.vocabulary import Ending, Trigger


class ExitMeaning(StrEnum):
    """The meaning of an exit code of a stage, where its lifecycle gives the code one."""

    REWORK = "rework"
    NOTHING_TO_DO = "nothing_to_do"
    BLOCKED = "blocked"

    @property
    def ending(self) -> Ending:
        """The ending of an attempt that exits with such a code."""
        return _ENDINGS[self]

    @property
    def trigger(self) -> Trigger:
        """The trigger that it is for the machine."""
        return _TRIGGERS[self]

    @property
    def words(self) -> str:
        """The action of the stage, as people read it."""
        match self:
            case ExitMeaning.REWORK:
                return "asked for rework"
            case ExitMeaning.NOTHING_TO_DO:
                return "had nothing to do"
            case ExitMeaning.BLOCKED:
                return "said that it is blocked"

    @property
    def level(self) -> str:
        """The level at which the end of such an attempt is logged: it is not a failure."""
        return "warning" if self is ExitMeaning.BLOCKED else "info"

    @staticmethod
    def of(ending: Ending | None) -> "ExitMeaning | None":
        """Return the meaning of an exit code that led to an ending; None for other endings."""
        return next((one for one, its in _ENDINGS.items() if its is ending), None)


_ENDINGS = {
    ExitMeaning.REWORK: Ending.REWORK_REQUESTED,
    ExitMeaning.NOTHING_TO_DO: Ending.DECLINED,
    ExitMeaning.BLOCKED: Ending.BLOCKED,
}
_TRIGGERS = {
    ExitMeaning.REWORK: Trigger.REWORK_REQUESTED,
    ExitMeaning.NOTHING_TO_DO: Trigger.STAGE_DECLINED,
    ExitMeaning.BLOCKED: Trigger.STAGE_BLOCKED,
}


class OnFinallyFailure(StrEnum):
    """The consequence for a done run if the stage that always runs did not succeed."""

    FAIL = "fail"
    WARN = "warn"


class EvidenceDemand(StrEnum):
    """The demand of a gate state on a signal: with `required`, a typed one can only refuse."""

    REQUIRED = "required"


def _refuse_bool(value: Any) -> Any:
    """Refuse true and false as numbers: Python compares True equal to 1."""
    if isinstance(value, bool):
        raise ValueError("is a number, not true or false")  # noqa: TRY004 - pydantic's protocol
    return value


PathText = Annotated[
    str,
    BeforeValidator(lambda value: os.fspath(value) if isinstance(value, os.PathLike) else value),
    StringConstraints(pattern=r"^[^\x00]+$"),
]
Timestamp = Annotated[
    str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", max_length=24)
]
StateName = Annotated[str, StringConstraints(pattern=f"^{STATE_NAME_PATTERN}$", max_length=64)]
GateName = Annotated[str, StringConstraints(pattern=f"^{STATE_NAME_PATTERN}$", max_length=64)]
RunId = Annotated[str, StringConstraints(pattern=f"^{RUN_ID_PATTERN}$")]
TaskQueue = Annotated[str, StringConstraints(pattern=f"^{TASK_QUEUE_PATTERN}$")]
"""The name of an engine's task queue, and so of the machines that serve it."""
LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"

Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=LINE_PATTERN)]
"""A text that is printed unchanged: no line breaks, no terminal control codes."""
ReasonCode = Annotated[str, StringConstraints(pattern=f"^{REASON_CODE_PATTERN}$", max_length=64)]
ExitCodeText = Annotated[
    str, StringConstraints(pattern=r"^([1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$")
]
"""An exit code, 1 to 255, as the key of a document."""
Count = Annotated[int, Field(ge=0)]
Ordinal = Annotated[int, Field(ge=1)]
SchemaVersion = Annotated[Literal[1], BeforeValidator(_refuse_bool)]

Many = FailFast()
"""The mark of long lists: validation stops at the first wrong entry. Reporting every error in a
list made to be wrong would take a hundred thousand times the file's size."""
Principal = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20,\"*?!]+$", max_length=500)]
"""A person as a file of allowed signers names them; not a pattern."""
EpochName = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}\.[0-9]{6}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
GitCommit = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]


class StrictModel(BaseModel):
    """The base of everything that is kept: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
