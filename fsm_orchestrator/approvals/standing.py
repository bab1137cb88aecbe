"""The standing of the gates that a run waits for: seen from outside, nothing is written.

The run judges the answers itself when it continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from fsm_orchestrator.approvals.desk import Desk, Look
from fsm_orchestrator.approvals.request import differences
from fsm_orchestrator.gates.sources.approval import ApprovalSource
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.record.kept import kept_settings
from fsm_orchestrator.record.work import asking_state
from fsm_orchestrator.text.instants import instant


class Decided(StrEnum):
    """The progress of a gate that people are asked for."""

    PASSED = "passed"
    AWAITED = "awaited"
    """Somebody can still answer."""
    REFUSED = "refused"
    """Somebody has denied it, and has not taken that back."""
    EXPIRED = "expired"
    """The request has expired: a resume asks again."""
    STALE = "stale"
    """Something that the request names has changed: a resume asks again."""


class Awaited(NamedTuple):
    """A gate that people are asked for.

    Attributes:
        desk: the place where they are asked; nothing can be written there.
        look: the current state of its request.
    """

    gate: str
    source: ApprovalSource
    desk: Desk
    look: Look
    decided: Decided


def asked_gates(saved: SavedRun, output: Path, now: datetime) -> tuple[Awaited, ...]:
    """Look at every gate of a run that people are asked for, in judging order.

    `output` is the directory of the run's files.
    """
    return tuple(_asked(saved, output, now))


def _asked(saved: SavedRun, output: Path, now: datetime) -> Iterator[Awaited]:
    checkpoint, kept = saved.checkpoint, kept_settings(saved)
    settings = {**kept.stages, **kept.completed}
    for gate, source in checkpoint.sources.items():
        if isinstance(source, ApprovalSource):
            desk = Desk(
                checkpoint=checkpoint,
                settings=settings,
                gate=gate,
                state=asking_state(checkpoint, gate),
                output=output,
                home=None,
                now=now,
                mask=kept.masker.mask,
            )
            look = desk.look(source)
            yield Awaited(gate, source, desk, look, _decided(look, now))


def _decided(look: Look, now: datetime) -> Decided:
    if look.current is None and look.latest is not None:
        if differences(look.latest.predicate, look.content):
            return Decided.STALE
        is_over = instant(look.latest.predicate.expiresAt) <= now
        return Decided.EXPIRED if is_over else Decided.STALE
    match look.judged.problem:
        case None:
            return Decided.PASSED
        case EvidenceProblem.DENIED:
            return Decided.REFUSED
        case _:
            return Decided.AWAITED
