"""The environment decides in one place about a stream's colors, redrawing and symbols."""

from __future__ import annotations

import pytest

from fsm_orchestrator.cli import console, style
from fsm_orchestrator.cli.formatting import columns, sentences
from fsm_orchestrator.cli.style import Mark, Tone, paint

NAMES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "TERM", "CI", "COLUMNS")
LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, *LOCALE):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "on_terminal", "in_file"),
    [
        ({}, True, False),
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "0"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR": "1"}, True, False),
        ({"CI": "true"}, True, False),
    ],
)
def test_color_is_decided_by_the_usual_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], on_terminal: bool, in_file: bool
) -> None:
    """Each variable follows its published rule; one that forbids color takes precedence."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (console.may_color(True), console.may_color(False)) == (on_terminal, in_file)


@pytest.mark.parametrize(
    ("variables", "may"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "linux"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, False),
        ({}, False),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "xterm", "CI": "1"}, False),
        ({"TERM": "xterm", "CI": "false"}, True),
        ({"TERM": "xterm", "CI": ""}, True),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, True),
    ],
)
def test_lines_are_redrawn_only_for_a_person(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], may: bool
) -> None:
    """A terminal that cannot move its cursor, or one that a job is given, gets plain lines."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert console.may_redraw(True) is may
    assert console.may_redraw(False) is False


@pytest.mark.parametrize(
    ("variables", "has"),
    [
        ({"LANG": "en_GB.UTF-8"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LANG": "de_DE.UTF-8@euro"}, True),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": ""}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({}, False),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, False),
        ({"LANG": "C.UTF-8", "TERM": "dumb"}, False),
    ],
)
def test_symbols_are_ascii_where_others_might_not_be_seen(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], has: bool
) -> None:
    """The locale gives the stream's encoding, the terminal the symbols of its font."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert console.has_unicode() is has
    marks = [style.plain(style.symbol(mark)) for mark in Mark]
    assert marks == (["✓", "✗", "!", "↻", "→", "-"] if has else ["ok", "x", "!", "~", ">", "-"])


def test_painted_text_is_aligned_and_can_drive_no_terminal() -> None:
    """Colors take no room, and control characters in painted text are spelled out."""
    rows = [(paint("日本", Tone.RED), "one"), ("four!", "two"), ("\x1b[2J", "three")]
    assert columns(rows, indent="") == [
        "\x1b[31m日本\x1b[0m     one",
        "four!    two",
        "\\x1b[2J  three",
    ]
    assert paint("a\x1b[2J", Tone.BOLD) == "\x1b[1ma\\x1b[2J\x1b[0m"
    assert sentences("one two\n  three four", 11) == ["  one two", "    three", "      four"]
