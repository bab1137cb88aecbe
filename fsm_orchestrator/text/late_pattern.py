"""Regular expressions that are compiled when they are first used, which most of a start are not."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, cast


class _Late:
    def __init__(self, text: str, flags: int) -> None:
        self.pattern = text
        self._flags = flags

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, self._flags)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._compiled, name)
        setattr(self, name, found)
        return found


def late_pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """Return a pattern; a text that is none is found out when it is used."""
    return cast("re.Pattern[str]", _Late(text, flags))
