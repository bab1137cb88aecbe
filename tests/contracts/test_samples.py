"""A sample leaves out no kind of what it stands for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.drawn import not_drawn
from tests.support.places import Place, of_each_kind
from tests.support.soak import SOAK


def test_first_and_last_place_of_each_kind_are_sampled() -> None:
    """Entries of one list are of a kind, fields and what lies deeper are not; the order stays."""
    found: list[Place] = [
        ("steps",),
        *(("steps", number) for number in range(4)),
        *(("steps", number, key) for number in range(4) for key in ("at", "seq")),
        ("steps", 2, "details", 0),
        ("end",),
    ]
    sampled = [
        ("steps",),
        ("steps", 0),
        ("steps", 3),
        ("steps", 0, "at"),
        ("steps", 0, "seq"),
        ("steps", 3, "at"),
        ("steps", 3, "seq"),
        ("steps", 2, "details", 0),
        ("end",),
    ]
    assert of_each_kind(iter(found)) == (found if SOAK else sampled)


def test_so_many_turns_as_there_are_shares_take_every_case() -> None:
    """Each turn leaves out others, in whatever order they were collected, and nothing unmarked."""
    every = [f"test_one.py::test[{number}]" for number in range(7)]
    marked = pytest.mark.one_in(3).mark
    items = [SimpleNamespace(nodeid=one, get_closest_marker=lambda _: marked) for one in every]
    items.append(SimpleNamespace(nodeid="test_another.py::test", get_closest_marker=lambda _: None))
    taken = []
    for turn in range(3):
        left_out = not_drawn(cast("list[pytest.Item]", items), turn)
        assert left_out == not_drawn(cast("list[pytest.Item]", items[::-1]), turn)
        assert len(left_out) in {4, 5}
        taken += [one for one in every if one not in left_out]
    assert sorted(taken) == every
