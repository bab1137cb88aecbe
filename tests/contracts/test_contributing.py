"""CONTRIBUTING.md: its map is that of today's imports, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tools import room_map

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
PATHS = tuple(sorted(set(re.findall(r"`((?:[a-z_.]+/)+(?:[a-z_.]+)?)`", PAGE.read_text()))))
"""What stands in the page as code and has a slash in it."""


def test_map_is_that_of_the_imports() -> None:
    """`make docs` changes nothing: the drawn rooms and arrows are those of the code."""
    text = PAGE.read_text()
    assert room_map.with_map(text, room_map.imports_between_rooms()) == text


def test_arrows_that_others_imply_are_left_out() -> None:
    """The picture keeps what is reached, with as few arrows as that takes."""
    imports = {"top": {"middle", "low"}, "middle": {"low"}, "low": set[str]()}
    assert room_map.reduced(imports) == {"top": {"middle"}, "middle": {"low"}, "low": set()}


@pytest.mark.parametrize("path", PATHS)
def test_path_exists(path: str) -> None:
    """Each file and folder that the page names exists, in the checkout or in the package."""
    assert (ROOT / path).exists() or (ROOT / "fsm_orchestrator" / path).exists()
