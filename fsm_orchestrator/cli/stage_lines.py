"""Lines about stages and gates, in the form that the live display and the summary share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fsm_orchestrator.cli.console import has_unicode
from fsm_orchestrator.cli.style import (
    Mark,
    Tone,
    ellipsis,
    lead,
    lead_cells,
    paint,
    plain,
    shown_cells,
)
from fsm_orchestrator.constants import GATES_NAMED_MAX
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.text.cells import cut, padded, wrapped
from fsm_orchestrator.text.hidden import printable
from fsm_orchestrator.text.phrases import counted, first_of
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import Ending, StageStatus

NAME_CELLS_MAX: Final = 24
LAST_WORDS_INDENT: Final = "    "


def mark_of(status: StageStatus, ending: Ending | None) -> Mark:
    """Return the mark of how an attempt ended. An ending that was asked for is no failure."""
    match ExitMeaning.of(ending):
        case ExitMeaning.REWORK:
            return Mark.AGAIN
        case ExitMeaning.NOTHING_TO_DO:
            return Mark.LEFT_OUT
        case ExitMeaning.BLOCKED:
            return Mark.WAITING
        case None:
            return _mark_of_status(status)


def _mark_of_status(status: StageStatus) -> Mark:
    match status:
        case StageStatus.SUCCESS:
            return Mark.GOOD
        case StageStatus.SKIPPED:
            return Mark.LEFT_OUT
        case StageStatus.INTERRUPTED:
            return Mark.WAITING
        case _:
            return Mark.BAD


def end_words(status: StageStatus, ending: Ending | None) -> str:
    """Return how an attempt ended as text; empty for a success."""
    meaning = ExitMeaning.of(ending)
    if meaning is not None:
        return meaning.words
    match ending:
        case Ending.SIBLING_FAILED:
            return "ended, because another failed"
        case Ending.LEASE_LOST:
            return "ended, because the lease was lost"
        case Ending.VERIFICATION_FAILED:
            return "verification failed"
        case _:
            return "" if status is StageStatus.SUCCESS else status.value.replace("_", " ")


def name_cells(names: Sequence[str]) -> int:
    """Return the width of the column of stage names."""
    return min(max(map(len, names), default=0), NAME_CELLS_MAX)


def stage_line(mark: Mark, name: str, column: int, took: str, remark: str, width: int) -> str:
    """Return one line about a stage, cut at its end if it does not fit."""
    tone = None if mark is Mark.GOOD else mark.tone
    head = f"{lead(mark)}{padded(name, column)}  {took}".rstrip()
    if not remark:
        return shortened(head, width)
    room = width - shown_cells(head) - 2
    if room < 8:  # noqa: PLR2004 - a word
        return shortened(head, width)
    said = cut(printable(" ".join(remark.split())), room, ellipsis())
    return f"{head}  {said if tone is None else paint(said, tone)}"


def attempts_words(attempt: int, of_attempts: int) -> str:
    """Return `attempt 2 of 3`; empty for the only one."""
    if attempt <= 1 and of_attempts <= 1:
        return ""
    return f"attempt {attempt} of {of_attempts}" if attempt <= of_attempts else f"attempt {attempt}"


def folded_line(names: Sequence[str], what: str, width: int) -> str:
    """Return one line about stages that were not run."""
    verb = f"{names[0]} {what}" if len(names) == 1 else f"{counted(len(names), 'stage')} {what}"
    listed = "" if len(names) == 1 else f": {', '.join(names)}"
    said = cut(printable(f"{verb}{listed}"), width - lead_cells(), ellipsis())
    return f"{lead(Mark.LEFT_OUT)}{paint(said, Tone.DIM)}"


def gates_line(
    decisions: Sequence[Mapping[str, Any]], width: int, *, have_passed: bool
) -> list[str]:
    """Return the verdicts of the gates on one line, or on more if they do not fit.

    If those that count have passed, one that does not is dimmed.
    """
    mark, tone = (Mark.GOOD, Tone.DIM) if have_passed else (Mark.WAITING, Mark.WAITING.tone)
    dot = " · " if has_unicode() else ", "
    said = [f"{one['gate']} {one['status']}" for one in decisions]
    pieces = [
        word if one["passed"] else paint(word, tone)
        for one, word in zip(decisions, said, strict=True)
    ]
    if len(said) > GATES_NAMED_MAX and shown_cells(f"{lead(mark)}gates  {dot.join(said)}") > width:
        refused = [word for one, word in zip(decisions, said, strict=True) if not one["passed"]]
        passed = len(said) - len(refused)
        said = [*([f"{passed} passed"] if passed else []), *first_of(refused, GATES_NAMED_MAX)]
        pieces = said
    if shown_cells(f"{lead(mark)}gates  {dot.join(said)}") > width:
        below = " " * lead_cells()
        lines = wrapped("gates  " + ", ".join(said), width - len(below), hanging="  ")
        return [f"{lead(mark)}{lines[0]}", *(below + one for one in lines[1:])]
    return [f"{lead(mark)}gates  {dot.join(pieces)}"]


def took_words(took_ms: int) -> str:
    """Return how long something took, padded to the width of its neighbors."""
    return f"{span_words(took_ms):>8}"


def shortened(line: str, width: int) -> str:
    """Return a painted line that fits; one that is cut loses its colors."""
    return line if shown_cells(line) <= width else cut(plain(line), width, ellipsis())
