"""The request: an in-toto statement that names everything that an approval covers.

The signers sign these bytes. They hold no secret: arguments are masked as in the record.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, NamedTuple

from fsm_orchestrator.gates.sources.envelope import json_value
from fsm_orchestrator.model.base import (
    Count,
    Ordinal,
    RunId,
    Sha256,
    StateName,
    StrictModel,
    Timestamp,
)
from fsm_orchestrator.model.declared import BaseModel, ConfigDict, Field, left_out
from fsm_orchestrator.model.evidence import SubjectEntry
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
REQUEST_TYPE: Final = "urn:fsm-orchestrator:approval:v0.1"
REQUEST_BYTES_MAX: Final = 16 * 1024**2


class RequestedFile(StrictModel):
    """A file that a command is run with, or an artifact."""

    path: str = Field(
        description="Its absolute path, or, in the output directory, the one relative to that;"
        " known secret values are masked."
    )
    sha256: Sha256 | None = Field(
        description="SHA-256 of its bytes, in hexadecimal; null where it cannot be read."
    )
    size: Count | None = Field(description="Its size in bytes; null where it cannot be read.")


class RequestedCommand(StrictModel):
    """The command of a stage that would be released."""

    stage: StateName = Field(description="Name of the stage.")
    argv: tuple[str, ...] = Field(
        description="The program and its arguments; known secret values are masked."
    )
    masked: bool = Field(description="Whether anything in it is masked.")
    directory: str = Field(
        description="Absolute path of the directory it runs in, or, in the output directory, the"
        " one relative to that; masked."
    )
    environment: tuple[str, ...] = Field(
        description="Names of the variables that the stage is given; no values."
    )
    confinement: Sha256 | None = Field(
        description="SHA-256 of what it is confined to, in hexadecimal; null where it is not."
    )
    held_to: Sha256 | None = left_out(
        None,
        "SHA-256 of its contracts, protected paths and declared inputs, in hexadecimal;"
        " left out where it has none.",
    )
    files: tuple[RequestedFile, ...] = Field(
        description="The program, where it is found, and every argument that is a regular file."
    )

    @property
    def _place(self) -> str:
        is_inside = not os.path.isabs(self.directory)
        return f"in {copyable(self.directory)}{' of the output directory' if is_inside else ''}"

    @property
    def lines(self) -> tuple[str, ...]:
        """The command as people read it, one line for each property."""
        return (
            f"$ {shlex.join(self.argv)}",
            self._place,
            *(f"sets {one}" for one in self.environment),
            *(() if self.confinement is None else (f"confined, sha256 {self.confinement}",)),
            *(() if self.held_to is None else (f"held to contracts, sha256 {self.held_to}",)),
            *(f"{copyable(one.path)} sha256 {one.sha256 or 'unreadable'}" for one in self.files),
        )

    @property
    def sha256(self) -> str:
        """The digest of the command with all its properties."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return sha256_of(text.encode())


class RequestedLifecycle(StrictModel):
    """The lifecycle that the run follows."""

    name: StateName = Field(description="Its name.")
    sha256: Sha256 = Field(description="SHA-256 of its relation, in hexadecimal.")


class Requester(StrictModel):
    """The person who asks."""

    principal: str | None = Field(description="As a principal; null where that was not said.")
    user: str | None = Field(description="Name of the user who started the run; or null.")
    uid: Count | None = Field(description="Id of that user; null with --fixed-clock.")
    host: str | None = Field(description="Name of the machine; null with --fixed-clock.")


class ApprovalPredicate(BaseModel):
    """The content of a request, and until when it can be approved."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gate: StateName = Field(description="The gate that asks.")
    state: StateName = Field(description="The gate state that asks.")
    runId: RunId = Field(description="The run.")  # noqa: N815 - as in other predicates
    cycle: Ordinal = Field(description="The cycle of the stages that are released, from 1.")
    requester: Requester = Field(description="The person who asks, where known.")
    askedAt: Timestamp = Field(description="When it was asked, in UTC.")  # noqa: N815
    expiresAt: Timestamp = Field(  # noqa: N815
        description="Until when it can be approved, in UTC."
    )
    subject: tuple[SubjectEntry, ...] = Field(description="What the run is about, as digests.")
    artifacts: tuple[RequestedFile, ...] = Field(
        description="What the stages before the gate state have made."
    )
    commands: tuple[RequestedCommand, ...] = Field(
        description="The commands of the stages that an approval releases."
    )
    lifecycle: RequestedLifecycle = Field(description="What the run follows.")

    @property
    def named(self) -> tuple[SubjectEntry, ...]:
        """Everything that it is about, in the form of an in-toto statement's subjects."""
        return (
            *self.subject,
            *(_named(one.path, one.sha256) for one in self.artifacts),
            *(_named(f"command of {one.stage}", one.sha256) for one in self.commands),
            _named(f"lifecycle {self.lifecycle.name}", self.lifecycle.sha256),
        )


