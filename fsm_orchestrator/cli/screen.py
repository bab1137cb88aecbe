"""Lines of a screen: an optional mark at the beginning, sentences after labels, folds.

No word is cut: a line breaks between words, or is longer than the screen. Characters that could act
on a terminal are spelled out before a color is added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from fsm_orchestrator.cli.console import Console
from fsm_orchestrator.cli.formatting import command_lines, sentences
from fsm_orchestrator.cli.style import Mark, Tone, ellipsis, lead, paint
from fsm_orchestrator.text.cells import cells, cut
from fsm_orchestrator.text.hidden import printable
from fsm_orchestrator.vocabulary import Standing

PROSE_WIDTH_MAX: Final = 120
LABEL_WIDTH: Final = 6


class Line(NamedTuple):
    """One line: its text, its mark, and whether it is dimmed."""

    text: str
    mark: Mark | None = None
    is_dim: bool = False


def shown(lines: Iterable[Line]) -> str:
    """Return lines as painted text; the texts of marked lines are aligned."""
    return "".join(f"{line}\n" for line in painted(lines))


def painted(lines: Iterable[Line]) -> Iterator[str]:
    """Yield the same line by line, without line breaks."""
    leads = dict[Mark, str]()
    for line in lines:
        text = paint(line.text, Tone.DIM) if line.is_dim else printable(line.text)
        if line.mark is not None:
            if line.mark not in leads:
                leads[line.mark] = lead(line.mark)
            text = f"{leads[line.mark]}{text}"
        yield text


def prose_width(console: Console) -> int:
    """Return the width to which sentences are filled: longer lines are hard to read."""
    return min(console.width, PROSE_WIDTH_MAX)


def labeled(label: str, text: str, width: int) -> list[str]:
    """Return text after a label, with its lines aligned below the text of the first."""
    indent = f"  {label:<{LABEL_WIDTH}}"
    below = " " * len(indent)
    lines: list[str] = []
    for line in text.splitlines():
        lines += sentences(line, width, indent=below if lines else indent, hanging=below)
    return lines


def labeled_command(label: str, words: Sequence[str], width: int) -> list[str]:
    """Return a command after a label; one that is too long continues on further lines."""
    indent = f"  {label:<{LABEL_WIDTH}}"
    lines = command_lines(words, " " * len(indent), width)
    return [indent + lines[0].lstrip(), *lines[1:]]


def shortened(text: str, width: int) -> str:
    """Return text that fits in `width`: of a longer one, the first words and an ellipsis.

    A word is cut if most of the line would be lost without it: some languages have no spaces.
    """
    if cells(text) <= width:
        return text
    more = ellipsis()
    room = max(width - len(more) - 1, 1)
    head = cut(text, room, "")
    words, space, _ = head.rpartition(" ")
    is_most = bool(space and words.strip()) and cells(words) * 2 >= room
    return f"{words} {more}" if is_most else cut(text, width, more)


def folded(names: Sequence[str], width: int) -> str:
    """Return as many names as fit, and the number of the others."""
    kept: list[str] = []
    for index, name in enumerate(names):
        more = f"{ellipsis()} {len(names) - index} more"
        if kept and len(", ".join([*kept, name, more])) > width:
            return ", ".join([*kept, more])
        kept.append(name)
    return ", ".join(kept)


def mark_of(standing: Standing) -> Mark:
    """Return the mark of where a run stands."""
    match standing:
        case Standing.DONE:
            return Mark.GOOD
        case Standing.FAILED | Standing.TIMEOUT:
            return Mark.BAD
        case Standing.WORKING:
            return Mark.AHEAD
        case Standing.WAITING | Standing.BLOCKED | Standing.NOT_CLOSABLE:
            return Mark.WAITING
        case Standing.INTERRUPTED | Standing.SUSPENDED:
            return Mark.WAITING
