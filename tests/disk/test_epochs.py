"""The names of epochs, and the numbers in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator import FencedError, claim_epoch, next_invocation


def test_next_invocation_follows_the_latest_epoch(tmp_path: Path) -> None:
    """The attempt does not matter, and a run without a claim begins with the first."""
    run = tmp_path / "RUN"
    assert next_invocation(run) == 1
    claim_epoch(run, 1, 1)
    claim_epoch(run, 1, 3)
    assert next_invocation(run) == 2
    claim_epoch(run, 12, 1)
    assert next_invocation(str(run)) == 13


def test_a_number_that_two_were_given_is_claimed_by_one(tmp_path: Path) -> None:
    """A request to two engines at once is refused by the second claim."""
    number = next_invocation(tmp_path / "RUN")
    claim_epoch(tmp_path / "RUN", number, 1)
    with pytest.raises(FencedError):
        claim_epoch(tmp_path / "RUN", number, 1)
