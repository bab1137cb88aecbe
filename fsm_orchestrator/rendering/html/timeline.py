"""The timeline of a run: a lane for each gate state and stage, and the same as a table.

All bars have one scale, and the time between invocations is left out: a run that was resumed the
next day is as readable as one that was not interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import InvocationRecord, TransitionRecord
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.rendering.html.axis import Tick, ticks_of
from fsm_orchestrator.rendering.html.latest import Latest, latest
from fsm_orchestrator.rendering.html.looks import (
    GATES_PASSED,
    GATES_REFUSED,
    WAITED,
    Look,
    look_of,
    look_of_open,
)
from fsm_orchestrator.text.phrases import span_ms
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import StageStatus, Trigger

BARS_SHOWN_MAX: Final = 150
_WIDTH_MIN_PERCENT: Final = 0.4
_GATES: Final = {Trigger.GATES_PASSED: GATES_PASSED, Trigger.GATES_REFUSED: GATES_REFUSED}


class BarKind(StrEnum):
    """The kind of a bar, which is also its class in the style sheet."""

    ATTEMPT = "closed"
    OPEN = "open"
    """An attempt whose end was not recorded."""
    SKIP = "skipped"
    WAIT = "wait"
    GATE = "judged"


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt, a stage that was skipped, the wait before a retry, or a verdict of the gates.

    `name` is that of a stage or gate state, `attempt` is 0 if there is none, and `took_ms` is None
    if it is not known.
    """

    kind: BarKind
    invocation: int
    name: str
    attempt: int
    look: Look
    started_at: str
    after_ms: int
    took_ms: int | None

    @property
    def took(self) -> str:
        """`12 ms`, or the text for a bar without a measured time."""
        if self.kind in {BarKind.SKIP, BarKind.GATE}:
            return "\u2013"
        return "not known" if self.took_ms is None else span_words(self.took_ms)

    @property
    def tip(self) -> str:
        """A description of the bar on one line."""
        attempt = f", attempt {self.attempt}" if self.attempt else ""
        took = f" {self.took}" if self.took_ms else ""
        after = f"{span_words(self.after_ms)} after the start"
        return f"{self.name}{attempt}: {self.look.word}{took}, {after}"

    def style(self, longest_ms: int) -> str:
        """Return the CSS position of the bar, where the full width stands for `longest_ms`."""
        left, width = 0.0, _WIDTH_MIN_PERCENT
        if longest_ms:
            left = 100 * self.after_ms / longest_ms
            width = 100 * (self.took_ms or 0) / longest_ms
        if self.kind is BarKind.OPEN:
            width = 100 - left  # its end was not recorded
        width = max(width, _WIDTH_MIN_PERCENT)
        return f"left:{min(left, 100 - width):.2f}%;width:{width:.2f}%"


@dataclass(frozen=True, slots=True)
class Lane:
    """All bars of one stage or gate state in one invocation, in order."""

    name: str
    invocation: int
    invocation_began: str
    bars: Sequence[Bar]

    @property
    def end(self) -> str:
        """The ending, the start and the duration: `failed, 12 s, at 0.3 s`."""
        last = self.bars[-1]
        words = [last.look.word]
        if last.kind is not BarKind.GATE and last.kind is not BarKind.SKIP:
            if last.attempt > 1 or len(self.bars) > 1:
                words[0] += f" in attempt {last.attempt}"
            words.append("end not known" if last.took_ms is None else last.took)
        return ", ".join((*words, f"at {span_words(self.bars[0].after_ms)}"))


@dataclass(frozen=True, slots=True)
class Timeline:
    """The latest bars. The full width stands for `longest_ms`; 0 if none was measured."""

    bars: Latest[Bar]
    lanes: Sequence[Lane]
    ticks: Sequence[Tick]
    longest_ms: int

    @property
    def is_divided(self) -> bool:
        """True if the bars are of several invocations."""
        return len({bar.invocation for bar in self.bars.shown}) > 1


def timeline_of(view: InspectedRun) -> Timeline:
    """Return the timeline of a run."""
    bars = latest(list(_bars(view)), BARS_SHOWN_MAX)
    longest_ms = max((bar.after_ms + (bar.took_ms or 0) for bar in bars.shown), default=0)
    began = {visit.number: visit.started_at for visit in view.invocations}
    lanes: dict[tuple[int, str], list[Bar]] = {}
    for bar in bars.shown:
        lanes.setdefault((bar.invocation, bar.name), []).append(bar)
    return Timeline(
        bars=bars,
        lanes=[
            Lane(name, invocation, began[invocation], of)
            for (invocation, name), of in lanes.items()
        ],
        ticks=ticks_of(longest_ms),
        longest_ms=longest_ms,
    )


def _bars(view: InspectedRun) -> Iterator[Bar]:
    """Yield the bars of each invocation, ordered by their start."""
    visits = view.invocations
    for visit in visits:
        found = [
            *(_gate_bar(visit, one) for one in visit.transitions if one.trigger in _GATES),
            *_attempt_bars(visit),
        ]
        if visit is visits[-1]:
            found += [_open_bar(view, visit, one) for one in view.open_attempts]
        yield from sorted(found, key=lambda bar: bar.after_ms)


def _gate_bar(visit: InvocationRecord, one: TransitionRecord) -> Bar:
    after_ms = span_ms(visit.started_at, one.at)
    return Bar(
        BarKind.GATE, visit.number, one.source, 0, _GATES[one.trigger], one.at, after_ms, None
    )


def _attempt_bars(visit: InvocationRecord) -> Iterator[Bar]:
    last: dict[str, StageExecution] = {}
    for one in visit.stage_executions:
        if not one.attempt:
            continue
        before = last.get(one.stage)
        is_same_work = before is not None and before.idempotency_key == one.idempotency_key
        if before is not None and is_same_work and before.attempt + 1 == one.attempt:
            wait = _wait_bar(visit, before, one)
            if wait.took_ms:
                yield wait
        yield _attempt_bar(visit, one)
        last[one.stage] = one


def _wait_bar(visit: InvocationRecord, before: StageExecution, one: StageExecution) -> Bar:
    """Return the bar between two attempts of a stage that was retried."""
    began = datetime.fromisoformat(before.started_at) + timedelta(milliseconds=before.duration_ms)
    since = timestamp(began)
    after_ms, took_ms = span_ms(visit.started_at, since), span_ms(since, one.started_at)
    return Bar(BarKind.WAIT, visit.number, one.stage, 0, WAITED, since, after_ms, took_ms)


def _attempt_bar(visit: InvocationRecord, one: StageExecution) -> Bar:
    is_seen = one.status is not StageStatus.INTERRUPTED or one.duration_ms > 0
    is_skip = one.status is StageStatus.SKIPPED
    kind = BarKind.SKIP if is_skip else BarKind.ATTEMPT if is_seen else BarKind.OPEN
    return Bar(
        kind=kind,
        invocation=visit.number,
        name=one.stage,
        attempt=one.attempt,
        look=look_of(one.status, one.ending),
        started_at=one.started_at,
        after_ms=span_ms(visit.started_at, one.started_at),
        took_ms=one.duration_ms if is_seen else None,
    )


def _open_bar(view: InspectedRun, visit: InvocationRecord, attempt: AttemptRecord) -> Bar:
    return Bar(
        kind=BarKind.OPEN,
        invocation=visit.number,
        name=attempt.stage,
        attempt=attempt.attempt,
        look=look_of_open(is_working=view.standing.is_held),
        started_at=attempt.started_at,
        after_ms=span_ms(visit.started_at, attempt.started_at),
        took_ms=None,
    )
