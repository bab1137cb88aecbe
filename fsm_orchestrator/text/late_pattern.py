"""Regular expressions that are compiled when first used; most starts use few of them."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, AnyStr, Final, cast

_compile: Final = re.compile
"""The compiler of patterns, even while `cli/spared.py` has another function in its place."""


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
    """Return a pattern; an invalid one is found out when it is first used."""
    return cast("re.Pattern[AnyStr]", _Late(text, flags))
