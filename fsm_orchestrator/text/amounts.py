"""Metered amounts, as exact decimal numbers, never as floats.

Amounts are kept as text, in the one form that `written` makes. Loads `decimal` only to calculate.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.text.late_pattern import late_pattern

if TYPE_CHECKING:
    from decimal import Decimal

AMOUNT_PATTERN: Final = r"(0|[1-9][0-9]{0,29})(\.[0-9]{0,29}[1-9])?"
"""The pattern of a kept amount: no sign, no exponent, no redundant zeros; sums fit as well."""
UNIT_PATTERN: Final = r"[a-z][a-z0-9_]{0,31}"
"""The pattern of the name of a unit."""
UNIT_WORDS: Final = "lower-case letters, digits and _, a letter first, at most 32 characters"
UNITS_MAX: Final = 64
DIGITS_MAX: Final = 18
"""The most digits that an amount may have before its decimal point."""
DECIMALS_MAX: Final = 30
"""The most digits after it: a small float, as a program prints it, has some twenty."""
_UNIT: Final = late_pattern(UNIT_PATTERN, re.ASCII)
_GIVEN: Final = late_pattern(rf"[0-9]{{1,{DIGITS_MAX}}}(\.[0-9]{{1,{DECIMALS_MAX}}})?", re.ASCII)
_PRECISION: Final = 80


def is_unit(name: str) -> bool:
    """Return whether a text is the name of a unit."""
    return _UNIT.fullmatch(name) is not None


def amount_given(text: str) -> str:
    """Return an amount that a person wrote, in the form in which amounts are kept.

    Raises:
        ValueError: it is not an amount; the message says what an amount is.
    """
    if _GIVEN.fullmatch(text) is None:
        raise ValueError(
            f"should be a decimal number such as 5 or 0.25, with at most {DIGITS_MAX} digits"
            " before the point"
        )
    whole, _, fraction = text.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def written(amount: Decimal) -> str:
    """Return an amount in the form in which amounts are kept."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def summed(*amounts: Decimal | str) -> Decimal:
    """Return the exact sum of amounts."""
    from decimal import Context, Decimal  # noqa: PLC0415 - only where something is metered

    exact, total = Context(prec=_PRECISION), Decimal(0)
    for one in amounts:
        total = exact.add(total, Decimal(one))
    return total


def grouped(amount: str) -> str:
    """Return an amount in the form in which people read it: `2,000,000`, `0.125`."""
    return f"{summed(amount):,f}"
