"""Spans of time in words, the same everywhere."""

from __future__ import annotations

from datetime import datetime
from typing import Final

_SECOND_MS: Final = 1_000


def span_ms(since: str, until: str) -> int:
    """Whole milliseconds between two times as records hold them; never negative."""
    span = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    return max(0, round(span.total_seconds() * _SECOND_MS))


def span_words(milliseconds: int) -> str:
    """`740 ms`, `12.3 s`, `30 min`, `4 min 05 s`, `2 h 10 min`."""
    if milliseconds < _SECOND_MS:
        return f"{milliseconds} ms"
    if milliseconds < 60 * _SECOND_MS:
        return f"{milliseconds / _SECOND_MS:.1f} s".replace(".0 s", " s")
    minutes, seconds = divmod(round(milliseconds / _SECOND_MS), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s".removesuffix(" 00 s")
