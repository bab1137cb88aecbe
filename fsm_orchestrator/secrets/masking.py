"""Masks known values in everything that the program itself writes.

A secret is masked wherever it occurs, in every common encoding. A setting, a value of
`--<stage>-env`, is masked only where what a stage printed is quoted. What a stage writes to its own
log files is not touched; what is quoted from there is. Nothing is ever decided on a masked text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

MASK: Final = "***"
WHOLE_VALUE_LENGTH_MIN: Final = 6
WORD_LENGTH_MIN: Final = 3
CUT_LENGTH_MIN: Final = 3
"""The length of the shortest beginning of a value that is masked where a text was cut off."""
PLAIN_WORDS: Final = frozenset(
    {"true", "false", "yes", "no", "on", "off", "none", "null", "all", "any", "auto"}
)


class Masker:
    """A replacer of known values in text.

    A value of six characters or more is masked wherever it occurs. A shorter one, down to three, is
    masked only as a whole word, and not if it is a plain word like `true`: masking every letter of
    a report would hide nothing and explain nothing.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._know(_forms_of(frozenset(one for one in secrets if is_masked(one))))

    def with_settings(self, settings: Iterable[str]) -> Masker:
        """Return a masker for what stages print, which also hides these values."""
        lines = {line for value in settings for line in (value, *value.splitlines())}
        if not any(map(is_masked, lines)):
            return self
        both = Masker()
        both._know(self._forms | {one for one in lines if is_masked(one)})
        return both

    def _know(self, texts: frozenset[str]) -> None:
        self._forms = texts
        self._texts = tuple(sorted(texts, key=lambda one: (-len(one), one)))
        self._pattern = _pattern_of(self._texts)
        self.longest_bytes = max((len(one.encode(errors="replace")) for one in texts), default=0)

    @property
    def knows_any(self) -> bool:
        """True if there is anything to mask."""
        return self._pattern is not None

    def mask(self, text: str) -> str:
        """Return `text` with every known value replaced by `***`."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def mask_all(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Mask each of `texts`."""
        return tuple(self.mask(text) for text in texts)

    def hides(self, text: str) -> bool:
        """Return whether any part of `text` would be masked."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield the pieces of `text`, each with whether it is masked; joined, they are the text."""
        start = 0
        for match in self._matches(text, 0):
            yield text[start : match.start()], False
            yield match[0], True
            start = match.end()
        yield text[start:], False

    def masked_tail(self, text: str, length_max: int) -> str:
        """Return the last `length_max` characters of `text`, masked; no value is cut in two.

        The text may end within a value.
        """
        cut = max(0, len(text) - length_max)
        for match in self._matches(text, 0):
            if match.start() < cut < match.end():
                return MASK + self.masked_end(text, match.end())
        return self.masked_end(text, cut)

    def masked_part(self, text: str, start: int) -> tuple[str, int]:
        """Mask `text` from `start` on, as far as that is possible before more of it comes.

        Returns:
            The decided part, masked, and the start of the rest, which may be part of a value.
        """
        return self._masked_until(text, start, self._undecided_from)

    def masked_end(self, text: str, start: int = 0) -> str:
        """Mask all of `text` from `start` on; the text may have been cut off at its end.

        Three or more characters there that begin a value count as the value.
        """
        part, rest = self._masked_until(text, start, self._cut_from)
        return part if rest == len(text) else part + MASK

    def _matches(self, text: str, start: int) -> Iterator[re.Match[str]]:
        return iter(()) if self._pattern is None else self._pattern.finditer(text, start)

    def _masked_until(
        self, text: str, start: int, limit: Callable[[str, int], int]
    ) -> tuple[str, int]:
        """Mask `text` from `start` up to the limit, which is computed again after each value."""
        parts = []
        end = limit(text, start)
        for match in self._matches(text, start):
            if match.start() >= end:
                break
            parts += [text[start : match.start()], MASK]
            start = match.end()
            if start > end:
                end = limit(text, start)
        return "".join([*parts, text[start:end]]), end

    def _undecided_from(self, text: str, start: int) -> int:
        """Return the position, from `start` on, where the end of `text` may begin a value."""
        # Whether a short one is a whole word depends on what follows.
        return min(
            (
                _suffix_at(text, start, one, with_whole=len(one) < WHOLE_VALUE_LENGTH_MIN)
                for one in self._texts
            ),
            default=len(text),
        )

    def _cut_from(self, text: str, start: int) -> int:
        """Return the position, from `start` on, of a value whose end was cut off."""
        found = (
            _suffix_at(text, start, one, with_whole=False)
            for one in self._texts
            if len(one) >= WHOLE_VALUE_LENGTH_MIN
        )
        known = (at for at in found if len(text) - at >= CUT_LENGTH_MIN)
        return min(known, default=len(text))


def _suffix_at(text: str, start: int, value: str, *, with_whole: bool) -> int:
    """Return the position of the longest end of `text` that begins `value`; else its length."""
    at = max(start, len(text) - len(value) + (0 if with_whole else 1))
    at = text.find(value[0], at)
    while at >= 0 and not value.startswith(text[at:]):
        at = text.find(value[0], at + 1)
    return len(text) if at < 0 else at


def is_masked(value: str) -> bool:
    """Return whether a value is masked: one that is short or common is not."""
    return len(value) >= WHOLE_VALUE_LENGTH_MIN or (
        len(value) >= WORD_LENGTH_MIN and value.lower() not in PLAIN_WORDS
    )


def _forms_of(secrets: Iterable[str]) -> frozenset[str]:
    """Return secrets in every encoding."""
    if not secrets:
        return frozenset()
    from fsm_orchestrator.secrets.encodings import spellings  # noqa: PLC0415 - only with a secret

    return frozenset(one for value in secrets for one in spellings(value) if is_masked(one))


def _pattern_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern of the texts, given the longest first, or None if there are none."""
    parts = [
        re.escape(one) if len(one) >= WHOLE_VALUE_LENGTH_MIN else rf"(?<!\w){re.escape(one)}(?!\w)"
        for one in texts
    ]
    return re.compile("|".join(parts)) if parts else None


NO_SECRETS: Final = Masker()
"""A masker that masks nothing."""
