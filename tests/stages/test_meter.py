"""The meter of an attempt, a file that a stage writes: its sums, and what ends it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.model.budget import MeterProblem, MeterStop, UnitStop
from fsm_orchestrator.model.endings import (
    BudgetEnded,
    Exited,
    Interrupted,
    ProcessEnd,
    Signaled,
    TimedOut,
)
from fsm_orchestrator.stages import meter as meters
from fsm_orchestrator.stages.meter import Meter, MeterTerms, open_meter, read_again
from fsm_orchestrator.stages.meter_lines import LINE_BYTES_MAX, MeterError, entry_of
from fsm_orchestrator.text.amounts import UNITS_MAX

GOOD: Final = b'{"unit": "usd", "amount": 0.1}\n'
WELL: Final = Exited(0)

LINES: Final = [
    (b'{"unit": "usd", "amount": 0.12}', "usd", "0.12"),
    (b'{"amount": 3, "unit": "tokens"}\r', "tokens", "3"),
    (b' {"unit":"a_1","amount":1.5e3} ', "a_1", "1500"),
    (b'{"unit": "usd", "amount": 0}', "usd", "0"),
    (b'{"unit": "usd", "amount": -0.0}', "usd", "0"),
    (b'{"unit": "usd", "amount": 1.2345678901234567e-05}', "usd", "0.000012345678901234567"),
    (b'{"unit": "usd", "amount": 999999999999999999}', "usd", "999999999999999999"),
]
WRONG: Final = [
    (b"", MeterProblem.NOT_JSON),
    (b"usd 1", MeterProblem.NOT_JSON),
    (b'{"unit": "usd", "amount": 1', MeterProblem.NOT_JSON),
    (b'{"unit": "usd", "amount": 1} {}', MeterProblem.NOT_JSON),
    (b'["usd", 1]', MeterProblem.NOT_JSON),
    (b'{"unit": "usd", "unit": "usd", "amount": 1}', MeterProblem.NOT_JSON),
    (b'{"unit": "usd", "amount": 1, "amount": 0}', MeterProblem.NOT_JSON),
    (b'\xef\xbb\xbf{"unit": "usd", "amount": 1}', MeterProblem.NOT_JSON),
    (b'{"unit": "us\xff", "amount": 1}', MeterProblem.NOT_JSON),
    (b"[" * 4000, MeterProblem.NOT_JSON),
    (b'{"unit": "usd"}', MeterProblem.NOT_AN_ENTRY),
    (b'{"unit": "usd", "amount": 1, "note": "x"}', MeterProblem.NOT_AN_ENTRY),
    (b"{}", MeterProblem.NOT_AN_ENTRY),
    (b'{"unit": "US Dollars", "amount": 1}', MeterProblem.BAD_UNIT),
    (b'{"unit": "", "amount": 1}', MeterProblem.BAD_UNIT),
    (b'{"unit": "a%s", "amount": 1}' % (b"b" * 32), MeterProblem.BAD_UNIT),
    (b'{"unit": "usd\\n", "amount": 1}', MeterProblem.BAD_UNIT),
    (b'{"unit": 7, "amount": 1}', MeterProblem.BAD_UNIT),
    (b'{"unit": "usd", "amount": "1"}', MeterProblem.BAD_AMOUNT),
    (b'{"unit": "usd", "amount": true}', MeterProblem.BAD_AMOUNT),
    (b'{"unit": "usd", "amount": null}', MeterProblem.BAD_AMOUNT),
    (b'{"unit": "usd", "amount": NaN}', MeterProblem.BAD_AMOUNT),
    (b'{"unit": "usd", "amount": -Infinity}', MeterProblem.BAD_AMOUNT),
    (b'{"unit": "usd", "amount": 1e18}', MeterProblem.BAD_AMOUNT),
    (b'{"unit": "usd", "amount": 1e-31}', MeterProblem.BAD_AMOUNT),
    (b'{"unit": "usd", "amount": 0e999}', MeterProblem.BAD_AMOUNT),
    (b'{"unit": "usd", "amount": 1e99999999999999999999}', MeterProblem.BAD_AMOUNT),
    (b'{"unit": "usd", "amount": -0.01}', MeterProblem.NEGATIVE),
    (b'{"unit": "usd", "amount": 1%s}' % (b" " * LINE_BYTES_MAX), MeterProblem.LINE_TOO_LONG),
]


@pytest.mark.parametrize(("line", "unit", "amount"), LINES)
def test_line_is_an_exact_decimal_amount_of_a_unit(line: bytes, unit: str, amount: str) -> None:
    """An amount never becomes a float."""
    assert entry_of(line) == (unit, Decimal(amount))


@pytest.mark.parametrize(("line", "problem"), WRONG)
def test_whatever_else_is_in_a_line_is_refused_as_what_it_is(
    line: bytes, problem: MeterProblem
) -> None:
    """The first thing that is wrong in a line is named."""
    with pytest.raises(MeterError) as refused:
        entry_of(line)
    assert refused.value.problem is problem


@contextlib.contextmanager
def opened(
    place: Path, *, before: str = "0", must: bool = False, **budget: str
) -> Iterator[tuple[Meter, Path]]:
    """Yield a meter of the first attempt of a stage, and its file."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        terms = MeterTerms(
            budget=budget,
            elsewhere=lambda unit, _: Decimal(before if unit == "usd" else 0),
            must=must,
            hides=lambda text: "sesame" in text,
        )
        with open_meter(HeldDirectory(place, descriptor), ("manager", 1), terms) as meter:
            yield meter, Path(meter.path)
    finally:
        os.close(descriptor)


