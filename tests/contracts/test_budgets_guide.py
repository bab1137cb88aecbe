"""docs/budgets.md: its commands run as printed, and its tables are true."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator.model.unmeasured import own_failure
from fsm_orchestrator.stages.meter_lines import LINE_BYTES_MAX, METER_BYTES_MAX
from fsm_orchestrator.text.amounts import DECIMALS_MAX, DIGITS_MAX, UNITS_MAX
from fsm_orchestrator.vocabulary import Ending, Operation
from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "budgets.md"


def test_commands_print_what_the_guide_says() -> None:
    """Every command of the guide works, in its order, in one directory."""
    follow(GUIDE)


def test_bounds_are_those_of_the_guide() -> None:
    """The guide states the bounds of a meter."""
    text = GUIDE.read_text()
    assert (LINE_BYTES_MAX, METER_BYTES_MAX) == (4 * 1024, 16 * 1024**2)
    assert f"at most {DIGITS_MAX} digits before the point and {DECIMALS_MAX} behind" in text
    assert f"at most {UNITS_MAX} units in an attempt" in text


def test_endings_are_those_of_the_guide() -> None:
    """The program's own entries have the endings that the table gives them."""
    text = GUIDE.read_text()
    for operation, ending in (
        (Operation.BUDGET_VERIFY, Ending.BUDGET_EXHAUSTED),
        (Operation.RUN_TIMEOUT, Ending.TIMED_OUT),
    ):
        entry = own_failure("run", operation, error="why", at="2026-01-01T00:00:00.000Z")
        assert entry.ending is ending
        (row,) = [line for line in text.splitlines() if f", of `{operation}`" in line]
        assert f"| `{entry.status.value}`, of" in row
        assert f"| `{ending.value}` |" in row