def _named(name: str, sha256: str | None) -> SubjectEntry:
    return SubjectEntry(name=name, digest={"sha256": sha256 or ""})


class ApprovalRequest(BaseModel):
    """A request for approval: an in-toto Statement v1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(
        alias="_type", description="The type of an in-toto statement."
    )
    subject: Annotated[tuple[SubjectEntry, ...], Field(min_length=1)] = Field(
        description="Everything that the approval covers, as the predicate names it."
    )
    predicateType: Literal["urn:fsm-orchestrator:approval:v0.1"] = Field(  # noqa: N815
        description="The type of the predicate."
    )
    predicate: ApprovalPredicate = Field(description="What is asked for, of which run.")


class NotARequestError(Exception):
    """A file that is no request; the message says why."""


class StoredRequest(NamedTuple):
    """A request on disk.

    Attributes:
        number: its number among the gate's requests, from 1; 0 if it is not known.
        file: its name in the output directory.
    """

    number: int
    file: str
    raw: bytes
    predicate: ApprovalPredicate

    @property
    def sha256(self) -> str:
        """The digest that an approval names."""
        return sha256_of(self.raw)


def request_bytes(predicate: ApprovalPredicate) -> bytes:
    """Return the bytes of a request."""
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [one.model_dump(mode="json") for one in predicate.named],
        "predicateType": REQUEST_TYPE,
        "predicate": predicate.model_dump(mode="json"),
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def predicate_of(raw: bytes) -> ApprovalPredicate:
    """Read a request without trusting it.

    Raises:
        NotARequestError: it is no request, or its subjects are not those of its predicate.
    """
    from fsm_orchestrator.gates.sources.envelope import RefusedError  # noqa: PLC0415
    from fsm_orchestrator.model.declared import ValidationError  # noqa: PLC0415
    from fsm_orchestrator.text.validation import problems  # noqa: PLC0415

    try:
        json_value(raw)
        request = ApprovalRequest.model_validate_json(raw)
    except RefusedError as error:
        raise NotARequestError(str(error)) from None
    except ValidationError as error:
        raise NotARequestError(problems(error)[0].text) from None
    if request.subject != request.predicate.named:
        raise NotARequestError("its subjects are not what its predicate names")
    return request.predicate


class Part(StrEnum):
    """The parts in which a request can differ from an earlier one."""

    SUBJECT = "subject"
    ARTIFACT = "artifact"
    COMMAND = "command"
    LIFECYCLE = "lifecycle"
    CYCLE = "cycle"
    REQUESTER = "requester"
    STATE = "state"
    RUN = "run"


class Difference(NamedTuple):
    """A difference between two requests; a value is None if that request does not name the part."""

    part: Part
    name: str
    was: str | None
    now: str | None


def differences(was: ApprovalPredicate, now: ApprovalPredicate) -> tuple[Difference, ...]:
    """Return the differences between two requests; none if they ask for the same."""
    return tuple(
        Difference(part, name, before.get((part, name)), after.get((part, name)))
        for before, after in [(dict(_parts(was)), dict(_parts(now)))]
        for part, name in dict.fromkeys((*before, *after))
        if before.get((part, name)) != after.get((part, name))
    )


def _parts(one: ApprovalPredicate) -> Iterator[tuple[tuple[Part, str], str]]:
    yield (Part.RUN, ""), one.runId
    yield (Part.STATE, one.gate), one.state
    yield (Part.CYCLE, one.state), str(one.cycle)
    yield (Part.REQUESTER, ""), one.requester.principal or ""
    for entry in one.subject:
        yield (Part.SUBJECT, entry.name), _digest_words(entry.digest)
    for artifact in one.artifacts:
        yield (Part.ARTIFACT, artifact.path), artifact.sha256 or "unreadable"
    for command in one.commands:
        yield (Part.COMMAND, command.stage), command.sha256
    yield (Part.LIFECYCLE, one.lifecycle.name), one.lifecycle.sha256


def _digest_words(digest: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(digest.items()))
