"""docs/operators.md: every command runs as printed, and prints the screens that the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.guide import BLOCK, COMMAND, follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_commands_print_what_the_guide_says() -> None:
    """Every command of the guide works, in its order, in one directory."""
    follow(GUIDE)


def test_every_next_command_of_a_screen_is_typed_next() -> None:
    """The command that each of the four screens suggests is the one that the guide types next."""
    consoles = [found["text"] for found in BLOCK.finditer(GUIDE.read_text())]
    screens = [text for text in consoles if text.startswith("$ fsm-orchestrator explain runs/")]
    assert [screen.splitlines()[1].partition(":")[0] for screen in screens] == [
        "! waiting",
        "✗ failed",
        "✗ timeout",
        "! interrupted",
    ]
    for screen in screens:
        found = re.search(r"^  next  (.*)$", screen, re.MULTILINE)
        assert found is not None
        assert f"$ {found[1]}\n" in consoles[consoles.index(screen) + 1]


def test_screens_fit_a_terminal() -> None:
    """No line of `explain` and `plan` is wider than 80 columns, except for paths and digests."""
    for found in BLOCK.finditer(GUIDE.read_text()):
        if found["text"].startswith(("$ fsm-orchestrator explain", "$ fsm-orchestrator plan")):
            output = COMMAND.sub("", found["text"])
            wide = [line for line in output.splitlines() if len(line) > 80]
            assert [line for line in wide if not re.search("/work|sha256", line)] == []
