"""When the stages were at work: a bar for each attempt, and the same in a table.

All bars have one scale, and the time between invocations is left out: a run that was resumed the
next day is as readable as one that went through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.rendering.html.components import (
    Look,
    Tone,
    badge,
    left_out,
    look_of,
    section,
    table,
    time_of,
)
from fsm_orchestrator.rendering.html.elements import Child, Markup, element
from fsm_orchestrator.text.phrases import span_ms, span_words
from fsm_orchestrator.vocabulary import StageStatus, Standing

BARS_SHOWN_MAX = 150
_WIDTH_MIN_PERCENT = 0.6


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
    def name(self) -> str:
        """`executor 2`."""
        return self.stage if self.is_skip else f"{self.stage} {self.attempt}"

    @property
    def took(self) -> str:
        """`12 ms`, or what there is to say instead."""
        if self.is_skip:
            return "\u2013"
        return "not known" if self.took_ms is None else span_words(self.took_ms)


def timeline_section(view: InspectedRun) -> Markup:
    """The bars, and the table that says the same."""
    bars = [bar for number in range(len(view.invocations)) for bar in _bars(view, number)]
    if not bars:
        nothing = element("p", "No stage was run or skipped.", class_="note")
        return section("timeline", "Timeline", nothing)
    shown = bars[-BARS_SHOWN_MAX:]
    return section(
        "timeline",
        "Timeline of stages and attempts",
        left_out(len(bars) - len(shown), "attempts"),
        _drawn(shown),
        _listed(shown),
    )


def _bars(view: InspectedRun, index: int) -> Iterable[Bar]:
    visit = view.invocations[index]
    for one in visit.stage_executions:
        if one.attempt:
            is_seen = one.status is not StageStatus.INTERRUPTED or one.duration_ms > 0
            yield Bar(
                invocation=index + 1,
                stage=one.stage,
                attempt=one.attempt,
                look=look_of(one.status, one.ending),
                started_at=one.started_at,
                after_ms=span_ms(visit.started_at, one.started_at),
                took_ms=one.duration_ms if is_seen else None,
                is_skip=one.status is StageStatus.SKIPPED,
            )
    attempt = view.open_attempt
    if attempt is not None and index == len(view.invocations) - 1:
        is_working = view.standing is Standing.WORKING
        yield Bar(
            invocation=index + 1,
            stage=attempt.stage,
            attempt=attempt.attempt,
            look=Look("at work", Tone.INFO, "work")
            if is_working
            else look_of(StageStatus.INTERRUPTED, None),
            started_at=attempt.started_at,
            after_ms=span_ms(visit.started_at, attempt.started_at),
            took_ms=None,
            is_skip=False,
        )


def _drawn(bars: Sequence[Bar]) -> Markup:
    longest_ms = max(bar.after_ms + (bar.took_ms or 0) for bar in bars)
    has_many = bars[0].invocation != bars[-1].invocation
    rows: list[Child] = []
    for before, bar in zip((None, *bars), bars, strict=False):
        if has_many and (before is None or before.invocation != bar.invocation):
            rows.append(element("div", f"invocation {bar.invocation}", class_="lane-title"))
        rows.append(_row(bar, longest_ms))
    scale = (
        f"The full width is {span_words(longest_ms)}, the same for all bars, counted from the"
        " beginning of each invocation"
        + ("; the time between invocations is left out." if has_many else ".")
        if longest_ms
        else "No time was measured: the clock of the run was fixed."
    )
    name = f"{len(bars)} bars, one for each attempt; the table below says the same"
    return element(
        "figure",
        element("div", rows, class_="lanes", role="img", aria_label=name),
        element("figcaption", scale),
        class_="timeline",
    )


def _row(bar: Bar, longest_ms: int) -> Markup:
    left, width = 0.0, _WIDTH_MIN_PERCENT
    if longest_ms:
        left = 100 * bar.after_ms / longest_ms
        width = 100 * (bar.took_ms or 0) / longest_ms
    if bar.took_ms is None and not bar.is_skip:
        width = 100 - left  # nobody saw its end
    width = max(width, _WIDTH_MIN_PERCENT)
    left = min(left, 100 - width)
    kind = "skipped" if bar.is_skip else ("open" if bar.took_ms is None else "closed")
    mark = element(
        "span", class_=f"bar {kind} {bar.look.tone}", style=f"left:{left:.2f}%;width:{width:.2f}%"
    )
    words = bar.look.word if bar.is_skip else f"{bar.look.word}, {bar.took}"
    return element(
        "div",
        element("span", bar.name, class_="lane-name"),
        element("span", mark, class_="track"),
        element("span", words, class_="lane-end"),
        class_="lane",
    )


def _listed(bars: Iterable[Bar]) -> Markup:
    return table(
        "Attempts in the order in which they were recorded",
        ("stage", "attempt", "invocation", "ended", "began", "took"),
        (
            (
                bar.stage,
                str(bar.attempt),
                str(bar.invocation),
                badge(bar.look),
                time_of(bar.started_at),
                bar.took,
            )
            for bar in bars
        ),
    )
