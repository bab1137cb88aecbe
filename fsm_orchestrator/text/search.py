"""Searches lines for a pattern that somebody typed, in bounded time.

A pattern can take longer than anybody would wait (`(a+)+b`). The search of one line may take one
second of processor time, counted by the process's own clock: a busy machine does not end it.
"""

from __future__ import annotations

import re
import signal
from types import FrameType
from typing import Final

SEARCH_SECONDS_MAX: Final = 1.0


class SearchError(Exception):
    """A pattern cannot be read, or takes too long; the message says which."""


class _OutOfTimeError(Exception):
    """The search of a line has used up its time."""


class LineSearch:
    """A pattern to find in lines. To be used only in the main thread."""

    def __init__(self, pattern: str) -> None:
        """Read the pattern, a regular expression of Python's.

        Raises:
            SearchError: it is not a regular expression.
        """
        try:
            self._pattern = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise SearchError(f"it is not a regular expression: {error}") from None

    def finds(self, line: str) -> bool:
        """Return whether the pattern is found in a line.

        Raises:
            SearchError: the search takes too long.
        """
        before = signal.signal(signal.SIGVTALRM, _end_search)
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, SEARCH_SECONDS_MAX)
            return self._pattern.search(line) is not None
        except _OutOfTimeError:
            raise SearchError(
                f"it takes more than {SEARCH_SECONDS_MAX:g} s for one line: repetitions within"
                " repetitions, as in (a+)+b, take forever"
            ) from None
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)


def _end_search(_number: int, _frame: FrameType | None) -> None:
    raise _OutOfTimeError