def add(path: Path, data: bytes) -> None:
    """Append to a meter, as a stage does."""
    with path.open("ab") as file:
        file.write(data)


def sums(meter: Meter) -> dict[str, str]:
    """Return what was metered."""
    return {one.unit: one.amount for one in meter.metered}


def stop_of(end: ProcessEnd | None) -> UnitStop | MeterStop:
    """Return why the attempt ended."""
    assert isinstance(end, BudgetEnded)
    return end.stop


def test_file_is_private_and_empty_whatever_was_there(tmp_path: Path) -> None:
    """The meter is private and empty, even if an earlier stage wrote in its place."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "elsewhere").write_bytes(GOOD)
    (tmp_path / "logs" / "manager.1.meter.jsonl").symlink_to(tmp_path / "elsewhere")
    with opened(tmp_path) as (meter, path):
        assert path == tmp_path / "logs" / "manager.1.meter.jsonl"
        assert not path.is_symlink()
        assert (path.stat().st_mode & 0o777, path.read_bytes()) == (0o600, b"")
        assert meter.variables == {"ORCHESTRATOR_METER": str(path)}
    assert (tmp_path / "elsewhere").read_bytes() == GOOD


def test_tenths_add_up_exactly_and_more_than_allowed_ends_it(tmp_path: Path) -> None:
    """Ten tenths are one, which is allowed; a last line without its newline counts at the end."""
    with opened(tmp_path, usd="1") as (meter, path):
        for _ in range(10):
            add(path, GOOD)
            assert meter.look() is None
        assert sums(meter) == {"usd": "1"}
        add(path, b'{"unit": "usd", "amount": 1e-9}')
        assert meter.look() is None
        stop = stop_of(meter.judged(WELL, (0,)))
    assert isinstance(stop, UnitStop)
    assert (stop.spent, stop.allowed) == ("1.000000001", "1")


def test_what_was_spent_before_counts_and_other_units_do_not(tmp_path: Path) -> None:
    """A budget is the run's; units without one are only added up."""
    with opened(tmp_path, before="4.95", usd="5") as (meter, path):
        add(path, b'{"unit": "tokens", "amount": 1000000}\n')
        assert meter.look() is None
        add(path, GOOD)
        stop = stop_of(meter.look())
        assert isinstance(stop, UnitStop)
        assert (stop.unit, stop.spent) == ("usd", "5.05")
        add(path, GOOD)  # while the stage is being ended
        last = stop_of(meter.judged(Signaled(15), (0,)))
        assert isinstance(last, UnitStop)
        assert last.spent == "5.15"
        assert sums(meter) == {"tokens": "1000000", "usd": "0.2"}


def shorter(path: Path) -> None:
    """Shorten the meter."""
    os.truncate(path, 5)


def removed(path: Path) -> None:
    """Remove the meter."""
    path.unlink()


