"""The types of what an operator gives for a stage: texts, names of variables, and lists of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fsm_orchestrator.model.base import Sha256
from fsm_orchestrator.model.declared import (
    BaseModel,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from fsm_orchestrator.model.option_kinds import INHERITED_WORDS

if TYPE_CHECKING:
    from pydantic import ValidationInfo

Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
NonEmptyText = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]


def _one_word(given: Any) -> Any:
    """Take the one word that an option gave for the word itself."""
    listed = isinstance(given, list | tuple)
    word = given[0] if listed and len(given) == 1 else given
    if isinstance(word, str) and word in INHERITED_WORDS:
        return word
    if not listed or not all(isinstance(one, str) and one and "=" not in one for one in given):
        raise ValueError(f"should be {' or '.join(INHERITED_WORDS)}, or a list of variables' names")
    return given


EnvironmentKey = Annotated[str, StringConstraints(pattern=r"^[^\x00=]+$")]
Inherited = Annotated[
    Annotated[tuple[EnvironmentKey, ...], Strict(strict=False)] | Literal["all", "minimal"],
    BeforeValidator(_one_word),
]
"""What of the operator's environment a stage inherits: a word, or the names of variables."""


def _secrets_by_key(given: Any, info: "ValidationInfo") -> Any:
    """Take a list of names, or, from a program only, a mapping that has values."""
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


class PlaceGiven(BaseModel):
    """What is said of an output directory that is not where its run was."""

    as_copy: bool = Field(
        default=False,
        description="Whether a copy of a run is continued as a run of its own, under a new id.",
    )
    adopt: bool = Field(
        default=False,
        description="Whether a run whose directory came from elsewhere is continued under its own"
        " id.",
    )
    accept_record: Sha256 | None = Field(
        default=None,
        description="The digest of the record that is adopted; null means not given.",
    )
