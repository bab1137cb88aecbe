"""Text is measured as a terminal shows it, and cut between characters."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fsm_orchestrator.text.cells import cells, cut, cut_in_middle, padded, wrapped

ACCENTED = "e\u0301"


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("plain", 5), ("日本", 4), (ACCENTED, 1), ("❤\ufe0f", 2), ("🚀x", 3), ("naïve…", 6)],
)
def test_cells_are_counted_as_a_terminal_takes_them(text: str, width: int) -> None:
    """Wide characters take two cells, combining ones none."""
    assert cells(text) == width


@pytest.mark.parametrize("width", range(12))
@pytest.mark.parametrize("text", ["abcdefgh", "日本語の文字", f"{ACCENTED}a{ACCENTED}b{ACCENTED}c"])
@pytest.mark.parametrize("shorten", [cut, cut_in_middle])
def test_cut_text_never_takes_more_cells(
    shorten: Callable[[str, int, str], str], text: str, width: int
) -> None:
    """Text is cut to any width with both forms of the mark, and stays unchanged if it fits."""
    for ellipsis in ("…", "..."):
        shown = shorten(text, width, ellipsis)
        assert cells(shown) <= width
        assert (shown == text) == (cells(text) <= width)


def test_both_ends_of_a_path_stay() -> None:
    """A shortened path keeps its beginning, which says where, and its end, which says which."""
    assert cut_in_middle("/srv/jobs/2026/report.json", 16, "…") == "/srv/…eport.json"
    assert cut("one two three", 8, "…") == "one two…"
    assert padded("日", 4) == "日  "


def test_words_are_never_cut() -> None:
    """A word that is longer than a line stays whole."""
    text = "see /a/very/long/path/that/fits/nowhere and 日本 go on"
    assert wrapped(text, 14, indent="  ", hanging="    ") == [
        "  see",
        "    /a/very/long/path/that/fits/nowhere",
        "    and 日本",
        "    go on",
    ]
