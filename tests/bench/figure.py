"""A figure, its means of measuring, and its result. Measures nothing itself."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Unit(StrEnum):
    """The unit of a row's samples."""

    SECONDS = "seconds"
    BYTES = "bytes"
    RUNS_PER_SECOND = "runs/s"
    COUNT = "count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        ours: the samples of what is measured, in order; empty if there are none.
        floor: the samples of the floor; equally many where they were taken in pairs.
        target: the bound below which the ratio should stay.
        note: what a reader must know of this row; printed below the table.
        trouble: the reason why there are no samples; empty if there are some.
        has_failed: true if the trouble is a failure, not merely something missing.
    """

    label: str
    unit: Unit = Unit.SECONDS
    ours: Sequence[float] = ()
    floor: Sequence[float] = ()
    floor_is: str = ""
    target: float | None = None
    note: str = ""
    trouble: str = ""
    has_failed: bool = False

    @property
    def ours_median(self) -> float | None:
        """The median of what is measured; None without samples."""
        return statistics.median(self.ours) if self.ours else None

    @property
    def floor_median(self) -> float | None:
        """The median of the floor; None without samples."""
        return statistics.median(self.floor) if self.floor else None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of the pairs; None if there is nothing to divide by."""
        if not self.ours or len(self.ours) != len(self.floor) or not all(self.floor):
            return None
        pairs = zip(self.ours, self.floor, strict=True)
        return statistics.median(ours / floor for ours, floor in pairs)


@dataclass(frozen=True, slots=True)
class Bench:
    """The means that every figure gets.

    Attributes:
        scratch: a directory for this figure alone.
        is_quick: true to measure just enough to show that it works.
        command: the argv that starts the program.
        true: the path of `true`.
    """

    scratch: Path
    is_quick: bool
    command: tuple[str, ...]
    true: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def times(self, usually: int, *, quick: int = 3) -> int:
        """Return how often to repeat."""
        return quick if self.is_quick else usually

    def fresh(self) -> Path:
        """Return an unused path below the scratch directory."""
        return self.scratch / f"out-{next(self._numbers)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A name to pick it by, and the function that measures it.

    Attributes:
        share: its part of the total time.
    """

    name: str
    measure: Callable[[Bench], Sequence[Row]]
    share: float = 0.05
