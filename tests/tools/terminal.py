"""A terminal for pictures: types a command into a pseudo-terminal and draws its screen.

A picture keeps the times that were really measured. Two pictures are compared by the words and
colors that they show, without what differs from run to run: see `seen_in`.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.support.spans import SPAN

ROWS: Final = 60
PLAIN: Final = Console(file=io.StringIO(), _environ={})
_THEME: Final = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [
        *((110, 118, 129), (255, 123, 114), (86, 211, 100), (227, 179, 65)),
        *((121, 192, 255), (210, 168, 255), (86, 212, 221), (230, 237, 243)),
    ],
)
"""Light text on a dark background: readable on a light page and on a dark one."""
_FONT: Final = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_FORMAT: Final = (
    """\
<svg viewBox="0 0 {width} {height}" width="{width}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: """
    + _FONT
    + """;
  font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 16px; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
)
"""Rich's format, without the font from elsewhere: the page loads nothing when it is read."""
_SVG: Final = "{http://www.w3.org/2000/svg}"
_DIM: Final = 2
_BLINK: Final = 5
_EXTENDED: Final = (38, 48)
_RUN_ID: Final = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
_CLOCK: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?Z?|\b\d\d:\d\d:\d\d\b")
_DURATION: Final = re.compile(
    rf"\b(?:\d+(?:\.\d+)? ?(?:ms|s|m|min|h)\b(?: \d+ ?(?:ms|s|m|min)\b)?|{SPAN}\b)"
)
_PID: Final = re.compile(r"\bpid \d+")
_SPINNER: Final = re.compile("[\u2801-\u28ff]")

Look = tuple[str, str]
"""The visible content of a piece of a line: its style and its words."""


class _Screen(pyte.Screen):
    """A screen that supports dim text, which it keeps as blinking: nothing here blinks."""

    def select_graphic_rendition(self, *attrs: int, **more: bool) -> None:
        mapped, is_extended = [], False
        for one in attrs:
            is_extended = is_extended or one in _EXTENDED
            mapped.append(_BLINK if one == _DIM and not is_extended else one)
            if one == _DIM + 20:
                mapped.append(_BLINK + 20)
        super().select_graphic_rendition(*mapped, **more)


def screen_after(
    command: str,
    *,
    cwd: Path,
    env: Mapping[str, str],
    columns: int,
    until: str = "",
    go_on: Callable[[], None] | None = None,
) -> list[Text]:
    """Type a command, and return the lines of the screen when it has ended.

    With `until`, the lines are those of the moment at which these words are first seen; `go_on` is
    then called, and the end of the command is waited for.
    """
    screen = _Screen(columns, ROWS)
    stream = pyte.ByteStream(screen)
    seen: list[Text] = []
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=cwd,
        env=env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ):
        os.close(theirs)
        for data in _output(ours):
            stream.feed(data)
            if until and not seen and any(until in line for line in screen.display):
                seen = _lines(screen)
                if go_on is not None:
                    go_on()
    os.close(ours)
    if until and not seen:
        raise AssertionError(f"{until!r} was never seen:\n" + "\n".join(screen.display))
    return seen or _lines(screen)


def drawn(lines: list[Text], *, name: str, title: str, columns: int) -> str:
    """Return an SVG of a terminal's window with these lines."""
    console = Console(
        record=True,
        width=columns,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    for line in (*lines, Text()):  # the last line of a picture is cut at its lower edge
        console.print(line, soft_wrap=False, no_wrap=True, crop=True)
    svg = console.export_svg(title=title, theme=_THEME, code_format=_FORMAT, unique_id=name)
    return "\n".join(line.strip() for line in svg.splitlines() if line.strip()) + "\n"


def seen_in(svg: str) -> list[list[Look]]:
    """Return the content of a picture, line by line, without times, ids and widths of columns.

    Raises:
        ValueError: it is not XML.
    """
    try:
        root = ET.fromstring(svg)  # noqa: S314 - a file of the project's own repository
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    style = "".join(one.text or "" for one in root.iter(f"{_SVG}style"))
    looks = dict(re.findall(r"\.[\w-]+?-(r\d+) \{ (.*?) \}", style))
    texts = [one for one in root.iter(f"{_SVG}text") if one.get("y")]
    lines = [list(group) for _, group in groupby(texts, key=lambda one: one.get("y"))]
    return [settled for line in lines if (settled := _settled(line, looks))]


def _settled(line: list[ET.Element], looks: Mapping[str, str]) -> list[Look]:
    found = []
    for one in line:
        words = (one.text or "").replace("\u00a0", " ")
        for pattern, instead in (
            (_RUN_ID, "RUN"),
            (_CLOCK, "CLOCK"),
            (_DURATION, "TIME"),
            (_PID, "pid N"),
            (_SPINNER, "*"),
        ):
            words = pattern.sub(instead, words)
        if words := " ".join(words.split()):
            kind = (one.get("class") or "").rpartition("-")[2]
            found.append((looks.get(kind, ""), words))
    return found


def _output(descriptor: int) -> Iterator[bytes]:
    """Yield the output to a terminal until nobody has it open."""
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError as error:
            if error.errno == errno.EIO:
                return
            raise
        if not data:
            return
        yield data


def _lines(screen: pyte.Screen) -> list[Text]:
    """Return the lines of a screen, without the empty ones at its end."""
    lines = []
    for row in range(screen.lines):
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        line = Text()
        for style, group in groupby(cells, key=_style):
            line.append("".join(cell.data for cell in group), style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _style(cell: Char) -> Style:
    colors = {"default": None, "brown": "yellow", "brightbrown": "bright_yellow"}
    color = colors.get(cell.fg, cell.fg)
    if color is not None and re.fullmatch("[0-9a-f]{6}", color):
        color = f"#{color}"
    elif color is not None and color.startswith("bright") and "_" not in color:
        color = color.replace("bright", "bright_", 1)
    return Style(
        color=color,
        bold=cell.bold or None,
        italic=cell.italics or None,
        underline=cell.underscore or None,
        reverse=cell.reverse or None,
        dim=cell.blink or None,
    )
