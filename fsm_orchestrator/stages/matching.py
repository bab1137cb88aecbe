"""Matches patterns against texts in a separate process, which can be ended: `re` cannot be.

A pattern can take longer than the age of the universe on a text of thirty letters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from fsm_orchestrator.processes.tool import ToolError, run_tool

MATCH_SECONDS: Final = 2.0
"""The time that all patterns of one document have together."""
TEXT_CHARACTERS_MAX: Final = 64 * 1024
PAIRS_MAX: Final = 10_000
_PROGRAM: Final = """
import json, re, sys
print(json.dumps([re.fullmatch(*pair) is not None for pair in json.load(sys.stdin)]))
"""


class Match(NamedTuple):
    """A pattern, and the text that has to match it completely."""

    pattern: str
    text: str


class Matcher:
    """A matcher of patterns with a time limit."""

    def __init__(self, seconds: float = MATCH_SECONDS) -> None:
        self._seconds = seconds

    def answers(self, wanted: Sequence[Match]) -> Mapping[Match, str | None]:
        """Return None for each pair that matches, else what is wrong, which may be empty."""
        too_long = f"longer than the {TEXT_CHARACTERS_MAX} characters that are matched"
        answers: dict[Match, str | None] = dict.fromkeys(wanted, too_long)
        asked = [one for one in wanted if len(one.text) <= TEXT_CHARACTERS_MAX]
        if len(asked) > PAIRS_MAX:
            too_many = f"more than the {PAIRS_MAX} texts that are matched in one document"
            return dict.fromkeys(wanted, too_many)
        given = json.dumps(asked).encode()
        words = (sys.executable, "-I", "-S", "-c", _PROGRAM)
        try:
            end = run_tool(words, env={}, cwd="/", given=given, seconds=self._seconds)
            found = json.loads(end.stdout) if end.code == 0 else None
        except (ToolError, ValueError):
            found = None
        if found is None or len(found) != len(asked):
            why = f"and that could not be decided within {self._seconds:g} seconds"
            return {**answers, **dict.fromkeys(asked, why)}
        return {
            **answers,
            **{one: None if fits else "" for one, fits in zip(asked, found, strict=True)},
        }
