"""The differences between two runs: the shapes of the answer.

Facts are compared, never sentences; what is no fact of a run (its id, its times, its directory)
does not differ.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from fsm_orchestrator.lifecycle.diff import DiffVerdict
from fsm_orchestrator.model.base import Count, Many, RunId, SchemaVersion, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.vocabulary import Standing

Value = str | int | bool | tuple[str, ...]
"""A value of a fact: a text, a number, a yes or no, or several words in order."""


class Aspect(StrEnum):
    """The aspects in which two runs are compared, in the order in which they are shown."""

    OUTCOME = "outcome"
    WAY = "way"
    STAGES = "stages"
    LIFECYCLE = "lifecycle"
    SUBJECT = "subject"
    GATES = "gates"
    COMMANDS = "commands"
    PROGRAMS = "programs"
    SETTINGS = "settings"
    ENVIRONMENT = "environment names"
    INPUTS = "inputs"
    ARTIFACTS = "artifacts"
    VERSIONS = "versions"
    HOST = "host"
    DURATIONS = "durations"

    @property
    def decides(self) -> bool:
        """True if runs that differ only in it are not the same: a busy machine is no difference."""
        return self is not Aspect.DURATIONS


class ComparedRun(StrictModel):
    """One of the two runs."""

    source: str = Field(description="Absolute path of its directory, or of its bundle.")
    run_id: RunId = Field(description="Identifies the run.")
    standing: Standing = Field(description="Where it stands, or stood when it was bundled.")
    started_at: Timestamp = Field(description="When its latest invocation began, in UTC.")
    finished_at: Timestamp | None = Field(
        description="When that ended, in UTC; null while it works, and forever if it was killed."
    )
    trouble: str | None = Field(
        description="What is wrong with its files, as a sentence; null when nothing is."
    )


class Fact(StrictModel):
    """A fact of a run, by which it can be compared."""

    aspect: Aspect = Field(description="The aspect that it belongs to.")
    part: str | None = Field(
        description="The stage or the gate that it belongs to; null for the run."
    )
    what: str = Field(
        description="What it is: a key of a record, or a word such as `variable`, `program`."
    )
    name: str | None = Field(
        description="Which one, where there can be several: the path of an artifact, the name of a"
        " variable; null elsewhere."
    )


class Difference(Fact):
    """A fact that is not the same in both runs."""

    decides: bool = Field(
        description="Whether it makes them differ: durations alone do not, and are listed only"
        " where one is twice the other, and a second longer."
    )
    a: Value | None = Field(description="What A has; null where it has no such thing.")
    b: Value | None = Field(description="What B has; null where it has no such thing.")


class SameFact(Fact):
    """A fact that is the same in both runs."""

    value: Value = Field(description="What both have.")


class Comparison(StrictModel):
    """The differences between two runs. No value of a variable is compared, or known here."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    product: Literal["fsm-orchestrator"] = Field(description="The program that compared them.")
    a: ComparedRun = Field(description="The first run.")
    b: ComparedRun = Field(description="The second run.")
    is_same: bool = Field(description="Whether nothing that decides differs.")
    compared: Count = Field(description="How many things were compared.")
    lifecycle_change: DiffVerdict | None = Field(
        description="What the lifecycle of B does to the guarantees of that of A; null where both"
        " follow the same."
    )
    differences: Annotated[tuple[Difference, ...], Many] = Field(
        description="What differs, the outcome first, then what may have led to it."
    )
    same: Annotated[tuple[SameFact, ...], Many] = Field(description="What is the same in both.")

    def differences_in(self, aspect: Aspect) -> tuple[Difference, ...]:
        """Return the differences in an aspect."""
        return tuple(one for one in self.differences if one.aspect is aspect)

    @property
    def same_aspects(self) -> tuple[Aspect, ...]:
        """The aspects in which nothing differs."""
        return tuple(one for one in Aspect if not self.differences_in(one))
