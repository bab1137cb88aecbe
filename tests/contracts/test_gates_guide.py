"""docs/gates.md: its examples run, and it has every problem, source and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm_orchestrator.config.config_reading import load
from fsm_orchestrator.explanation.evidence_remedies import REMEDIES
from fsm_orchestrator.gates.sources.predicates import known_to
from fsm_orchestrator.gates.sources.registry import SOURCES
from fsm_orchestrator.model.evidence import EvidenceProblem, SourceKind
from fsm_orchestrator.vocabulary import Gate
from tests.support.guide import BLOCK, follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "gates.md"


def test_commands_print_what_the_guide_says() -> None:
    """Every command and file of the guide works, in its order, in one directory."""
    follow(GUIDE)


def test_every_problem_has_a_row_and_a_remedy() -> None:
    """The table of problems is the closed list, in its order."""
    _, _, table = GUIDE.read_text().partition("## Every problem")
    rows = re.findall(r"^\| `(\w+)` \|", table.partition("\n## ")[0], re.MULTILINE)
    assert rows == [one.value for one in EvidenceProblem]
    assert set(REMEDIES) == set(EvidenceProblem)


def test_every_source_is_shown() -> None:
    """Each kind of source has its row; each predicate is named."""
    text = GUIDE.read_text()
    assert {SourceKind(key) for key in SOURCES} == set(SourceKind) - {SourceKind.FLAG}
    for key in SOURCES:
        assert f"| `{key} = " in text, key
    for gate in Gate:
        for predicate in known_to(gate):
            assert f"| `{predicate}` |" in text


def test_copy_ready_configs_are_short_and_right(tmp_path: Path) -> None:
    """Each is a valid config file of under ten lines; the guide begins with three."""
    text = GUIDE.read_text()
    beginning = text.partition("## A session")[0]
    assert [one["kind"] for one in BLOCK.finditer(beginning)] == ["toml"] * 3
    found = [one["text"] for one in BLOCK.finditer(text) if one["kind"] == "toml"]
    for text in found:
        assert len(text.splitlines()) < 10
        path = tmp_path / "run.toml"
        path.write_text(text)
        assert load(path, "run.toml").content.gate
