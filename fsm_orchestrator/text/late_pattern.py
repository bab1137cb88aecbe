"""Regular expressions that are compiled when they are first used, which most of a start are not."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, AnyStr, Final, cast

_compile: Final = re.compile
"""What compiles, also while `cli/spared.py` has another function in its place."""


class _Late:
    def __init__(self, text: Any, flags: int) -> None:
        self.pattern = text
        self._flags = flags

    @cached_property
    def _compiled(self) -> re.Pattern[Any]:
        return _compile(self.pattern, self._flags)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._compiled, name)
        setattr(self, name, found)
        return found


def late_pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return a pattern; a text that is none is found out when it is used."""
    return cast("re.Pattern[AnyStr]", _Late(text, flags))
