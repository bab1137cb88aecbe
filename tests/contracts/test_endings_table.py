"""docs/operators.md: each ending of a stage has its row, with the remedy that `explain` gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm_orchestrator.explanation import remedies
from fsm_orchestrator.model.unmeasured import blank
from fsm_orchestrator.vocabulary import Ending, Operation

GUIDE = Path(__file__).parents[2] / "docs" / "operators.md"
AT = "2026-01-02T03:04:05.678Z"


def rows() -> dict[str, str]:
    """Return the remedies of the table of endings, by ending."""
    table = GUIDE.read_text().partition("| ending | when |")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    for line in table.splitlines()[2:]:
        names, _, remedy = (cell.strip() for cell in line.strip("|").split("|"))
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), remedy)
    return found


def test_every_ending_has_a_row() -> None:
    """The table has every ending, and no other."""
    assert rows().keys() == {one.value for one in Ending}


@pytest.mark.parametrize("ending", Ending)
def test_remedy_of_an_ending_is_the_one_that_explain_gives(ending: Ending) -> None:
    """The remedies of the table are those of `explain`."""
    execution = blank(stage="s", attempt=1, key="r:s:1", at=AT).model_copy(
        update={"ending": ending}
    )
    told = remedies._stage_remedy(execution)
    if ending is Ending.CONTROL_TAMPERED:  # changed by the program itself
        told = remedies._OPERATIONS[Operation.CONTROL_VERIFY]
    assert rows()[ending.value] == told
