"""Text that hides nothing is recognized without a pattern, with the same result."""

from __future__ import annotations

import sys

from fsm_orchestrator.text.hidden import HIDDEN, copyable, is_plain, printable


def test_no_hidden_character_is_plain() -> None:
    """No hidden character is taken for plain, whatever this Python calls printable."""
    for character in map(chr, range(sys.maxunicode + 1)):
        if HIDDEN.search(character) is not None:
            assert not is_plain(character), hex(ord(character))


def test_text_is_shown_as_it_is_unless_something_is_hidden_in_it() -> None:
    """Letters, line feeds and needed joiners are shown unchanged; hidden ones are spelled out."""
    for text in ("plain", "\u2713 done \u00e9", "two\nlines", "\u0915\u094d\u200d\u0937"):
        assert printable(text) == text
    assert printable("a\u200db\u034f\x1b") == "a\\u200db\\u034f\\x1b"
    assert copyable("/a/\u00e9") == "/a/\u00e9"
    assert copyable("/a\tb") == "$'/a\\x09b'"
