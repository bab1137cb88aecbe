"""The latest of many: a page shows a limited number and says how many earlier ones it omits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Latest(Generic[T]):
    """The latest items, in order; `left_out` is not positive if they are all here."""

    shown: Sequence[T]
    left_out: int


def latest(found: Sequence[T], most: int) -> Latest[T]:
    """Return the last `most` of the items."""
    return Latest(found[-most:], len(found) - most)
