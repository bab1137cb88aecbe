"""A sample of test cases contains every kind of case."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.command import orchestrate
from tests.support.drawn import MATRIX_SHARES, SHARES_MULTIPLE, SINGLES_SHARE, not_drawn
from tests.support.places import Place, of_each_kind
from tests.support.soak import SOAK


def test_first_and_last_place_of_each_kind_are_sampled() -> None:
    """Entries of one list are of one kind, fields and deeper values are not; the order stays."""
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


def items_of(names: Iterable[str], share: int | None = None, **lent: Any) -> list[pytest.Item]:
    """Return collected tests: cases of one module, which lends its properties to them."""
    mark = None if share is None else pytest.mark.one_in(share).mark
    module = SimpleNamespace(**lent)
    found = [SimpleNamespace(nodeid=one, get_closest_marker=lambda _: mark) for one in names]
    for one in found:
        one.module = module
    return cast("list[pytest.Item]", found)


def cases(count: int) -> list[str]:
    """Return the names of a number of cases of one test."""
    return [f"test_one.py::test[{number}]" for number in range(count)]


def single(count: int) -> list[str]:
    """Return the names of a number of tests with one case each."""
    return [f"test_one.py::test_{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("every", "share", "lent"),
    [
        (cases(7), 3, {}),
        (single(7), 3, {}),
        (cases(9), None, {"run": orchestrate}),
        (cases(7), None, {"run": orchestrate}),
        (cases(3), None, {"run": orchestrate}),
        (single(5), None, {"run": orchestrate}),
    ],
    ids=["marked cases", "marked tests", "many", "some", "a few", "one each"],
)
def test_so_many_turns_as_there_are_shares_take_every_case(
    every: list[str], share: int | None, lent: dict[str, Any]
) -> None:
    """Each turn leaves out other cases, whatever the order of collection."""
    items = items_of(every, share, **lent)
    turns = share or {3: 2, 5: 2, 7: 3, 9: 4}[len(every)]
    taken = []
    for turn in range(turns):
        left_out = not_drawn(items, turn)
        assert left_out == not_drawn(items[::-1], turn)
        drawn = [one for one in every if one not in left_out]
        assert len(drawn) in {len(every) // turns, len(every) // turns + 1}
        taken += drawn
    assert sorted(taken) == every


@pytest.mark.parametrize(
    ("every", "share", "lent"),
    [
        (cases(7), None, {}),
        (cases(2), None, {"run": orchestrate}),
        (cases(7), 1, {"run": orchestrate}),
        (single(7), None, {}),
        (single(7), 1, {"run": orchestrate}),
    ],
    ids=["no commands", "two cases", "marked", "tests without commands", "marked tests"],
)
def test_what_is_cheap_or_marked_so_is_always_taken(
    every: list[str], share: int | None, lent: dict[str, Any]
) -> None:
    """Only a matrix whose cases run commands is sampled, unless it is marked as complete."""
    items = items_of(every, share, **lent)
    assert [not_drawn(items, turn) for turn in range(3)] == [set(), set(), set()]


def test_what_a_case_takes_turns_while_all_cases_are_drawn() -> None:
    """No share is in step with the values drawn within a case."""
    marked = {
        int(share)
        for path in Path(__file__).parents[1].rglob("test_*.py")
        for share in re.findall(r"mark\.one_in\((\d+)\)", path.read_text())
    }
    shares = {SINGLES_SHARE, *(share for _, share in MATRIX_SHARES), *marked}
    assert {share for share in shares if SHARES_MULTIPLE % share} == set()
