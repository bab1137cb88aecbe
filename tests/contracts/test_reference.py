"""docs/reference.md: its tables and its diagram agree with the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm_orchestrator.constants import DEFAULT_LIFECYCLE
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.rendering.diagram.mermaid import mermaid_text
from fsm_orchestrator.rendering.diagram.picture import picture_of
from fsm_orchestrator.vocabulary import ExitCode

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


def test_diagram_is_the_generated_one() -> None:
    """The page's diagram is what `diagram` draws of the default lifecycle."""
    shown = REFERENCE.partition("```mermaid\n")[2].partition("```")[0]
    assert shown == mermaid_text(picture_of(reading.shipped(DEFAULT_LIFECYCLE)))


def test_exit_code_table_is_complete() -> None:
    """Every exit code of the program is in the page's table, and no other."""
    table = REFERENCE.partition("## Exit codes")[2].partition("##")[0]
    cells = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    listed = {int(code) for cell in cells for code in cell.split(",")}
    assert listed == {int(code) for code in ExitCode}


@pytest.mark.parametrize("gate", list(MANDATORY_RULES))
def test_gate_table_agrees_with_the_rules(gate: str) -> None:
    """Each gate's row has its option, its values and its reason code."""
    row = next(line for line in REFERENCE.splitlines() if line.startswith(f"| {gate} |"))
    rule = MANDATORY_RULES[gate]
    assert f"`--{gate}-status`" in row
    assert rule.reason_code in row
    assert re.findall(r"`(\w+)`", row)[0:-1] == list(rule.values)
