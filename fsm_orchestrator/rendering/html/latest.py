"""The latest of many: a page shows so many, and says how many earlier ones it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Latest(Generic[T]):
    """The latest, in order; `left_out` is not positive when they are all."""

    shown: Sequence[T]
    left_out: int


def latest(found: Sequence[T], most: int) -> Latest[T]:
    """Return the last `most` of what was found."""
    return Latest(found[-most:], len(found) - most)
