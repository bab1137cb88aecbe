"""Durations and sizes as people write them: read, and written in the one form that is read back.

A bare number counts the smallest unit. A number may have a fraction only at the end of the text,
and only if the result is a whole number of milliseconds or bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from fsm_orchestrator.text.hidden import quoted
from fsm_orchestrator.text.late_pattern import late_pattern

SECOND_MS: Final = 1_000
_DURATIONS: Final[Mapping[str, int]] = {
    "d": 24 * 60 * 60 * SECOND_MS,
    "h": 60 * 60 * SECOND_MS,
    "m": 60 * SECOND_MS,
    "s": SECOND_MS,
    "ms": 1,
}
"""The units of a duration in milliseconds, the largest first, in the order in which they are
written."""
_DECIMAL: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_SIZES: Final[Mapping[str, int]] = {
    **{prefix + "b": factor for prefix, factor in _DECIMAL.items()},
    **{prefix: factor for prefix, factor in _DECIMAL.items() if prefix},
    **{prefix + "ib": 1024**power for power, prefix in enumerate(_DECIMAL) if prefix},
    **{prefix + "i": 1024**power for power, prefix in enumerate(_DECIMAL) if prefix},
}
"""The units of a size in bytes, in lower case."""
_NUMBER: Final = r"([0-9]{1,16})(?:\.([0-9]{1,6}))?"
_BARE: Final = late_pattern(r"-?[0-9]{1,16}")
_PART: Final = late_pattern(rf"{_NUMBER}(ms|[dhms])")
_WHOLE_DURATION: Final = late_pattern(rf"(?:{_PART.pattern})+")
_SIZE: Final = late_pattern(rf"{_NUMBER}([a-z]+)", re.ASCII | re.IGNORECASE)


class Measure(StrEnum):
    """The quantity that people write with a unit."""

    MILLISECONDS = "duration"
    BYTES = "size"


_TO_WRITE: Final[Mapping[Measure, str]] = {
    Measure.MILLISECONDS: "write 90s, 10m, 1h30m, or a whole number of milliseconds",
    Measure.BYTES: "write 64k, 10MB, 2GiB, or a whole number of bytes",
}


PATTERNS: Final[Mapping[Measure | None, str]] = {
    Measure.MILLISECONDS: r"^[0-9]+$|^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$",
    Measure.BYTES: r"^[0-9]+(\.[0-9]+)?([KMGTkmgt]?[Bb]?|[KMGTkmgt][Ii][Bb]?)$",
}
"""The patterns of a text in a JSON Schema: they say no more than that it may be valid."""


class NotMeasuredError(ValueError):
    """A text is not a duration, or not a size; the message says what to write."""


def measured(text: str, measure: Measure) -> int:
    """Return the milliseconds or bytes that a text stands for.

    Raises:
        NotMeasuredError: it does not stand for any.
    """
    if _BARE.fullmatch(text):
        return int(text)
    value = _milliseconds(text) if measure is Measure.MILLISECONDS else _bytes(text)
    if value is None:
        raise NotMeasuredError(f"{quoted(text)} is no {measure.value}: {_TO_WRITE[measure]}")
    return value


def is_bare(text: str) -> bool:
    """Return whether a text is a number without a unit."""
    return _BARE.fullmatch(text) is not None


def _milliseconds(text: str) -> int | None:
    if not _WHOLE_DURATION.fullmatch(text):
        return None
    order, total, left = list(_DURATIONS), 0, len(_PART.findall(text))
    for whole, fraction, unit in _PART.findall(text):
        left -= 1
        if unit not in order or (fraction and left):
            return None  # a unit that repeats or is out of order; a fraction before the end
        del order[: order.index(unit) + 1]
        value = _multiplied(whole, fraction, _DURATIONS[unit])
        if value is None:
            return None
        total += value
    return total


def _bytes(text: str) -> int | None:
    found = _SIZE.fullmatch(text)
    factor = None if found is None else _SIZES.get(found[3].lower())
    if found is None or factor is None:
        return None
    return _multiplied(found[1], found[2] or "", factor)


def _multiplied(whole: str, fraction: str, factor: int) -> int | None:
    """Return a decimal number times a factor; None if that is not a whole number."""
    value, rest = divmod(int(whole + fraction) * factor, 10 ** len(fraction))
    return None if rest else value


def exact_span(milliseconds: int) -> str:
    """Return `500ms`, `30s`, `1.234s`, `10m`, `1h30m`: exact, for settings."""
    if milliseconds < SECOND_MS:
        return f"{milliseconds}ms"
    text, rest = "", milliseconds
    for unit in ("h", "m"):
        count, rest = divmod(rest, _DURATIONS[unit])
        text += f"{count}{unit}" if count else ""
    seconds = f"{rest / SECOND_MS:.3f}".rstrip("0").rstrip(".")
    return text + (f"{seconds}s" if rest else "")


def exact_size(count: int) -> str:
    """Return `2GiB`, `10MB`, `1234 bytes`: exact, in the largest unit without a fraction."""
    text = as_typed(count, Measure.BYTES)
    return f"{text} bytes" if is_bare(text) else text


def as_typed(value: int, measure: Measure) -> str:
    """Return what a person would type for a number: `measured` reads it back."""
    if measure is Measure.MILLISECONDS:
        return exact_span(value)
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB"):
        whole, rest = divmod(value, _SIZES[unit.lower()])
        if whole and not rest:
            return f"{whole}{unit}"
    return str(value)


def span_words(milliseconds: int) -> str:
    """Return `740ms`, `12.3s`, `30m`, `4m05s`, `2h10m`: rounded, for measurements."""
    if milliseconds < SECOND_MS:
        return f"{milliseconds}ms"
    if round(milliseconds / SECOND_MS, 1) < 60:  # noqa: PLR2004 - a minute
        return f"{milliseconds / SECOND_MS:.1f}".removesuffix(".0") + "s"
    minutes, seconds = divmod(round(milliseconds / SECOND_MS), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{seconds:02d}s".removesuffix("00s")


def size_words(count: int) -> str:
    """Return `740 bytes`, `1.2 kB`, `14 MB`: rounded, for measurements."""
    for unit in ("TB", "GB", "MB", "kB"):
        if (whole := count / _SIZES[unit.lower()]) >= 1:
            return f"{whole:.1f} {unit}" if whole < 10 else f"{whole:.0f} {unit}"  # noqa: PLR2004
    return "1 byte" if count == 1 else f"{count} bytes"
