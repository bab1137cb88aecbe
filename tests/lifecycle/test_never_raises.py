"""Verifying and comparing never raise for a lifecycle of the right shape, wrong names included."""

from __future__ import annotations

import pytest

from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.diff import diff
from fsm_orchestrator.lifecycle.model import GatesGuard, Lifecycle
from fsm_orchestrator.lifecycle.verification import verify
from tests.lifecycle.test_groups import CHECKS, CLOSED, GROUP, LINT, edited

UNKNOWN = {
    "a dest after a stage": (CHECKS, CHECKS.replace("checks", "chekcs")),
    "a dest after a group": (CLOSED, CLOSED.replace("done", "dnoe")),
    "a source": (CHECKS, CHECKS.replace("executor", "exceutor")),
    "a stage of a group": (GROUP, GROUP.replace('"scan"', '"scna"')),
    "the initial state": ('initial = "pending"', 'initial = "pendign"'),
}


def shaped(
    guard: GatesGuard, *edits: tuple[str, str], renamed: tuple[str, str] | None = None
) -> Lifecycle:
    """Return the edited example, unverified, whose gates guard the given part of a run."""
    text = edited(*edits)
    if renamed is not None:
        text = text.replace(*renamed)
    text = text.replace("initial =", f'gates_guard = "{guard}"\ninitial =', 1)
    return reading._shaped(text.encode(), "x.toml")


@pytest.mark.parametrize("guard", GatesGuard)
@pytest.mark.parametrize("case", UNKNOWN)
def test_unknown_name_is_found_and_compared(case: str, guard: GatesGuard) -> None:
    """`verify` reports the name, and `diff` compares the lifecycle either way."""
    wrong, right = shaped(guard, UNKNOWN[case]), shaped(guard)
    assert "unknown" in " ".join(map(str, verify(wrong)))
    assert diff(wrong, right).verdict
    assert diff(right, wrong).verdict


@pytest.mark.parametrize("guard", GatesGuard)
def test_renamed_stage_of_a_group_is_no_loosening(guard: GatesGuard) -> None:
    """The group lists the stage by its new name."""
    slow = (LINT, f"{LINT}\ntimeout = '1m'")
    found = diff(shaped(guard, slow), shaped(guard, slow, renamed=('"lint"', '"style"')))
    assert found.renamed_states == (("lint", "style"),)
    assert found.loosenings == ()