def replaced(path: Path) -> None:
    """Put another meter in its place, with the same content."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def rewritten(path: Path) -> None:
    """Change the content, with the same length."""
    with path.open("r+b") as file:
        file.write(GOOD.replace(b"0.1", b"0.0"))


def too_many(path: Path) -> None:
    """Name more units than are allowed."""
    lines = (b'{"unit": "u%d", "amount": 1}\n' % number for number in range(UNITS_MAX))
    add(path, b"".join(lines))


def telling(path: Path) -> None:
    """Name a secret."""
    add(path, b'{"unit": "sesame", "amount": 1}\n')


def endless(path: Path) -> None:
    """Write a line that does not end."""
    add(path, b" " * (LINE_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("harm", "problem", "line"),
    [
        (shorter, MeterProblem.SHRANK, None),
        (removed, MeterProblem.REPLACED, None),
        (replaced, MeterProblem.REPLACED, None),
        (rewritten, MeterProblem.REWRITTEN, None),
        (too_many, MeterProblem.TOO_MANY_UNITS, 65),
        (endless, MeterProblem.LINE_TOO_LONG, 2),
        (telling, MeterProblem.SECRET, 2),
    ],
)
def test_meter_that_cannot_be_relied_on_ends_it(
    tmp_path: Path, harm: object, problem: MeterProblem, line: int | None
) -> None:
    """An unreliable meter ends the attempt even within the budget; what was read still counts."""
    assert callable(harm)
    with opened(tmp_path, usd="5") as (meter, path):
        add(path, GOOD)
        assert meter.look() is None
        harm(path)
        stop = stop_of(meter.judged(WELL, (0,)))
        assert sums(meter)["usd"] == "0.1"
    assert isinstance(stop, MeterStop)
    assert (stop.problem, stop.line) == (problem, line)


def test_meter_that_grows_without_end_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size of a meter is bounded, and excess is reported at the next look."""
    monkeypatch.setattr(meters, "METER_BYTES_MAX", 100)
    with opened(tmp_path) as (meter, path):
        add(path, GOOD * 4)
        stop = stop_of(meter.look())
        assert isinstance(stop, MeterStop)
        assert stop.problem is MeterProblem.TOO_LARGE


@pytest.mark.parametrize("end", [TimedOut(5, was_killed=False), Interrupted(15)])
def test_other_endings_stay_what_they_are(tmp_path: Path, end: ProcessEnd) -> None:
    """The metered amounts are recorded however the attempt ends."""
    with opened(tmp_path, usd="0.05") as (meter, path):
        add(path, GOOD)
        assert meter.judged(end, (0,)) is end
        assert sums(meter) == {"usd": "0.1"}


@pytest.mark.parametrize(
    ("end", "is_wrong"), [(WELL, True), (Exited(10), True), (Exited(1), False)]
)
def test_stage_that_must_meter_and_did_not(
    tmp_path: Path, end: ProcessEnd, *, is_wrong: bool
) -> None:
    """A missing meter is the cause unless the stage failed anyway; 10 asks for rework here."""
    with opened(tmp_path, must=True) as (meter, _):
        found = meter.judged(end, (0, 10))
    assert isinstance(found, BudgetEnded) is is_wrong
    if isinstance(found, BudgetEnded):
        stop = stop_of(found)
        assert isinstance(stop, MeterStop)
        assert (stop.problem, found.by_then) == (MeterProblem.UNMETERED, end)


def hidden(text: str) -> bool:
    """Return True if a text holds a secret: none does."""
    return text == ""


def test_meter_that_grows_faster_than_it_is_read_is_read_in_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for the stage reads the rest of a fast meter in between; at the end all is read."""
    monkeypatch.setattr(meters, "LOOK_BYTES_MAX", len(GOOD))
    with opened(tmp_path) as (meter, path):
        add(path, GOOD * 3)
        assert meter.look() is None
        assert sums(meter) == {"usd": "0.1"}
        assert meter.next_at <= time.monotonic()
        assert meter.judged(WELL, (0,)) is WELL
        assert sums(meter) == {"usd": "0.3"}


def test_meter_is_read_again_after_a_kill(tmp_path: Path) -> None:
    """Lines before a wrong one count; a meter that never existed counts nothing."""
    path = tmp_path / "meter"
    assert read_again(path, hidden) == ((), None)
    path.write_bytes(GOOD * 3 + b'{"unit": "us')
    metered, stop = read_again(path, hidden)
    assert [(one.unit, one.amount) for one in metered] == [("usd", "0.3")]
    assert stop is not None
    assert (stop.problem, stop.line) == (MeterProblem.NOT_JSON, 4)
    path.write_bytes(GOOD[:-1])
    assert read_again(path, hidden)[0][0].amount == "0.1"
    path.unlink()
    path.mkdir()
    assert read_again(path, hidden)[1] is not None
