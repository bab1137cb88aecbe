"""A sample leaves out no kind of what it stands for."""

from __future__ import annotations

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
