"""The timeline of a run: a bar for each attempt, and the same in a table.

All bars have one scale, and the time between invocations is left out: a run that was resumed the
next day is as readable as one that went through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.execution import AttemptRecord
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.rendering.html.latest import Latest, latest
from fsm_orchestrator.rendering.html.looks import Look, look_of, look_of_open
from fsm_orchestrator.text.phrases import span_ms, span_words
from fsm_orchestrator.vocabulary import StageStatus

BARS_SHOWN_MAX: Final = 150
_WIDTH_MIN_PERCENT: Final = 0.6


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt, or a stage that was skipped. `took_ms` is None where nobody knows."""

    invocation: int
    stage: str
    attempt: int
    look: Look
    started_at: str
    after_ms: int
    took_ms: int | None
    is_skip: bool

    @property
    def took(self) -> str:
        """`12 ms`, or what there is to say instead."""
        if self.is_skip:
            return "\u2013"
        return "not known" if self.took_ms is None else span_words(self.took_ms)

    def style(self, longest_ms: int) -> str:
        """Return where it is drawn, where the full width stands for `longest_ms`."""
        left, width = 0.0, _WIDTH_MIN_PERCENT
        if longest_ms:
            left = 100 * self.after_ms / longest_ms
            width = 100 * (self.took_ms or 0) / longest_ms
        if self.took_ms is None and not self.is_skip:
            width = 100 - left  # nobody saw its end
        width = max(width, _WIDTH_MIN_PERCENT)
        return f"left:{min(left, 100 - width):.2f}%;width:{width:.2f}%"


@dataclass(frozen=True, slots=True)
class Timeline:
    """The latest bars. `longest_ms` is what the full width stands for; 0 if none was measured."""

    bars: Latest[Bar]
    longest_ms: int

    @property
    def full_width(self) -> str:
        """The time that the full width stands for."""
        return span_words(self.longest_ms)

    @property
    def is_divided(self) -> bool:
        """Whether the bars are of several invocations."""
        return len({bar.invocation for bar in self.bars.shown}) > 1


def timeline_of(view: InspectedRun) -> Timeline:
    """Return the timeline of a run."""
    bars = latest(list(_bars(view)), BARS_SHOWN_MAX)
    return Timeline(bars, max((bar.after_ms + (bar.took_ms or 0) for bar in bars.shown), default=0))


def _bars(view: InspectedRun) -> Iterator[Bar]:
    for visit in view.invocations:
        yield from _finished_bars(visit)
    if view.open_attempt is not None:
        yield _open_bar(view, view.open_attempt)


def _finished_bars(visit: InvocationRecord) -> Iterator[Bar]:
    for one in visit.stage_executions:
        if one.attempt:
            is_seen = one.status is not StageStatus.INTERRUPTED or one.duration_ms > 0
            yield Bar(
                invocation=visit.number,
                stage=one.stage,
                attempt=one.attempt,
                look=look_of(one.status, one.ending),
                started_at=one.started_at,
                after_ms=span_ms(visit.started_at, one.started_at),
                took_ms=one.duration_ms if is_seen else None,
                is_skip=one.status is StageStatus.SKIPPED,
            )


def _open_bar(view: InspectedRun, attempt: AttemptRecord) -> Bar:
    visit = view.invocations[-1]
    return Bar(
        invocation=visit.number,
        stage=attempt.stage,
        attempt=attempt.attempt,
        look=look_of_open(is_working=view.standing.is_held),
        started_at=attempt.started_at,
        after_ms=span_ms(visit.started_at, attempt.started_at),
        took_ms=None,
        is_skip=False,
    )
