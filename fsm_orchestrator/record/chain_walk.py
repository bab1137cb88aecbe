"""Reads the chain of a run's events from its first line to its last. Writes nothing."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from fsm_orchestrator.record.chain import Chain, GapCause, genesis, mac_member
from fsm_orchestrator.record.events_mark import (
    CHUNK_BYTES,
    LINE_BYTES_MAX,
    document_of,
    hole_in,
    start_of_line,
)
from fsm_orchestrator.record.rebuilding import STEPS
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.vocabulary import EventName


class Walk(NamedTuple):
    """The chain as far as it was followed.

    Attributes:
        last_seq: the number of the last event; 0 if there is none.
        head: the digest of the last line.
        broken_at: the number of the first line that is not chained to the one before it, or is
            not this program's; None if there is no such line.
        wrong_mac_at: the number of the first line whose MAC claims to be by the key and is not.
        unproved_seq: the number of the last event without a MAC by the key; 0 if all have one.
        step_seq: the number of the last event that makes those before it count.
        digests: the digests of the lines of the requested events, by number.
    """

    last_seq: int
    head: str
    broken_at: int | None
    wrong_mac_at: int | None
    unproved_seq: int
    step_seq: int
    digests: dict[int, str]

    @property
    def wrong_at(self) -> int | None:
        """The number of the first line that is not as it was written; None if all are."""
        found = [one for one in (self.broken_at, self.wrong_mac_at) if one is not None]
        return min(found, default=None)


def walk(descriptor: int, chain: Chain, wanted: Collection[int]) -> Walk:
    """Follow the chain of an open file, up to a torn line or a hole.

    The log may begin with a refused start, which knows no lifecycle.
    """
    found = Walk(0, chain.genesis, None, None, 0, 0, {})
    head = ""
    for number, line in enumerate(_lines(descriptor), start=1):
        event = document_of(line)
        if found.broken_at is None and (event is None or not _follows(event, head, chain)):
            found = found._replace(broken_at=number)
        head = sha256_of(line)
        if event is None:
            continue
        seq = int(event["seq"])
        if seq <= found.last_seq and found.broken_at is None:
            found = found._replace(broken_at=number)
        is_proved, is_wrong = _proof(line, event.get("mac"), chain)
        if is_proved and event["event"] == EventName.CHAIN_GAP and _is_accepting(event):
            found = found._replace(broken_at=None, wrong_mac_at=None, unproved_seq=0)
        if is_wrong and found.wrong_mac_at is None:
            found = found._replace(wrong_mac_at=number)
        if seq in wanted:
            found.digests[seq] = head
        found = found._replace(
            last_seq=seq,
            head=head,
            unproved_seq=found.unproved_seq if is_proved else seq,
            step_seq=seq if event["event"] in STEPS else found.step_seq,
        )
    return found


def _is_accepting(event: Mapping[str, Any]) -> bool:
    """Return whether a gap says that somebody has accepted everything before it."""
    return bool(event.get("cause") == GapCause.ACCEPTED)


def _follows(event: Mapping[str, Any], head: str, chain: Chain) -> bool:
    """Return whether an event is chained to the line with a digest; "" before the first line."""
    if head:
        return bool(event.get("prev") == head)
    return event.get("prev") in {chain.genesis, genesis(str(event.get("run_id")), None)}


def _proof(line: bytes, mac: object, chain: Chain) -> tuple[bool, bool]:
    """Return whether a line is proved by the key, and whether it falsely claims to be."""
    if chain.key is None or not isinstance(mac, str) or not chain.key.has_made(mac):
        return False, False
    member = mac_member(mac)
    body = line[: -len(member)]
    is_right = line == body + member and chain.key.mac(body + b"}") == mac
    return is_right, not is_right


def _lines(descriptor: int) -> Iterator[bytes]:
    """Yield the whole lines of an open file, up to the first hole."""
    size_bytes = os.fstat(descriptor).st_size
    end = start_of_line(descriptor, hole_in(descriptor, 0, size_bytes))
    rest, at = b"", 0
    while at < end and (chunk := os.pread(descriptor, min(CHUNK_BYTES, end - at), at)):
        at += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > LINE_BYTES_MAX:
            yield b""  # not a line of this program
            return
