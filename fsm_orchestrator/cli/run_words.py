"""The text about one of many runs, the same in a list and in a live view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fsm_orchestrator.cli.console import has_unicode
from fsm_orchestrator.cli.screen import mark_of
from fsm_orchestrator.cli.style import Mark, ellipsis, paint, shown_cells
from fsm_orchestrator.clock import SystemClock
from fsm_orchestrator.inspection.at_work import Doing, StageAtWork
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.selecting import (
    counted_worst_first,
    standing_words,
    took_seconds,
)
from fsm_orchestrator.text.cells import cut_in_middle
from fsm_orchestrator.text.hidden import printable
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import Standing

NOT_KNOWN: Final = "-"
_GAP: Final = "  "
_SECOND_MS: Final = 1000
_SPACES: Final = {ord(one): " " for one in "\t\n"}


def mark_of_run(standing: Standing | None) -> Mark:
    """Return the mark of where a run stands; an unreadable run has that of a failed one."""
    return Mark.BAD if standing is None else mark_of(standing)


def counts_lines(
    standings: Iterable[Standing | None], total: int, where: str, width: int | None
) -> list[str]:
    """Return how many runs stand where as painted lines, the worst first.

    `total` is the number of all runs, if not all are counted; `where` is their place.
    """
    found = counted_worst_first(standings)
    number = sum(count for _, count in found)
    head = f"{number:,} of {total:,} runs" if number != total else f"{total:,} runs"
    head = f"{'1 run' if number == total == 1 else head}{where}"
    if width is not None:
        head = cut_in_middle(head, width - 1, ellipsis())
    lines = [f"{head}:" if found else head]
    for part in (_count_words(standing, count) for standing, count in found):
        longer = f"{lines[-1]}{_GAP}{part}"
        if width is None or shown_cells(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(f"{_GAP}{part}")
    return lines


def _count_words(standing: Standing | None, count: int) -> str:
    mark = mark_of_run(standing)
    sign = mark.value[0] if has_unicode() else mark.value[1]
    return paint(f"{sign} {count:,} {standing_words(standing)}", mark.tone)


def age_words(run: RunOverview) -> str:
    """Return how long a run has stood where it stands."""
    return NOT_KNOWN if run.since is None else _whole(age_ms(run.since))


def took_words(run: RunOverview) -> str:
    """Return how long the latest invocation of a run took, or has taken."""
    seconds = took_seconds(run)
    if seconds is None:
        return NOT_KNOWN
    milliseconds = round(seconds * _SECOND_MS)
    return span_words(milliseconds) if run.holder is None else _whole(milliseconds)


def told_words(run: RunOverview) -> str:
    """Return why a run stands where it does, what is at work in it, and its last words."""
    if run.trouble is not None or not run.at_work:
        return in_one_line(run.told)
    at_work = ", ".join(map(stage_words, run.at_work))
    return in_one_line(": ".join(filter(None, (at_work, run.reason, run.last_line))))


def in_one_line(text: str) -> str:
    """Return text kept to its line and its columns, that does nothing to a terminal."""
    return printable(text.translate(_SPACES))


def stage_words(one: StageAtWork) -> str:
    """Return a stage that is at work: `fix 2, 12s of 5m`."""
    elapsed_ms = age_ms(one.since)
    if one.doing is Doing.RETRYING:
        left_ms = max(0, (one.limit_ms or 0) - elapsed_ms)
        return f"{one.stage} {one.attempt} failed, again in {_whole(left_ms)}"
    limit = "" if one.limit_ms is None else f" of {span_words(one.limit_ms)}"
    what = " verified," if one.doing is Doing.VERIFYING else ","
    return f"{one.stage} {one.attempt}{what} {_whole(elapsed_ms)}{limit}"


def age_ms(since: str) -> int:
    """Return how many milliseconds ago a recorded time is."""
    return max(0, round((SystemClock().now() - instant(since)).total_seconds() * _SECOND_MS))


def _whole(milliseconds: int) -> str:
    """Return a running span in whole seconds, since it is read again and again."""
    return (
        span_words(milliseconds // _SECOND_MS * _SECOND_MS) if milliseconds >= _SECOND_MS else "0s"
    )
