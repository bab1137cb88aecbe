"""docs/approvals.md: its examples run, and it names every key and every problem."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm_orchestrator.approvals.said import NAMESPACES
from fsm_orchestrator.gates.sources.approval import ApprovalTerms
from fsm_orchestrator.model.evidence import EvidenceProblem
from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "approvals.md"


def test_commands_print_what_the_guide_says() -> None:
    """Every command and file of the guide works, in its order, in one directory."""
    follow(GUIDE)


def test_every_key_namespace_and_problem_is_told() -> None:
    """The tables of the guide are those of the program."""
    text = GUIDE.read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)
    assert set(ApprovalTerms.model_fields) <= set(rows)
    assert all(f"`{one}`" in text for one in NAMESPACES.values())
    own = list(EvidenceProblem)[list(EvidenceProblem).index(EvidenceProblem.STALE) :]
    assert all(f"`{one}`" in text for one in own if one.value not in {"undefined", "vacuous"})
