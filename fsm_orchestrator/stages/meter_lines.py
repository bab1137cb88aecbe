"""One line of a meter: a unit and an amount, or what is wrong with it. Pure."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from fsm_orchestrator.model.budget import MeterProblem
from fsm_orchestrator.text.amounts import DECIMALS_MAX, DIGITS_MAX, is_unit

METER_BYTES_MAX: Final = 16 * 1024 * 1024
LINE_BYTES_MAX: Final = 4096
_KEYS: Final = {"unit", "amount"}


class MeterError(ValueError):
    """A meter that cannot be relied on; `is_of_line` says whether one of its lines is wrong."""

    def __init__(self, problem: MeterProblem, *, is_of_line: bool = True) -> None:
        super().__init__(problem)
        self.problem = problem
        self.is_of_line = is_of_line


def entry_of(line: bytes) -> tuple[str, Decimal]:
    """Return the unit and the amount that a line meters.

    Raises:
        MeterError: it is not such a line.
    """
    if len(line) > LINE_BYTES_MAX:
        raise MeterError(MeterProblem.LINE_TOO_LONG)
    try:
        entry = json.loads(
            line.decode(),
            parse_float=_number,
            parse_int=_number,
            parse_constant=_no_constant,
            object_pairs_hook=_without_duplicates,
        )
    except MeterError:
        raise
    except (ValueError, RecursionError):
        raise MeterError(MeterProblem.NOT_JSON) from None
    if not isinstance(entry, dict):
        raise MeterError(MeterProblem.NOT_JSON)
    if entry.keys() != _KEYS:
        raise MeterError(MeterProblem.NOT_AN_ENTRY)
    unit, amount = entry["unit"], entry["amount"]
    if not isinstance(unit, str) or not is_unit(unit):
        raise MeterError(MeterProblem.BAD_UNIT)
    if not isinstance(amount, Decimal):
        raise MeterError(MeterProblem.BAD_AMOUNT)
    if amount < 0:
        raise MeterError(MeterProblem.NEGATIVE)
    return unit, abs(amount)


def _number(text: str) -> Decimal:
    """Return a JSON number; refuse one with too many digits, whatever it is for."""
    try:
        number = Decimal(text)
    except ArithmeticError:  # the exponent is too large
        raise MeterError(MeterProblem.BAD_AMOUNT) from None
    exponent = number.as_tuple().exponent
    is_bounded = isinstance(exponent, int) and -DECIMALS_MAX <= exponent <= DIGITS_MAX
    if not is_bounded or number.adjusted() >= DIGITS_MAX:
        raise MeterError(MeterProblem.BAD_AMOUNT)
    return number


def _no_constant(_name: str) -> Any:
    raise MeterError(MeterProblem.BAD_AMOUNT)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        raise MeterError(MeterProblem.NOT_JSON)
    return entry
