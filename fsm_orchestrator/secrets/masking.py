"""Masks known secret values in everything that the program itself writes.

The known values are those of `--<stage>-env`. What a stage writes to its own log files is not
touched; what is quoted from there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"
WHOLE_VALUE_LENGTH_MIN: Final = 6
WORD_LENGTH_MIN: Final = 3
PLAIN_WORDS: Final = frozenset(
    {"true", "false", "yes", "no", "on", "off", "none", "null", "all", "any", "auto"}
)


class Masker:
    """Replaces known values in text.

    A value of six characters or more is masked wherever it stands. A shorter one, down to three,
    only as a whole word, and not if it is a plain word like `true`: masking every letter of a
    report would hide nothing and explain nothing.
    """

    def __init__(self, values: Iterable[str]) -> None:
        known = sorted(set(values), key=len, reverse=True)
        self.longest_bytes = len(known[0].encode(errors="replace")) * 4 if known else 0
        self._values = tuple(value for value in known if _is_masked(value))
        self._pattern = _pattern_of(known)
        self._path_pattern = _pattern_of([value for value in known if "/" not in value])

    def mask(self, text: str) -> str:
        """Return `text` with every known value replaced by `***`."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def mask_all(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Mask each of `texts`."""
        return tuple(self.mask(text) for text in texts)

    def mask_path(self, text: str) -> str:
        """Mask `text`, which is a path or a sentence about paths.

        A value that is a path itself is left: the operator named that file or directory openly,
        and a report that hides which file is missing helps nobody.
        """
        return text if self._path_pattern is None else self._path_pattern.sub(MASK, text)

    def mask_paths(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Mask each of `paths` as a path."""
        return tuple(self.mask_path(path) for path in paths)

    def masked_tail(self, text: str, length_max: int) -> str:
        """Return the last `length_max` characters of `text`, masked; no value is cut in two."""
        cut = max(0, len(text) - length_max)
        for match in self._pattern.finditer(text) if self._pattern is not None else ():
            if match.start() < cut < match.end():
                return MASK + self.mask(text[match.end() :])
        return self.mask(text[cut:])

    def masked_part(self, text: str, start: int) -> tuple[str, int]:
        """Mask `text` from `start` on, as far as that is possible before more of it comes.

        Returns:
            The decided part, masked, and where the rest begins, which may be part of a value.
        """
        parts = []
        undecided = self._undecided_from(text, start)
        for match in self._pattern.finditer(text, start) if self._pattern is not None else ():
            if match.start() >= undecided:
                break
            parts += [text[start : match.start()], MASK]
            start = match.end()
            if start > undecided:
                undecided = self._undecided_from(text, start)
        return "".join([*parts, text[start:undecided]]), undecided

    def masked_end(self, text: str, start: int) -> str:
        """Mask `text` from `start` on, where it ends.

        The first six or more characters of a value count as the value: its output was cut off.
        """
        part, rest = self.masked_part(text, start)
        if len(text) - rest >= WHOLE_VALUE_LENGTH_MIN:
            return part + MASK
        for match in self._pattern.finditer(text, rest) if self._pattern is not None else ():
            part += text[rest : match.start()] + MASK
            rest = match.end()
        return part + text[rest:]

    def _undecided_from(self, text: str, start: int) -> int:
        """Return where, from `start` on, the end of `text` may be the beginning of a value."""
        found = len(text)
        for value in self._values:
            # Whether a short one stands as a word depends on what follows.
            is_word = len(value) < WHOLE_VALUE_LENGTH_MIN
            at = max(start, len(text) - len(value) + (0 if is_word else 1))
            at = text.find(value[0], at)
            while 0 <= at < found and not value.startswith(text[at:]):
                at = text.find(value[0], at + 1)
            if at >= 0:
                found = min(found, at)
        return found


def _is_masked(value: str) -> bool:
    return len(value) >= WHOLE_VALUE_LENGTH_MIN or (
        len(value) >= WORD_LENGTH_MIN and value.lower() not in PLAIN_WORDS
    )


def _pattern_of(values: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern of the values, the longest first; None if there are none."""
    parts = [
        re.escape(value)
        if len(value) >= WHOLE_VALUE_LENGTH_MIN
        else rf"(?<!\w){re.escape(value)}(?!\w)"
        for value in values
        if _is_masked(value)
    ]
    return re.compile("|".join(parts)) if parts else None
