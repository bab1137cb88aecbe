"""The document that a policy judges: the known facts of the run, as one JSON value.

OPA calls it `input`; for Cedar it is the `context`. Nothing in it is masked: a text that holds a
secret is left out, so that no policy decides on `***`. Loaded only by runs that ask a policy.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from fsm_orchestrator.gates.judging import GateSignal
from fsm_orchestrator.model.base import (
    Count,
    Many,
    Ordinal,
    RunId,
    SchemaVersion,
    Sha256,
    StateName,
    StrictModel,
    Timestamp,
)
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.invocation import GateDecision


class PolicyFileKind(StrEnum):
    """The role of a file for the engine."""

    POLICY = "policy"
    DATA = "data"
    SCHEMA = "schema"


class PolicyFile(StrictModel):
    """A file that the policy was judged with."""

    kind: PolicyFileKind = Field(description="Its role for the engine.")
    path: str | None = Field(description="Its absolute path; null where that holds a secret.")
    sha256: Sha256 = Field(description="SHA-256 of its bytes, in hexadecimal.")


class PolicyUsed(StrictModel):
    """The policy that judges the document."""

    language: Literal["rego", "cedar"] = Field(description="The language of the policy.")
    query: str | None = Field(description="The rule that is asked for; null for Cedar.")
    files: Annotated[tuple[PolicyFile, ...], Many] = Field(
        description="Its files, in the order in which the engine takes them."
    )


class ThingNamed(StrictModel):
    """One entry of the subject of the run."""

    name: str | None = Field(description="Its path; null where that holds a secret.")
    digest: dict[str, str] = Field(
        description="Its digests by algorithm: gitCommit, gitTree or sha256, in hexadecimal."
    )


class WorkDone(StrictModel):
    """An expected artifact of a completed stage."""

    stage: StateName = Field(description="The stage that left it.")
    path: str | None = Field(description="Its absolute path; null where that holds a secret.")
    sha256: Sha256 = Field(description="SHA-256 of its bytes, in hexadecimal.")


class StageToJudge(StrictModel):
    """A stage, and the command that it runs."""

    command: str | None = Field(
        description="The binary: an absolute path, or a name looked up on PATH; null where it holds"
        " a secret."
    )
    args: tuple[str, ...] = Field(
        description="Its arguments in order, except those that hold a secret."
    )
    args_left_out: Count = Field(
        description="How many arguments were left out, because they hold a secret."
    )
    directory: str | None = Field(
        description="The directory that it runs in; null where its path holds a secret."
    )
    environment: tuple[str, ...] = Field(
        description="The names of the variables that it is given, secrets included; no values."
    )
    expected_artifacts: tuple[str, ...] = Field(
        description="The files that it must write, except those whose path holds a secret."
    )
    expected_artifacts_left_out: Count = Field(description="How many of those were left out.")
    is_completed: bool = Field(description="Whether it is complete, in the current cycle.")
    cycle: Ordinal = Field(description="The loop cycle that it is in, from 1.")


class LifecycleFollowed(StrictModel):
    """The lifecycle of the run."""

    name: str = Field(description="Its name.")
    sha256: Sha256 = Field(description="SHA-256 of the relation that it declares, in hexadecimal.")
    state: StateName = Field(description="The state that the run is in.")


class StartedBy(StrictModel):
    """The person who started the invocation, and the machine."""

    user: str | None = Field(description="Name of the user; null without a name.")
    uid: Count = Field(description="Id of that user.")
    host: str = Field(description="Name of the machine.")


class PolicyInput(StrictModel):
    """The input of a policy."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    run_id: RunId = Field(description="Identifies the run, over all its invocations.")
    invocation: Ordinal = Field(description="Number of the invocation that asks.")
    started_by: StartedBy | None = Field(
        description="Who started that invocation; null with --fixed-clock."
    )
    time: Timestamp = Field(description="When the policy is asked, in UTC.")
    gate: str = Field(description="The gate that the policy answers for.")
    policy: PolicyUsed = Field(description="The policy itself, by the digests of its files.")
    lifecycle: LifecycleFollowed = Field(description="The lifecycle that the run follows.")
    output_directory: str | None = Field(
        description="The output directory of the run; null where its path holds a secret."
    )
    subject: tuple[ThingNamed, ...] = Field(
        description="What the run is about; empty if that was not given."
    )
    work: Annotated[tuple[WorkDone, ...], Many] = Field(
        description="The expected artifacts of the stages completed so far in this cycle."
    )
    stages: dict[StateName, StageToJudge] = Field(
        description="Every stage that has a binary, by its name."
    )
    signals: dict[str, GateSignal] = Field(
        description="The typed signal of every gate, this one included, by the gate's name."
    )
    gates: dict[str, GateDecision] = Field(
        description="What the other gates decide, with their evidence, by the gate's name."
    )
