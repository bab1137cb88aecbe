"""The chain that the events are: each line has the SHA-256 of the line before it.

The first line has that of the run's id and its lifecycle's digest, less limits and retries. A line
also has a MAC, where there is a key: nobody else can go on with the chain.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Final, NamedTuple

from fsm_orchestrator.secrets.state_key import RecordKey
from fsm_orchestrator.text.digest import new_digest, sha256_of

CHUNK_BYTES: Final = 64 * 1024


class Chain(NamedTuple):
    """How a run's lines are chained.

    Attributes:
        genesis: what the first line has in the place of the digest of a line before it.
        key: for the MAC of each line; None where there is none.
    """

    genesis: str
    key: RecordKey | None = None


class Link(NamedTuple):
    """A line as it is written, with its newline, and what it adds to its event."""

    data: bytes
    digest: str
    mac: str | None


class GapCause(StrEnum):
    """Why the chain of events does not go on from the line that was written last."""

    TORN = "torn"
    POWER_CUT = "power_cut"
    LOST = "lost"
    ACCEPTED = "accepted"

    @property
    def loses_lines(self) -> bool:
        """Whether whole lines may be missing, or be others than the run has written."""
        return self is not GapCause.TORN


class Gap(NamedTuple):
    """A place where the chain does not go on from the line that was written last.

    Attributes:
        last_seq: the number of the event that had been written last.
        last_sha256: the digest of its line; None where that is not known.
        cut_bytes: how much of a torn line was cut off.
        is_torn_only: whether that was all: every whole line is there.
    """

    last_seq: int
    last_sha256: str | None
    cut_bytes: int
    is_torn_only: bool


def genesis(run_id: str, relation_sha256: str | None) -> str:
    """Return what the first line of a run is chained to; the lifecycle is None if not known.

    Of the lifecycle what can never change in a run: other settings of it may be adopted later.
    """
    return sha256_of(f"{run_id}\n{relation_sha256 or ''}".encode())


def link(text: str, key: RecordKey | None) -> Link:
    """Return a line of JSON, which has its `prev`, with its MAC."""
    data = text.encode()
    if key is None:
        return Link(data + b"\n", sha256_of(data), None)
    mac = key.mac(data)
    data = data[:-1] + mac_member(mac)
    return Link(data + b"\n", sha256_of(data), mac)


def mac_member(mac: str) -> bytes:
    """Return how a line with a MAC ends."""
    return f', "mac": "{mac}"}}'.encode()


def digest_between(descriptor: int, start: int, end: int) -> str:
    """Return the digest of a part of an open file."""
    digest = new_digest(end - start)
    while start < end and (chunk := os.pread(descriptor, min(CHUNK_BYTES, end - start), start)):
        digest.update(chunk)
        start += len(chunk)
    return str(digest.hexdigest())
