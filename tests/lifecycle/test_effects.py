"""Stages that claim to have no effects, and gates that guard the others: proof and comparison."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from fsm_orchestrator.lifecycle.diff import DiffVerdict, diff
from fsm_orchestrator.lifecycle.diff_text import effect_text
from fsm_orchestrator.lifecycle.findings import Finding
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.reading import parse, read, shipped
from fsm_orchestrator.lifecycle.source import shipped_text
from fsm_orchestrator.lifecycle.verification import claimed, proved, verify
from tests.support.command import orchestrate
from tests.support.lifecycle_cases import DEFAULT, edge

PLANNED = shipped_text("plan_review_apply").decode()
CLAIM = "effects = false  # it plans: a claim, which verify and the pictures show as one\n"
GUARD = 'gates_guard = "effects"'
TO_REVIEW = 'source = "manager"\ndest = "approving"'
EXECUTOR = 'name = "executor"\nkind = "stage"'
REWORK = f'{EXECUTOR}\nexit_codes = {{ 10 = "rework" }}'
GIVEN_UP = edge("rework_requested", '"executor"', "failed")
TO_MANAGER = "pending --start--> gating --gates_passed--> manager"
TO_EXECUTOR = f"{TO_MANAGER} --stage_succeeded--> approving --gates_passed--> executor"


def edited(*edits: tuple[str, str], more: str = "") -> str:
    """Return the built-in lifecycle of plan and review with each first text made the second."""
    text = PLANNED
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text + more


def reworked(dest: str) -> str:
    """Return the same with an executor that may send the run back."""
    back = edge("rework_requested", '"executor"', dest, "at_most = 1")
    return edited((EXECUTOR, REWORK), more=back + GIVEN_UP)


def shaped(text: str, folder: Path) -> Lifecycle:
    """Return a lifecycle of the right shape, not judged."""
    (folder / "run.toml").write_text(text)
    return read("./run.toml", folder)


REFUSED = {
    "planning claims nothing": (
        edited((CLAIM, "")),
        (
            f"state 'manager': can be entered before gate review passed in this invocation:"
            f" {TO_MANAGER}"
        ),
    ),
    "the executor comes before the review": (
        edited(
            (TO_REVIEW, 'source = "manager"\ndest = "executor"'),
            ('dest = "done"', 'dest = "approving"'),
            ('source = "approving"\ndest = "executor"', 'source = "approving"\ndest = "done"'),
        ),
        (
            f"state 'executor': can be entered before gate review passed in this invocation:"
            f" {TO_MANAGER} --stage_succeeded--> executor"
        ),
    ),
    "the executor repeats without a review": (
        reworked("executor"),
        (
            "state 'executor': can be entered again, by a loop, before gate review passed once more"
            f" in this invocation: {TO_EXECUTOR} --rework_requested--> executor"
        ),
    ),
    "a review is typed before there is a plan": (
        edited((GUARD, f"{GUARD}\naccepts_early_signals = true")),
        (
            "state 'approving': comes after 'manager' and is passed by signals that were typed"
            " before it (accepts_early_signals), so it is bound to no artifact of it:"
            f" {TO_MANAGER} --stage_succeeded--> approving"
        ),
    ),
    "a gate claims something": (
        edited(('gates = ["review"]', 'gates = ["review"]\neffects = false')),
        "state 'approving': key 'effects' is for states of kind stage, not gate",
    ),
}


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_broken_promises_of_effects_are_shown_by_a_shortest_walk(
    text: str, problem: str, tmp_path: Path
) -> None:
    """A stage with effects that runs before a gate has judged its work is refused, once each."""
    found: tuple[Finding, ...] = verify(shaped(text, tmp_path))
    assert str(found[0]) == problem
    assert all(one.dest == two.source for one, two in pairwise(found[0].walk or ()))


def test_promises_that_hold_are_proved_and_the_claim_is_shown_as_one(tmp_path: Path) -> None:
    """Promises that hold are proved, with or without a loop or claim; a claim is shown as one."""
    for text in (PLANNED, reworked("manager")):
        assert verify(shaped(text, tmp_path)) == ()
    lifecycle = shipped("plan_review_apply")
    assert sum("with effects" in one or "bound to" in one for one in proved(lifecycle)) == 3
    claim = "manager changes nothing but its artifacts (effects = false)"
    assert claimed(lifecycle) == (claim,)
    assert claimed(shipped("governed_run")) == ()
    shown = orchestrate("verify", "plan_review_apply", cwd=tmp_path).stdout
    assert f"claimed, not proved: {claim}" in " ".join(shown.split())
    (document,) = json.loads(
        orchestrate("verify", "plan_review_apply", "--json", cwd=tmp_path).stdout
    )["lifecycles"]
    assert (document["gates_guard"], document["claimed"]) == ("effects", [claim])
    drawn = orchestrate("diagram", "plan_review_apply", cwd=tmp_path).stdout
    assert "claims no effects" in drawn
    assert "gates_guard is effects" in drawn


MANAGER = 'name = "manager"\nkind = "stage"'
FREE = DEFAULT.replace(MANAGER, f"{MANAGER}\neffects = false")
NO_GUARD = "gates_guard: {} are no longer promised to come after the gates"
A_GUARD = "gates_guard: {} are promised to come after the gates"
MADE = "manager: effects: it is claimed now, and not proved, that only its artifacts change"
TAKEN_BACK = "manager: effects: it counts as a stage that changes more than its artifacts"


def guarding(guard: str, text: str = FREE) -> str:
    """Return a lifecycle whose gates guard something else."""
    return text.replace('gates_guard = "stages"', f'gates_guard = "{guard}"')


COMPARED = {
    "a claim": (DEFAULT, FREE, MADE, TAKEN_BACK),
    "stages to effects": (
        FREE,
        guarding("effects"),
        NO_GUARD.format("stages that claim to have no effects"),
        A_GUARD.format("stages that claim to have no effects"),
    ),
    "effects to closure": (
        guarding("effects"),
        guarding("closure"),
        NO_GUARD.format("stages with effects"),
        A_GUARD.format("stages with effects"),
    ),
    "stages to closure": (
        FREE,
        guarding("closure"),
        NO_GUARD.format("stages"),
        A_GUARD.format("stages"),
    ),
    "a loop past the review": (
        reworked("manager"),
        reworked("executor"),
        (
            "executor: can be entered again, by a loop, before gate review passed once more in this"
            " invocation"
        ),
        "",
    ),
}


@pytest.mark.parametrize(("old", "new", "loses", "gains"), COMPARED.values(), ids=COMPARED.keys())
def test_diff_knows_what_a_claim_or_another_guard_loosens(
    old: str, new: str, loses: str, gains: str, tmp_path: Path
) -> None:
    """The change loosens with this text; the reverse tightens, if that can be expressed."""
    before, after = shaped(old, tmp_path), shaped(new, tmp_path)
    found = diff(before, after)
    assert found.verdict is DiffVerdict.LOOSENS
    assert loses in [effect_text(one) for one in found.loosenings]
    if gains:
        back = diff(after, before)
        assert back.verdict is DiffVerdict.TIGHTENS
        assert [effect_text(one) for one in back.tightenings] == [gains]


def test_digest_knows_a_claim_and_not_the_default() -> None:
    """A claim changes the digest, and writing down the default does not."""
    spoken = FREE.replace("effects = false", "effects = true")
    digests = [parse(one.encode(), "run.toml").sha256 for one in (DEFAULT, spoken, FREE)]
    assert digests[0] == digests[1] != digests[2]
