"""The meter of one attempt: a private file that the stage appends to, and its sums.

A line is `{"unit": "usd", "amount": 0.12}`. The file is hostile input: its size, its lines and its
units are bounded, amounts are decimal numbers, and anything else in it ends the attempt. Its
content goes nowhere but into the record.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from fsm_orchestrator.constants import LOGS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.model.budget import (
    MeterProblem,
    MeterStop,
    UnitAmount,
    UnitStop,
)
from fsm_orchestrator.model.endings import BudgetEnded, Exited, ProcessEnd, Signaled
from fsm_orchestrator.stages.environment import METER_VARIABLE
from fsm_orchestrator.stages.meter_lines import (
    LINE_BYTES_MAX,
    METER_BYTES_MAX,
    MeterError,
    entry_of,
)
from fsm_orchestrator.stages.output_files import meter_name
from fsm_orchestrator.text.amounts import UNITS_MAX, summed, written
from fsm_orchestrator.vocabulary import Operation

LOOK_SECONDS: Final = 0.2
"""The seconds between two readings while the stage runs; usage is sampled as often."""
LOOK_BYTES_MAX: Final = 1024 * 1024
"""The most bytes that one reading takes, so that the thread that waits for the stage can handle the
rest."""
ALIVE_SECONDS: Final = 1.0
"""The seconds between two touches of the file: after a kill they show how long the stage was at
work."""
_CHUNK_BYTES: Final = 64 * 1024


OnMetered: TypeAlias = Callable[[tuple[tuple[str, str, str | None], ...]], None]
"""A callback that gets each unit, the amount of it spent in the run, and the amount allowed."""


class MeterTerms(NamedTuple):
    """The terms that a meter is checked against.

    Attributes:
        budget: the amount of each unit that may be spent in the run; other units have no limit.
        elsewhere: returns the amount of a unit that is spent elsewhere than in a meter.
        must: True if something has to be metered.
        hides: returns whether a text holds a secret.
        on_metered: called when something was metered; None if nobody watches.
    """

    budget: Mapping[str, str] = MappingProxyType({})
    elsewhere: Callable[[str, Meter], Decimal] = lambda _unit, _own: Decimal(0)
    must: bool = False
    hides: Callable[[str], bool] = lambda _text: False
    on_metered: OnMetered | None = None


class Meter:
    """An open meter; `next_at` is the time of the next reading, by the monotonic clock."""

    def __init__(self, path: str, descriptor: int, terms: MeterTerms) -> None:
        """Take the meter at a path; its opener closes the descriptor."""
        self.path = path
        self.next_at = time.monotonic() + LOOK_SECONDS
        self._descriptor = descriptor
        self._terms = terms
        self._budget = {unit: Decimal(amount) for unit, amount in terms.budget.items()}
        self._sums: dict[str, Decimal] = {}
        self._read = hashlib.sha256()
        self._at = 0
        self._lines = 0
        self._rest = b""
        self._stop: UnitStop | MeterStop | None = None
        self._is_broken = False
        self._has_more = False
        self._touched_at = time.monotonic()

    @property
    def variables(self) -> dict[str, str]:
        """The variables that show the stage its meter."""
        return {METER_VARIABLE: self.path}

    @property
    def metered(self) -> tuple[UnitAmount, ...]:
        """The amounts that were metered so far."""
        return tuple(UnitAmount(unit=unit, amount=written(one)) for unit, one in self._sums.items())

    def sum_of(self, unit: str) -> Decimal:
        """Return the amount of a unit that was metered."""
        return self._sums.get(unit, Decimal(0))

    def look(self) -> BudgetEnded | None:
        """Read what is new; return why the attempt has to end, or None if it does not."""
        now = time.monotonic()
        lines = self._lines
        self._guarded_read()
        self.next_at = now if self._has_more else now + LOOK_SECONDS
        if self._lines > lines and self._terms.on_metered is not None:
            self._terms.on_metered(self._totals())
        if now - self._touched_at >= ALIVE_SECONDS:
            self._touched_at = now
            with contextlib.suppress(OSError):  # after a kill, this shows how long it ran
                os.utime(self._descriptor)
        return None if self._stop is None else BudgetEnded(self._stop)

    def _totals(self) -> tuple[tuple[str, str, str | None], ...]:
        units = dict.fromkeys((*self._budget, *self._sums))
        return tuple((unit, written(self._total(unit)), self._allowed(unit)) for unit in units)

    def _total(self, unit: str) -> Decimal:
        return summed(self.sum_of(unit), self._terms.elsewhere(unit, self))

    def _allowed(self, unit: str) -> str | None:
        allowed = self._budget.get(unit)
        return None if allowed is None else written(allowed)

    def judged(self, end: ProcessEnd, good_codes: Collection[int]) -> ProcessEnd:
        """Read the rest, once all processes of the stage have ended; return what its end means now.

        A last line without its newline counts. `good_codes` are those of a stage that did its work.
        """
        self._guarded_read(is_last=True)
        by_itself = end if isinstance(end, Exited | Signaled) else None
        is_well = isinstance(end, Exited) and end.code in good_codes
        if self._stop is None and self._terms.must and is_well and not self._lines:
            self._stop = MeterStop(kind="meter", problem=MeterProblem.UNMETERED, line=None)
        if self._stop is None or not (by_itself or isinstance(end, BudgetEnded)):
            return end
        return BudgetEnded(self._stop, by_itself)

    def _guarded_read(self, *, is_last: bool = False) -> None:
        """Read what is new, even over the budget: it is spent all the same."""
        if self._is_broken:
            return
        try:
            self._read_on(is_last=is_last)
        except MeterError as wrong:
            line = self._lines + 1 if wrong.is_of_line else None
            self._broken(MeterStop(kind="meter", problem=wrong.problem, line=line))
        except OSError:
            self._broken(MeterStop(kind="meter", problem=MeterProblem.UNREADABLE, line=None))

    def _broken(self, stop: MeterStop) -> None:
        self._is_broken, self._stop = True, self._stop or stop

    def _read_on(self, *, is_last: bool) -> None:
        size = self._size()
        until = size if is_last else min(size, self._at + LOOK_BYTES_MAX)
        self._has_more = until < size
        while self._at < until:
            chunk = os.pread(self._descriptor, min(_CHUNK_BYTES, until - self._at), self._at)
            if not chunk:
                raise MeterError(MeterProblem.SHRANK, is_of_line=False)
            self._at += len(chunk)
            self._read.update(chunk)
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            for line in whole:
                self._count(line)
            if len(self._rest) > LINE_BYTES_MAX:
                raise MeterError(MeterProblem.LINE_TOO_LONG)
        if is_last:
            if self._rest:
                self._count(self._rest)
            self._confirm()

    def _size(self) -> int:
        """Return the size of the file, which is still in its place.

        Raises:
            MeterError: it is not in its place, or has shrunk, or is too large.
        """
        here = os.fstat(self._descriptor)
        try:
            there = os.lstat(self.path)
        except OSError:
            raise MeterError(MeterProblem.REPLACED, is_of_line=False) from None
        if not os.path.samestat(here, there):
            raise MeterError(MeterProblem.REPLACED, is_of_line=False)
        if here.st_size < self._at:
            raise MeterError(MeterProblem.SHRANK, is_of_line=False)
        if here.st_size > METER_BYTES_MAX:
            raise MeterError(MeterProblem.TOO_LARGE, is_of_line=False)
        return here.st_size

    def _confirm(self) -> None:
        """Make sure that the bytes that were read have not changed since."""
        again, at = hashlib.sha256(), 0
        while at < self._at:
            chunk = os.pread(self._descriptor, min(_CHUNK_BYTES, self._at - at), at)
            if not chunk:
                raise MeterError(MeterProblem.SHRANK, is_of_line=False)
            again.update(chunk)
            at += len(chunk)
        if again.digest() != self._read.digest():
            raise MeterError(MeterProblem.REWRITTEN, is_of_line=False)

    def _count(self, line: bytes) -> None:
        unit, amount = entry_of(line)
        if self._terms.hides(line.decode()):
            raise MeterError(MeterProblem.SECRET)
        if unit not in self._sums and len(self._sums) >= UNITS_MAX:
            raise MeterError(MeterProblem.TOO_MANY_UNITS)
        self._lines += 1
        self._sums[unit] = summed(self.sum_of(unit), amount)
        total = self._total(unit)
        allowed = self._budget.get(unit)
        is_first = self._stop is None or (
            isinstance(self._stop, UnitStop) and self._stop.unit == unit
        )
        if is_first and allowed is not None and total > allowed:
            self._stop = UnitStop(
                kind="unit", unit=unit, spent=written(total), allowed=written(allowed)
            )


@contextlib.contextmanager
def open_meter(home: HeldDirectory, names: tuple[str, int], terms: MeterTerms) -> Iterator[Meter]:
    """Make and open the meter of an attempt; `names` are its stage and its number.

    Raises:
        RecordingError: it cannot be made.
    """
    path = home.path / meter_name(*names)
    with (
        files.recording(Operation.LOGS_PERSIST, path),
        files.below(home, LOGS_DIRECTORY) as logs,
    ):
        descriptor = _made(path, logs)
    try:
        yield Meter(os.fspath(path), descriptor, terms)
    finally:
        os.close(descriptor)


def _made(path: Path, logs: HeldDirectory) -> int:
    """Make an empty file, replacing any existing one, and open it for reading."""
    try:
        made = files.make_new(path, mode=0o600, within=logs)
    except FileExistsError:  # no attempt has this number yet: this file is foreign
        files.remove(path)
        made = files.make_new(path, mode=0o600, within=logs)
    try:
        descriptor = files.open_regular(path, within=logs)
    except BaseException:
        os.close(made)
        raise
    is_same = os.path.samestat(os.fstat(made), os.fstat(descriptor))
    os.close(made)
    if not is_same:
        os.close(descriptor)
        raise OSError(errno.ESTALE, "another file has taken its place", str(path))
    return descriptor


def read_again(
    path: Path, hides: Callable[[str], bool]
) -> tuple[tuple[UnitAmount, ...], MeterStop | None]:
    """Return the amounts in the meter of an attempt whose end nobody saw, and its problem, if any.

    Lines before a wrong one count; `hides` is as in `MeterTerms`.
    """
    try:
        descriptor = files.open_regular(path)
    except FileNotFoundError:
        return (), None  # the attempt was cut off before it had one
    except OSError:
        return (), MeterStop(kind="meter", problem=MeterProblem.UNREADABLE, line=None)
    try:
        meter = Meter(os.fspath(path), descriptor, MeterTerms(hides=hides))
        end = meter.judged(Exited(0), (0,))
        stop = end.stop if isinstance(end, BudgetEnded) else None
        return meter.metered, stop if isinstance(stop, MeterStop) else None
    finally:
        os.close(descriptor)
