"""The lines that show a run while it works: a function of its state, the time and the screen."""

from __future__ import annotations

from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.cli.console import has_unicode
from fsm_orchestrator.cli.formatting import sentences
from fsm_orchestrator.cli.run_view import (
    Begun,
    EndedStage,
    Gates,
    RunningStage,
    RunView,
    Said,
    Settled,
    SkippedStages,
)
from fsm_orchestrator.cli.stage_lines import (
    attempts_words,
    end_words,
    folded_line,
    gates_line,
    mark_of,
    name_cells,
    shortened,
    stage_line,
    took_words,
)
from fsm_orchestrator.cli.style import Mark, Tone, ellipsis, in_lead, lead, lead_cells, paint, toned
from fsm_orchestrator.text.cells import cut, padded, wrapped
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.terminal import shown_line
from fsm_orchestrator.text.units import span_words

SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
SPINNER_ASCII: Final = "|/-\\"
TURNS_A_SECOND: Final = 10
TO_COME_MAX: Final = 8
"""The maximum number of stages still to come that are shown, each on a line, if they fit."""
MINUTE_MS: Final = 60_000


class Screen(NamedTuple):
    """The room on the screen: cells in a line, and lines."""

    width: int
    height: int


def frame(view: RunView, now: float, screen: Screen) -> list[str]:
    """Return the lines that change: the stage at work, and those to come."""
    width = screen.width - 1  # terminals differ in the last cell of a line
    lines = _at_work_lines(view, now, width, max(1, screen.height - 5))
    if view.waiting is not None:
        said = f"{lead(Mark.WAITING)}{paint(view.waiting, Tone.YELLOW)}"
        lines.append(shortened(said, width))
    if view.requests:
        lines.append(shortened(paint(stopping_words(view), Tone.YELLOW), width))
    room = min(TO_COME_MAX, screen.height // 2, screen.height - len(lines) - 3)
    return [*lines, *_to_come_lines(view, room, width)] if view.at_work else lines


def settled_lines(view: RunView, one: Settled, width: int) -> list[str]:
    """Return the lines that stay on the screen for a decided matter."""
    width -= 1
    match one:
        case Begun():
            verb = "resume of" if one.is_resume else "run"
            return wrapped(f"{verb} {one.run_id} ({one.lifecycle})", width)
        case Gates():
            return gates_line(one.decisions, width, have_passed=one.have_passed)
        case EndedStage():
            return [_ended_line(view, one, width)]
        case SkippedStages():
            what = "passed over: no binary" if one.is_passed_over else "skipped: completed before"
            return [folded_line(one.names, what, width)]
        case Said():
            said = sentences(one.text, width, indent="", hanging="    ")
            shown = [toned(line, one.level) for line in said]
            return shown if one.document is None else [*shown, one.document]
        case _:
            assert_never(one)


def stopping_words(view: RunView) -> str:
    """Return how a request to end is being met, and what another one would do."""
    ending = [one for one in view.at_work.values() if one.again_at is None]
    if not ending:
        return "stopping"
    what = ending[0].name if len(ending) == 1 else counted(len(ending), "stage")
    if view.requests > 1:
        return f"killing {what}"
    grace_ms = max(one.grace_ms for one in ending)
    return f"stopping {what}, up to {span_words(grace_ms)}; again to kill"


def still_words(running: RunningStage, now: float) -> str:
    """Return that a stage is still at work, for a log that is not redrawn."""
    attempts = attempts_words(running.attempt, running.of_attempts)
    said = filter(None, (running.name, attempts, running.verifying))
    what = ", ".join(said)
    if running.again_at is not None:
        return f"{what}: starts in {elapsed_words(running.again_at - now)}"
    elapsed = span_words(round(now - running.began_at) * 1000)
    return f"{what}: still running after {elapsed}, of {span_words(running.limit_ms)}"


def elapsed_words(seconds: float) -> str:
    """Return a running time in a form that does not jump: `3.0s`, `1m05s`."""
    tenths = max(0.0, seconds)
    if tenths * 1000 < MINUTE_MS - 50:
        return f"{tenths:.1f}s"
    return span_words(int(tenths) * 1000)


def _at_work_lines(view: RunView, now: float, width: int, room: int) -> list[str]:
    """Return the stages at work, each with its last words if those of all of them fit."""
    at_work = [*view.at_work.values()]
    has_words = room >= 2 * len(at_work)
    shown = at_work if len(at_work) <= room else at_work[: room - 1]
    lines = []
    for one in shown:
        lines.append(_running_line(view, one, now, width))
        if one.words and one.again_at is None and (has_words or len(at_work) == 1):
            lines.append(_words_line(one.words, width))
    if len(shown) < len(at_work):
        more = f"{' ' * lead_cells()}and {len(at_work) - len(shown)} more at work"
        lines.append(shortened(more, width))
    return lines


def _running_line(view: RunView, running: RunningStage, now: float, width: int) -> str:
    name = padded(running.name, name_cells(view.stages))
    attempts = attempts_words(running.attempt, running.of_attempts)
    if running.again_at is not None:
        head = f"{lead(Mark.AGAIN)}{name}"
        left = paint(f"again in {elapsed_words(running.again_at - now)}", Tone.CYAN)
        return _joined([head, left, attempts, " ".join(running.error.split())], width)
    turn = int(now * TURNS_A_SECOND)
    spinner = SPINNER if has_unicode() else SPINNER_ASCII
    sign = paint(spinner[turn % len(spinner)], Tone.CYAN)
    head = f"{in_lead(sign)}{paint(name, Tone.BOLD)}"
    elapsed = elapsed_words(now - running.began_at)
    limit = span_words(running.limit_ms)
    pieces = [head, f"{elapsed} of {limit}", running.verifying, attempts, _spent(view)]
    return _joined(pieces, width)


def _spent(view: RunView) -> str:
    """Return what the run has spent; empty if nothing is metered."""
    if not view.spent:
        return ""
    from fsm_orchestrator.explanation.budget_words import amount_words

    return ", ".join(amount_words(*one) for one in view.spent)


def _words_line(words: str, width: int) -> str:
    bar = "│ " if has_unicode() else "| "
    said = cut(shown_line(words).expandtabs(4).strip(), width - 4, ellipsis())
    return f"  {paint(bar + said, Tone.DIM)}"


def _ended_line(view: RunView, one: EndedStage, width: int) -> str:
    attempts = attempts_words(one.attempt, one.of_attempts)
    mark = mark_of(one.status, one.ending)
    remark = ": ".join(filter(None, (attempts, end_words(one.status, one.ending))))
    column = name_cells(view.stages)
    return stage_line(mark, one.name, column, took_words(one.took_ms), remark, width)


def _to_come_lines(view: RunView, room: int, width: int) -> list[str]:
    names = view.to_come
    if not names or room < 1:
        return []
    shown = names if len(names) <= room else names[: room - 1]
    dot = "·" if has_unicode() else "-"
    lines = [paint(cut(f"{in_lead(dot)}{name}", width, ellipsis()), Tone.DIM) for name in shown]
    left = len(names) - len(shown)
    if left:
        lines.append(
            paint(cut(f"{' ' * lead_cells()}and {left} more to come", width, ellipsis()), Tone.DIM)
        )
    return lines


def _joined(pieces: list[str], width: int) -> str:
    """Return as many of the pieces as fit, and the part of the next one that fits."""
    line = pieces[0]
    for piece in filter(None, pieces[1:]):
        longer = f"{line}  {piece}"
        if shortened(longer, width) != longer:
            return shortened(longer, width)
        line = longer
    return shortened(line, width)
