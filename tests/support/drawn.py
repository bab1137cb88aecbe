"""Some cases of a test stand for all: which ones, the seed of the session says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pytest

from tests.support.soak import SOAK

MARKER = "one_in"


def turn_of(config: pytest.Config) -> int:
    """Return the seed that pytest-randomly says at the top; 0 where it is switched off."""
    return int(config.getoption("randomly_seed", 0))


def not_drawn(items: Sequence[pytest.Item], turn: int) -> set[str]:
    """Return the ids of the cases that are left out at this turn, however they are ordered.

    Of a test marked `one_in(n)`, so many turns one after the other take every case.
    """
    cases: dict[str, list[str]] = defaultdict(list)
    shares: dict[str, int] = {}
    for item in items:
        if (mark := item.get_closest_marker(MARKER)) is not None:
            test = item.nodeid.partition("[")[0]
            cases[test].append(item.nodeid)
            shares[test] = mark.args[0]
    return {
        case
        for test, found in cases.items()
        for number, case in enumerate(sorted(found))
        if (number + turn) % shares[test]
    }


def leave_out_what_is_not_drawn(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the cases that are drawn; with `SOAK=1`, and of a test that is named, every one."""
    if SOAK or config.option.keyword or any("::" in one for one in config.args):
        return
    left_out = not_drawn(items, turn_of(config))
    config.hook.pytest_deselected(items=[one for one in items if one.nodeid in left_out])
    items[:] = [one for one in items if one.nodeid not in left_out]


def begin_with_long_ones(items: list[pytest.Item]) -> None:
    """Put the sweeps first, or the last worker at work would be at one of them."""
    items.sort(key=lambda one: "tests/sweeps/" not in one.nodeid)
