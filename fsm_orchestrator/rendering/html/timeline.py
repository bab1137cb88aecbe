"""The timeline of a run: a bar for each attempt, and the same in a table.

All bars have one scale, and the time between invocations is left out: a run that was resumed the
next day is as readable as one that went through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.execution import AttemptRecord
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.rendering.html.looks import AT_WORK, Look, look_of
from fsm_orchestrator.text.phrases import span_ms, span_words
from fsm_orchestrator.vocabulary import StageStatus, Standing

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


@dataclass(frozen=True, slots=True)
class Lane:
    """A bar and where it is drawn, in percent of the width."""

    bar: Bar
    left: str
    width: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The latest bars, and how many earlier ones are left out.

    Attributes:
        full_width: the time that the full width stands for; None when none was measured.
        is_divided: whether the bars are of several invocations.
    """

    lanes: Sequence[Lane]
    left_out: int
    full_width: str | None
    is_divided: bool


def timeline_of(view: InspectedRun) -> Timeline:
    """Return the timeline of a run."""
    bars = list(_bars(view))
    shown = bars[-BARS_SHOWN_MAX:]
    longest_ms = max((bar.after_ms + (bar.took_ms or 0) for bar in shown), default=0)
    return Timeline(
        lanes=[_lane(bar, longest_ms) for bar in shown],
        left_out=len(bars) - len(shown),
        full_width=span_words(longest_ms) if longest_ms else None,
        is_divided=len({bar.invocation for bar in shown}) > 1,
    )


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
    is_working = view.standing is Standing.WORKING
    return Bar(
        invocation=visit.number,
        stage=attempt.stage,
        attempt=attempt.attempt,
        look=AT_WORK if is_working else look_of(StageStatus.INTERRUPTED, None),
        started_at=attempt.started_at,
        after_ms=span_ms(visit.started_at, attempt.started_at),
        took_ms=None,
        is_skip=False,
    )


def _lane(bar: Bar, longest_ms: int) -> Lane:
    left, width = 0.0, _WIDTH_MIN_PERCENT
    if longest_ms:
        left = 100 * bar.after_ms / longest_ms
        width = 100 * (bar.took_ms or 0) / longest_ms
    if bar.took_ms is None and not bar.is_skip:
        width = 100 - left  # nobody saw its end
    width = max(width, _WIDTH_MIN_PERCENT)
    return Lane(bar, f"{min(left, 100 - width):.2f}", f"{width:.2f}")
