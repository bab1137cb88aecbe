"""`diff`: what a change of a lifecycle loosens or tightens, and how it is reported."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import pytest

from fsm_orchestrator.lifecycle import changes
from fsm_orchestrator.lifecycle.changes import EdgeOrder
from fsm_orchestrator.lifecycle.diff import DiffVerdict, diff
from fsm_orchestrator.lifecycle.diff_text import diff_markdown, diff_text, effect_text, reason_text
from fsm_orchestrator.lifecycle.guarantees import Fact, FactKind
from fsm_orchestrator.lifecycle.labels import trace
from fsm_orchestrator.lifecycle.reading import read
from fsm_orchestrator.lifecycle.verification import verify
from fsm_orchestrator.vocabulary import Guard, Trigger
from tests.lifecycle.diff_cases import (
    BROKEN_ARTIFACTS,
    GATES,
    LOOSENING,
    LOST_GATES,
    MANAGER,
    MANAGER_DONE,
    NEUTRAL,
    NEXT,
    TIGHTENING,
    TO_DONE,
    TO_MANAGER,
    Change,
    changed,
    difference,
    facts_of_cause,
    shaped,
    stage,
)
from tests.lifecycle.test_rules import state
from tests.support.lifecycle_cases import DEFAULT, edge, edited


@pytest.mark.parametrize("change", LOOSENING, ids=attrgetter("name"))
def test_loosening_is_told_with_its_walk(change: Change, tmp_path: Path) -> None:
    """A loss is reported for each stage and for done, with the shortest walk."""
    found = difference(change.old, change.new, tmp_path)
    assert found.verdict is DiffVerdict.LOOSENS
    assert change.loosenings == tuple(
        (one.target, reason_text(one), trace(one.walk) if one.walk else None)
        for one in found.loosenings
    )
    text = diff_text(found)
    assert "loosens" in text.splitlines()[0]
    assert all(reason_text(one) in text for one in found.loosenings)


@pytest.mark.parametrize(("old", "new", "words"), TIGHTENING.values(), ids=TIGHTENING.keys())
def test_tightening_is_told(old: str, new: str, words: str, tmp_path: Path) -> None:
    """What a change makes certain is reported as text; the reverse change loosens."""
    found = difference(old, new, tmp_path)
    assert found.verdict is DiffVerdict.TIGHTENS
    assert effect_text(found.tightenings[0]) == words
    assert words in diff_text(found)
    assert difference(new, old, tmp_path).verdict is DiffVerdict.LOOSENS


@pytest.mark.parametrize(("old", "new"), NEUTRAL.values(), ids=NEUTRAL.keys())
def test_other_changes_do_neither(old: str, new: str, tmp_path: Path) -> None:
    """A change that keeps everything certain is neither, in both directions."""
    for one, other in ((old, new), (new, old)):
        found = difference(one, other, tmp_path)
        assert (found.verdict, found.loosenings, found.tightenings) == (
            DiffVerdict.NEITHER,
            (),
            (),
        )
        assert found.is_empty == (old == new)


def test_loosening_outweighs_tightening(tmp_path: Path) -> None:
    """A change that does both loosens, and both are reported."""
    new = edited((GATES, 'gates = ["policy", "review"]'), (MANAGER, f"{MANAGER}\ntimeout_ms = 5"))
    found = difference(DEFAULT, new, tmp_path)
    assert found.verdict is DiffVerdict.LOOSENS
    (tightening,) = found.tightenings
    assert effect_text(tightening) == "manager: timeout_ms: was not set (30000), is 5"


def test_parts_are_compared(tmp_path: Path) -> None:
    """Added, removed, changed and renamed states and edges are each reported as such."""
    new = changed(
        edited(
            (TO_DONE, 'source = "executor"\ndest = "audit"'),
            (BROKEN_ARTIFACTS, BROKEN_ARTIFACTS.replace("unless", "guard")),
            (MANAGER, f"{MANAGER}\ntimeout_ms = 5"),
        )
        + stage("audit", "done"),
        ('"blocked"\n', '"halted"\n'),
        ('"blocked",', '"halted",'),
        ('outcome = "halted"', 'outcome = "blocked"'),
    )
    found = difference(DEFAULT, new, tmp_path)
    assert (found.added_states, found.removed_states) == (("audit",), ())
    assert found.renamed_states == (("blocked", "halted"),)
    assert [(one.name, one.changes) for one in found.changed_states] == [
        ("manager", (changes.Change("timeout_ms", None, 5),))
    ]
    assert [trace([one]) for one in found.removed_edges] == ["executor --stage_succeeded--> done"]
    assert "executor --stage_succeeded--> audit" in [trace([one]) for one in found.added_edges]
    ((before, after),) = found.changed_edges
    assert (before.unless, after.guard) == (Guard.ARTIFACTS_INTACT, Guard.ARTIFACTS_INTACT)
    assert trace([before]) == trace([after]) == "executor --stage_succeeded--> failed"


def test_reordering_is_told(tmp_path: Path) -> None:
    """Another order of edges is a change, though none was added or removed."""
    new = edited((BROKEN_ARTIFACTS + LOST_GATES, LOST_GATES + BROKEN_ARTIFACTS))
    found = difference(DEFAULT, new, tmp_path)
    words = "edges for stage_succeeded from executor are tried in another order"
    assert found.reordered == (EdgeOrder(Trigger.STAGE_SUCCEEDED, "executor"),)
    assert words in diff_text(found)
    assert not found.is_empty


def test_rename_in_doubt_is_told_as_removed_and_added(tmp_path: Path) -> None:
    """A stage that was renamed and moved is another stage: what it made certain is lost."""
    new = changed(
        edited((TO_MANAGER, TO_MANAGER.replace("manager", "executor")), (TO_DONE, "@"))
        .replace(MANAGER_DONE, 'source = "manager"\ndest = "done"')
        .replace("@", 'source = "executor"\ndest = "manager"'),
        ('"manager"', '"drafter"'),
    )
    found = difference(DEFAULT, new, tmp_path)
    assert (found.added_states, found.removed_states) == (("drafter",), ("manager",))
    assert found.renamed_states == ()
    success = Fact(FactKind.STAGE_SUCCEEDED, "manager")
    assert [(one.target, facts_of_cause(one)[0]) for one in found.loosenings] == [
        ("executor", success),
        ("done", success),
    ]


def test_one_of_two_that_were_alike_is_not_told_as_renamed(tmp_path: Path) -> None:
    """If two states could have got the new name, neither is reported as renamed."""
    spare = 'outcome = "failed"'
    old = DEFAULT + state("spare", "terminal", spare) + state("extra", "terminal", spare)
    found = difference(old, DEFAULT + state("other", "terminal", spare), tmp_path)
    assert found.renamed_states == ()
    assert (found.added_states, found.removed_states) == (("other",), ("spare", "extra"))


def test_number_of_a_transition_is_no_difference(tmp_path: Path) -> None:
    """An old problem is not reported as new because a line above it moved its transition down."""
    wrong = DEFAULT + edge("run_aborted", '"gating"', "failed")
    extra = f'{NEXT}trigger = "resume"\nsource = "pending"\ndest = "gating"\nwhy = "x"\n\n'
    moved = wrong.replace(NEXT, extra + NEXT, 1).replace(
        'source = ["pending", "gating", "manager", "executor", "blocked"',
        'source = ["gating", "manager", "executor", "blocked"',
    )
    old, new = shaped(wrong, tmp_path), shaped(moved, tmp_path)
    assert verify(old)
    assert verify(new)
    assert diff(old, new).verdict is DiffVerdict.NEITHER


def test_comment_is_for_a_pull_request(tmp_path: Path) -> None:
    """The Markdown has the verdict first, the walk in a fence, and tables that nothing breaks."""
    nasty = "a | b <i> `x` [y](z) ```` end"
    new = edited(
        (GATES, 'gates = ["policy", "review"]'),
        ('why = "nothing may run before the gates have been judged"', f'why = "{nasty}"'),
        (TO_DONE, 'source = "executor"\ndest = "audit"'),
    ) + stage("audit", "done")
    lines = diff_markdown(difference(DEFAULT, new, tmp_path)).splitlines()
    assert lines[0] == "### Lifecycle governed\\_run: **loosens**"
    opening = lines.index("  `````text")
    assert lines[opening + 1] == "  pending"
    assert lines[opening + 2] == f"    --start--> gating          {nasty}"
    assert "- done: certain now and not before: 'audit' succeeded" in lines
    table = [line for line in lines if line.startswith("|")]
    assert table[:2] == ["| change | part | what |", "|---|---|---|"]
    assert "| added | `state audit` | kind stage |" in table
    assert all(line.replace("\\|", "").count("|") == 4 for line in table)
    assert any("a \\| b \\<i\\> \\`x\\` \\[y\\](z)" in line for line in table)


def test_equal_lifecycles_are_told_to_be() -> None:
    """Two lifecycles that say the same are reported as equal, as text and as JSON."""
    lifecycle = read("governed_run", Path())
    assert diff_text(diff(lifecycle, lifecycle)) == "governed_run: no change\n"
    assert (
        diff_markdown(diff(lifecycle, lifecycle)) == "### Lifecycle governed\\_run: **no change**\n"
    )
