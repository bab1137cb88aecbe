"""docs/lifecycles.md: its session runs and prints as shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "lifecycles.md"


def test_session_prints_what_the_guide_says() -> None:
    """Every command and every edit of the guide works, in its order."""
    follow(GUIDE)


def test_guide_shows_a_bypass_refused_and_a_change_that_loosens() -> None:
    """The session refuses a bypass, proves a lifecycle, and judges a change that loosens."""
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
