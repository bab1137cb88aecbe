"""A draw of cases that stand for all cases of a test, by the seed of the session."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from zlib import crc32

import pytest

from tests.support.soak import WHOLE

MARKER: Final = "one_in"
MATRIX_SHARES: Final = ((9, 4), (4, 3), (3, 2))
"""The numbers of cases from which a test is a matrix, and the share of its cases to take."""
SINGLES_SHARE: Final = 2
"""The share of a module's tests with one case each: one in this many is taken."""
SHARES_MULTIPLE: Final = 840
"""A multiple of any share, up to one in eight."""
RUNNERS: Final = tuple(f"tests.support.{name}" for name in ("command", "guide", "held", "temporal"))
"""The prefixes of the modules that run commands: a case that uses them is expensive."""


def turn_of(config: pytest.Config) -> int:
    """Return the seed that pytest-randomly prints at the top; 0 where it is switched off."""
    return int(config.getoption("randomly_seed", 0))


def turn_within(config: pytest.Config) -> int:
    """Return the number by which a test draws its cases: the same for all turns in a row.

    A case that is drawn at each second turn would otherwise never meet half of the values.
    """
    return turn_of(config) // SHARES_MULTIPLE


def not_drawn(items: Sequence[pytest.Item], turn: int) -> set[str]:
    """Return the ids of what is left out at this turn, however the items are ordered.

    Of a test marked `one_in(n)` one case in n is taken, and of the tests of a module that are
    marked so and have one case each, one in n. Where commands are run, a test without the mark
    counts as marked: by `MATRIX_SHARES` with three cases or more, by `SINGLES_SHARE` with one. So
    many turns one after the other take everything.
    """
    tests: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        tests[item.nodeid.partition("[")[0]].append(item)
    drawn: dict[tuple[str, int], list[str]] = defaultdict(list)
    for test, cases in tests.items():
        group = test if len(cases) > 1 else test.partition("::")[0]
        drawn[group, _share_of(cases[0], len(cases))] += [one.nodeid for one in cases]
    return {
        one
        for (group, share), found in drawn.items()
        # Not all groups begin with their first: their expensive ones would be taken together.
        for number, one in enumerate(sorted(found), start=turn + crc32(group.encode()))
        if number % share
    }


def _share_of(item: pytest.Item, cases: int) -> int:
    if (mark := item.get_closest_marker(MARKER)) is not None:
        return int(mark.args[0])
    shares = ((1, SINGLES_SHARE),) if cases == 1 else MATRIX_SHARES
    share = next((share for cases_min, share in shares if cases >= cases_min), 1)
    return share if share > 1 and _runs_commands(item) else 1


def _runs_commands(item: pytest.Item) -> bool:
    module = getattr(item, "module", object)
    lent = (getattr(one, "__module__", None) for one in vars(module).values())
    return any(isinstance(name, str) and name.startswith(RUNNERS) for name in lent)


def leave_out_what_is_not_drawn(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the cases that are drawn; with `WHOLE=1`, and of a named file or test, all."""
    is_named = any(one.partition("::")[0].endswith(".py") for one in config.args)
    if WHOLE or config.option.keyword or config.option.markexpr or is_named:
        return
    left_out = not_drawn(items, turn_of(config))
    config.hook.pytest_deselected(items=[one for one in items if one.nodeid in left_out])
    items[:] = [one for one in items if one.nodeid not in left_out]


def begin_with_long_ones(items: list[pytest.Item]) -> None:
    """Put the sweeps first; otherwise the last worker at work would be at one of them."""
    items.sort(key=lambda one: "tests/sweeps/" not in one.nodeid)
