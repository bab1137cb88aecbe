"""Known secret values made unreadable in everything the program itself writes.

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
        parts = []
        for value in sorted(set(values), key=len, reverse=True):
            if len(value) >= WHOLE_VALUE_LENGTH_MIN:
                parts.append(re.escape(value))
            elif len(value) >= WORD_LENGTH_MIN and value.lower() not in PLAIN_WORDS:
                parts.append(rf"(?<!\w){re.escape(value)}(?!\w)")
        self._pattern = re.compile("|".join(parts)) if parts else None

    def mask(self, text: str) -> str:
        """`text` with every known value replaced by `***`."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def mask_all(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Each of `texts` masked."""
        return tuple(self.mask(text) for text in texts)
