"""The people who continued from a record that was not known to be the one left, by the events.

Nothing follows from it but a sentence: a person who accepts a record does not prove it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fsm_orchestrator.model.declared import ValidationError
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.record.chain import GapCause
from fsm_orchestrator.record.events import EventLine
from fsm_orchestrator.record.record_events import ChainGap, RecordBegun, RecordKept
from fsm_orchestrator.record.retelling import NotFollowedError, event_in
from fsm_orchestrator.vocabulary import EventName

_SHOWN_MAX: Final = 3
_GAP: Final = f'"{EventName.CHAIN_GAP.value}"'.encode()


def acceptances(lines: Iterable[bytes]) -> dict[int, str]:
    """Return sentences on what was accepted, by whom and when, by the number of the event.

    The lines need not be one chain, nor whole: unreadable ones are ignored.
    """
    found: dict[int, str] = {}
    gap: ChainGap | None = None
    for text in lines:
        if gap is None and _GAP not in text:
            continue
        event = _event(text)
        if isinstance(event, ChainGap) and event.cause is GapCause.ACCEPTED:
            gap = event
            found[gap.seq] = "somebody accepted the record before it, with --accept-record"
        begun = None if gap is None or event is None else _begun_by(event)
        if gap is not None and begun is not None:
            found[gap.seq] = _sentence(begun) or found[gap.seq]
            gap = None
    return found


def said_of(found: Mapping[int, str]) -> str:
    """Return the acceptances as clauses to append to a problem; empty if there are none."""
    shown = [*found.items()][-_SHOWN_MAX:]
    return "".join(f"; by event {seq} {said}" for seq, said in shown)


def _event(text: bytes) -> EventLine | None:
    try:
        return event_in(text.removesuffix(b"\n"))
    except NotFollowedError:
        return None


def _begun_by(event: EventLine) -> InvocationRecord | None:
    """Return the invocation that an event begins, or None if it begins none."""
    match event:
        case RecordBegun():
            return event.invocation
        case RecordKept():
            known = event.record.get("invocations")
            last = known[-1] if isinstance(known, list) and known else None
            try:
                return InvocationRecord.model_validate(last, strict=False)
            except ValidationError:
                return None
        case _:
            return None


def _sentence(begun: InvocationRecord) -> str | None:
    accepted, origin = begun.accepted, begun.origin
    if accepted is None:
        return None
    who = "somebody" if origin is None else f"{origin.user} on {origin.host}"
    how = ", " if accepted.doubt is not None else ": "
    return (
        f"{who} accepted the record before it, with --accept-record at {begun.started_at}"
        f"{how}{accepted.words}"
    )
