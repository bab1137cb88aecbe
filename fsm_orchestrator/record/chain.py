"""The chain of the events: each line has the SHA-256 of the line before it.

The first line has that of the run's id and its lifecycle's digest without limits and retries. Where
there is a key, a line also has a MAC: nobody else can continue the chain.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Final, NamedTuple

from fsm_orchestrator.secrets.state_key import RecordKey
from fsm_orchestrator.text.digest import new_digest, sha256_of

CHUNK_BYTES: Final = 64 * 1024


class Chain(NamedTuple):
    """The start of a run's chain of lines, and its key.

    Attributes:
        genesis: the value that the first line has in place of the digest of a line before it.
        key: the key for the MAC of each line; None where there is none.
    """

    genesis: str
    key: RecordKey | None = None


class Link(NamedTuple):
    """A line as it is written, newline included, with its digest and its MAC."""

    data: bytes
    digest: str
    mac: str | None


class GapCause(StrEnum):
    """The reason why the chain of events does not continue from the line that was written last."""

    TORN = "torn"
    POWER_CUT = "power_cut"
    LOST = "lost"
    ACCEPTED = "accepted"

    @property
    def loses_lines(self) -> bool:
        """True if whole lines may be missing, or may differ from those that the run wrote."""
        return self is not GapCause.TORN


class Gap(NamedTuple):
    """A place where the chain does not continue from the line that was written last.

    Attributes:
        last_seq: the number of the event that was written last.
        last_sha256: the digest of its line; None where it is unknown.
        cut_bytes: how many bytes of a torn line were cut off.
        is_torn_only: True if that was all: every whole line is there.
    """

    last_seq: int
    last_sha256: str | None
    cut_bytes: int
    is_torn_only: bool


def genesis(run_id: str, relation_sha256: str | None) -> str:
    """Return what the first line of a run is chained to; the lifecycle is None if unknown.

    Only the part of the lifecycle that never changes in a run counts: the run may adopt other
    settings of it later.
    """
    return sha256_of(f"{run_id}\n{relation_sha256 or ''}".encode())


def link(text: str, key: RecordKey | None) -> Link:
    """Return a line of JSON, which has its `prev` already, with its MAC."""
    data = text.encode()
    if key is None:
        return Link(data + b"\n", sha256_of(data), None)
    mac = key.mac(data)
    data = data[:-1] + mac_member(mac)
    return Link(data + b"\n", sha256_of(data), mac)


def mac_member(mac: str) -> bytes:
    """Return the end of a line that has this MAC."""
    return f', "mac": "{mac}"}}'.encode()


def digest_between(descriptor: int, start: int, end: int) -> str:
    """Return the digest of a part of an open file."""
    digest = new_digest(end - start)
    while start < end and (chunk := os.pread(descriptor, min(CHUNK_BYTES, end - start), start)):
        digest.update(chunk)
        start += len(chunk)
    return str(digest.hexdigest())
