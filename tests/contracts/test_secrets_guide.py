"""docs/secrets.md: every command runs as printed, and values that it says are masked are masked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm_orchestrator.secrets.declared import looks_secret
from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "secrets.md"


def test_commands_print_what_the_guide_says() -> None:
    """Every command of the guide works, in its order, in one directory."""
    follow(GUIDE)


def test_names_that_look_like_credentials_are_those_of_the_guide() -> None:
    """Each listed pattern counts as a secret, and similar names do not."""
    patterns = re.findall(r"`(\*\w+\*?)`", GUIDE.read_text())
    assert len(patterns) > 8
    for pattern in patterns:
        name = pattern.replace("*", "MY", 1).replace("*", "X")
        assert looks_secret(name), name
        assert looks_secret(name.lower()), name
    for name in ("KEY", "MONKEY", "PATH", "AUTHOR", "MODE", "COMPASS", "KEYBOARD"):
        assert not looks_secret(name), name
