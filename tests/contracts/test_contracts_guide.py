"""docs/contracts.md: every command runs as printed; its tables name every key and test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm_orchestrator.model.assertions import AssertionTest
from fsm_orchestrator.model.contracts import ContractGiven
from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "contracts.md"


def first_cells(heading: str) -> set[str]:
    """Return the names in the first column of the table below a heading."""
    section = GUIDE.read_text().partition(f"{heading}\n")[2].partition("\n## ")[0]
    table = section.partition("|---|")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line[:1] == "|"]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_commands_print_what_the_guide_says() -> None:
    """Every command of the guide works, in its order, in one directory."""
    follow(GUIDE)


def test_every_key_and_test_has_its_row() -> None:
    """The tables have each key of a contract, and each test of an assertion."""
    keys = {one.alias or key for key, one in ContractGiven.model_fields.items()}
    assert first_cells("## Contracts on artifacts") == keys
    assert first_cells("### Assertions") == {one.value for one in AssertionTest}
