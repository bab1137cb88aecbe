"""Commands, ages, sentences and columns as text for a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fsm_orchestrator.cli.parser.names import FIRST_WORDS
from fsm_orchestrator.cli.style import plain, shown_cells
from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.text.cells import cells, wrapped
from fsm_orchestrator.text.hidden import printable, shell_line, shell_words
from fsm_orchestrator.text.phrases import span_ms
from fsm_orchestrator.text.units import span_words

_SPACE_AND_BACKSLASH = len("  \\")


def command_line(*words: str) -> str:
    """Return a command line that can be copied into a shell."""
    return shell_line((PRODUCT, *words))


def command_lines(words: Sequence[str], indent: str, width: int) -> list[str]:
    """Return a command line that can be copied into a shell, broken where it would be too long.

    An option and its value stay together; a line that continues ends in a backslash.
    """
    quoted = shell_words(words)
    pieces: list[str] = []
    for word in quoted:
        follows_option = pieces and pieces[-1].startswith("--") and " " not in pieces[-1]
        if follows_option and not word.startswith("-"):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    lines = [""]
    for piece in pieces:
        if lines[-1] and cells(indent + lines[-1] + piece) + _SPACE_AND_BACKSLASH > width:
            lines[-1] += " \\"
            lines.append(f"  {piece}")
        else:
            lines[-1] = f"{lines[-1]} {piece}" if lines[-1] else piece
    return [f"{indent}{line}" for line in lines]


def age(since: str) -> str:
    """Return how long ago a recorded time is: `12.3 s`, `3 h 05 min`."""
    return span_words(span_ms(since, timestamp(SystemClock().now())))


def shown_path(output_directory: str) -> str:
    """Return an output directory as an argument that is never taken for an option or a command."""
    is_taken = output_directory.startswith("-") or output_directory in FIRST_WORDS
    return f"./{output_directory}" if is_taken else output_directory


def columns(
    rows: Iterable[Sequence[str]], *, indent: str = "  ", widths: list[int] | None = None
) -> list[str]:
    """Return rows as aligned lines; the last column is ragged. A cell may be painted.

    `widths` are those of the rows before these; they are widened to fit these.
    """
    table = [[cell if plain(cell) != cell else printable(cell) for cell in row] for row in rows]
    if not table:
        return []
    taken = [[shown_cells(cell) for cell in row] for row in table]
    widths = [] if widths is None else widths
    widths[:] = map(max, zip(*taken, widths or taken[0], strict=True))
    return [
        indent
        + "  ".join(
            cell + " " * (width - cells)
            for cell, width, cells in zip(row, widths, cells_of_row, strict=True)
        ).rstrip()
        for row, cells_of_row in zip(table, taken, strict=True)
    ]


def sentences(text: str, width: int, *, indent: str = "  ", hanging: str = "    ") -> list[str]:
    """Return text in lines of `width` cells, keeping its own line breaks; no word is ever cut."""
    lines: list[str] = []
    for line in text.splitlines():
        depth = " " * (len(line) - len(line.lstrip()))
        lead, rest = indent + depth, hanging + depth
        lines += wrapped(printable(line), width, indent=lead, hanging=rest)
    return lines
