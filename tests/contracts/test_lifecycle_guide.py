"""docs/lifecycles.md: its session is run as it stands, and prints what it says it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "lifecycles.md"


def test_session_prints_what_the_guide_says() -> None:
    """Every command and every edit of the guide, in its order."""
    follow(GUIDE)


def test_guide_shows_a_bypass_refused_and_a_change_that_loosens() -> None:
    """The session is worth its name: it refuses, proves, blocks nothing by accident, and judges."""
    text = GUIDE.read_text()
    for words in (
        "can be entered before gate review passed",
        "release (./release.toml): proved",
        "failed: run",
        "done: run",
        "tightens",
        "loosens",
    ):
        assert words in text
