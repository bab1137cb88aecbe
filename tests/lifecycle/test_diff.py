"""`diff`: what a change of a lifecycle loosens or tightens, on corpora and by brute force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fsm_orchestrator
from fsm_orchestrator.lifecycle import changes
from fsm_orchestrator.lifecycle.changes import EdgeOrder
from fsm_orchestrator.lifecycle.diff import Effect, LifecycleDiff, LostFacts, diff
from fsm_orchestrator.lifecycle.diff_text import diff_markdown, diff_text, effect_text, reason_text
from fsm_orchestrator.lifecycle.guarantees import Fact, FactKind, Guarantees
from fsm_orchestrator.lifecycle.labels import trace
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.lifecycle.reading import read
from fsm_orchestrator.lifecycle.verification import verify
from fsm_orchestrator.vocabulary import DiffVerdict, Gate, Guard, StateKind, Trigger
from tests.lifecycle.test_proof import walks_of
from tests.lifecycle.test_rules import state
from tests.lifecycle.test_verification import any_lifecycle, looping
from tests.support.lifecycle_cases import DEFAULT, edge, edited

REVIEWED = (Path(__file__).parents[2] / "states" / "reviewed_run.toml").read_text()
NEXT = "[[transition]]\n"
GATES = 'gates = ["policy", "ci", "review"]'
MANAGER = 'name = "manager"\nkind = "stage"'
MANAGER_DONE = 'source = "manager"\ndest = "executor"'
TO_MANAGER = 'source = "gating"\ndest = "manager"'
TO_DONE = 'source = "executor"\ndest = "done"'
BROKEN_ARTIFACTS = (
    f'{NEXT}trigger = "stage_succeeded"\nsource = "executor"\ndest = "failed"\n'
    'unless = "artifacts_intact"\n'
    'why = "an artifact that was good is gone or broken when the run would close"\n\n'
)
LOST_GATES = (
    f'{NEXT}trigger = "stage_succeeded"\nsource = "executor"\ndest = "blocked"\n'
    'unless = "gates_hold"\nwhy = "a gate that passed at the start no longer does"\n\n'
)
STAGE_FAILED = 'trigger = "stage_failed"\nsource = ["manager", "executor"]'
UP_TO_MANAGER = "pending --start--> gating --gates_passed--> manager"
UP_TO_EXECUTOR = f"{UP_TO_MANAGER} --stage_succeeded--> executor"
UP_TO_DONE = f"{UP_TO_EXECUTOR} --stage_succeeded--> done"
UNCERTAIN = "although this is not certain"


CLOSURE = ('gates_guard = "stages"', 'gates_guard = "closure"')
RESUMED = 'trigger = "resume"\nsource = "prep"\ndest = "gating"'
RESUMED_TO_PREP = RESUMED.replace("gating", "prep")


def stage(name: str, after: str) -> str:
    """A stage with all its edges, to put at the end of the default lifecycle."""
    source = f'"{name}"'
    return (
        state(name, "stage")
        + edge("stage_succeeded", source, after)
        + edge("stage_failed", source, "failed")
        + edge("stage_timed_out", source, "timeout")
        + edge("run_aborted", source, "failed")
        + edge("resume", source, "gating")
    )


def changed(text: str, *edits: tuple[str, str]) -> str:
    """A text with each pair's first part, wherever it is, made its second."""
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


class Change(NamedTuple):
    """A change of the first text to the second, and (target, reason, walk) of what it loosens."""

    name: str
    old: str
    new: str
    loosenings: tuple[tuple[str, str, str | None], ...]


def with_limit(line: str) -> str:
    """The default lifecycle with a line in its stage manager."""
    return edited((MANAGER, f"{MANAGER}\n{line}"))


def with_retry(line: str) -> str:
    """The default lifecycle with retries of its stage manager."""
    return with_limit(f"retry = {{ {line} }}")


EARLY_GATE = (
    state("vetting", "gate", 'gates = ["ci"]')
    + edge("gates_passed", '"vetting"', "manager")
    + edge("gates_refused", '"vetting"', "blocked")
    + edge("run_aborted", '"vetting"', "failed")
    + edge("resume", '"vetting"', "gating")
)
LOOSENING = (
    Change(
        "a gate is no longer judged",
        DEFAULT,
        edited((GATES, 'gates = ["policy", "review"]')),
        (
            ("manager", f"can be entered {UNCERTAIN}: gate ci passed", UP_TO_MANAGER),
            ("executor", f"can be entered {UNCERTAIN}: gate ci passed", UP_TO_EXECUTOR),
            ("done", f"can be reached {UNCERTAIN}: gate ci passed", UP_TO_DONE),
        ),
    ),
    Change(
        "artifacts are no longer looked at before done",
        DEFAULT,
        edited((BROKEN_ARTIFACTS, "")),
        (("done", f"can be reached {UNCERTAIN}: artifacts_intact holds", UP_TO_DONE),),
    ),
    Change(
        "the gates are no longer looked at before done",
        DEFAULT,
        edited((LOST_GATES, "")),
        (("done", f"can be reached {UNCERTAIN}: gates_hold holds", UP_TO_DONE),),
    ),
    Change(
        "a look at the artifacts comes too early",
        DEFAULT,
        edited(
            (BROKEN_ARTIFACTS, ""),
            (
                f'{NEXT}trigger = "stage_succeeded"\n{MANAGER_DONE}',
                BROKEN_ARTIFACTS.replace("executor", "manager")
                + f'{NEXT}trigger = "stage_succeeded"\n{MANAGER_DONE}',
            ),
        ),
        (("done", f"can be reached {UNCERTAIN}: artifacts_intact holds", UP_TO_DONE),),
    ),
    Change(
        "a stage is passed by under a condition",
        DEFAULT,
        edited(
            (
                f'{NEXT}trigger = "gates_passed"\n{TO_MANAGER}',
                f'{NEXT}trigger = "gates_passed"\nsource = "gating"\ndest = "executor"\n'
                f'guard = "artifacts_intact"\nwhy = "x"\n{NEXT}trigger = "gates_passed"\n'
                + TO_MANAGER,
            )
        ),
        (
            (
                "executor",
                f"can be entered {UNCERTAIN}: 'manager' succeeded",
                "pending --start--> gating --gates_passed--> executor",
            ),
            (
                "done",
                f"can be reached {UNCERTAIN}: 'manager' succeeded",
                "pending --start--> gating --gates_passed--> executor --stage_succeeded--> done",
            ),
            (
                "done",
                "can be reached although 'manager' was entered and did not succeed",
                (
                    f"{UP_TO_MANAGER} --resume--> gating"
                    " --gates_passed--> executor --stage_succeeded--> done"
                ),
            ),
        ),
    ),
    Change(
        "a new stage runs before a gate that all others come after",
        DEFAULT,
        edited(
            (GATES, 'gates = ["policy", "review"]'),
            (TO_MANAGER, 'source = "gating"\ndest = "prep"'),
        )
        + stage("prep", "manager").replace('"prep"\ndest = "manager"', '"prep"\ndest = "vetting"')
        + EARLY_GATE,
        (
            (
                "prep",
                f"can be entered {UNCERTAIN}: gate ci passed",
                "pending --start--> gating --gates_passed--> prep",
            ),
        ),
    ),
    Change(
        "a failed stage leads on",
        DEFAULT,
        edited((STAGE_FAILED, STAGE_FAILED.replace('"manager", ', "")))
        + edge("stage_failed", '"manager"', "executor"),
        (
            (
                "executor",
                f"can be entered {UNCERTAIN}: 'manager' succeeded",
                f"{UP_TO_MANAGER} --stage_failed--> executor",
            ),
            (
                "done",
                f"can be reached {UNCERTAIN}: 'manager' succeeded",
                f"{UP_TO_MANAGER} --stage_failed--> executor --stage_succeeded--> done",
            ),
            (
                "manager",
                (
                    "leads to 'executor', a state of kind stage, not to a terminal state with"
                    " outcome failed"
                ),
                None,
            ),
            (
                "done",
                "can be reached although 'manager' was entered and did not succeed",
                f"{UP_TO_MANAGER} --stage_failed--> executor --stage_succeeded--> done",
            ),
        ),
    ),
    Change(
        "a loop loses its bound",
        REVIEWED,
        changed(REVIEWED, ("at_most = 2\n", 'guard = "gates_hold"\n')),
        (
            (
                "reviewer",
                (
                    "leads to 'executor', a state of kind stage, not to a terminal state with"
                    " outcome failed, and has no key 'at_most'"
                ),
                None,
            ),
            (
                "executor",
                "is on an unbounded loop",
                "executor --stage_succeeded--> reviewer --rework_requested--> executor",
            ),
            (
                "reviewer",
                "at_most of reviewer --rework_requested--> executor: was 2, is not said",
                None,
            ),
        ),
    ),
    Change(
        "a new stage comes before the gates that all others come after",
        edited(CLOSURE),
        edited(
            CLOSURE,
            ('source = "pending"\ndest = "gating"', 'source = "pending"\ndest = "prep"'),
            ('"timeout"]\ndest = "gating"', '"timeout"]\ndest = "prep"'),
        )
        + changed(stage("prep", "gating"), (RESUMED, RESUMED_TO_PREP)),
        (
            (
                "prep",
                (
                    f"can be entered {UNCERTAIN}: gate policy passed, gate ci passed, gate review"
                    " passed"
                ),
                "pending --start--> prep",
            ),
        ),
    ),
    Change(
        "a stage is put behind the last look",
        DEFAULT,
        edited((TO_DONE, 'source = "executor"\ndest = "audit"')) + stage("audit", "done"),
        (
            (
                "done",
                f"can be reached {UNCERTAIN}: artifacts_intact holds, gates_hold holds",
                f"{UP_TO_EXECUTOR} --stage_succeeded--> audit --stage_succeeded--> done",
            ),
        ),
    ),
    Change(
        "more rework is allowed",
        REVIEWED,
        changed(REVIEWED, ("at_most = 2", "at_most = 3")),
        (
            (
                "reviewer",
                "at_most of reviewer --rework_requested--> executor: was 2, is 3",
                None,
            ),
        ),
    ),
    Change(
        "the gates guard only the closure",
        DEFAULT,
        edited(('gates_guard = "stages"', 'gates_guard = "closure"')),
        (("", "gates_guard: stages are no longer promised to come after the gates", None),),
    ),
    *(
        Change(name, old, new, (("manager", reason, None),))
        for name, old, new, reason in (
            (
                "a timeout is raised",
                with_limit("timeout_ms = 5"),
                with_limit("timeout_ms = 6"),
                "timeout_ms: was 5, is 6",
            ),
            (
                "a timeout is dropped",
                with_limit("timeout_ms = 5"),
                DEFAULT,
                "timeout_ms: was 5, is not said (30000)",
            ),
            (
                "a timeout is set above the default",
                DEFAULT,
                with_limit("timeout_ms = 30001"),
                "timeout_ms: was not said (30000), is 30001",
            ),
            (
                "a limit that has no default is dropped",
                with_limit("idle_timeout_ms = 5"),
                DEFAULT,
                "idle_timeout_ms: was 5, is not said",
            ),
            (
                "more attempts are made",
                with_retry("max_attempts = 2, exit_codes = [1]"),
                with_retry("max_attempts = 3, exit_codes = [1]"),
                "retry.max_attempts: was 2, is 3",
            ),
            (
                "attempts follow more exit codes",
                with_retry("max_attempts = 2, exit_codes = [1]"),
                with_retry("max_attempts = 2, exit_codes = [1, 2]"),
                "is also tried again after exit 2",
            ),
            (
                "attempts follow timeouts",
                with_retry("max_attempts = 2, exit_codes = [1]"),
                with_retry("max_attempts = 2, exit_codes = [1], timeouts = true"),
                "retry.timeouts: was false, is true",
            ),
        )
    ),
)
TIGHTENING = {
    "a stage comes before done": (
        DEFAULT,
        edited((MANAGER_DONE, 'source = "manager"\ndest = "audit"')) + stage("audit", "executor"),
        "executor: certain now and not before: 'audit' succeeded",
    ),
    "artifacts are looked at before the executor": (
        DEFAULT,
        edited(
            (
                f'{NEXT}trigger = "stage_succeeded"\n{MANAGER_DONE}',
                BROKEN_ARTIFACTS.replace("executor", "manager")
                + f'{NEXT}trigger = "stage_succeeded"\n{MANAGER_DONE}',
            )
        ),
        "executor: certain now and not before: artifacts_intact holds",
    ),
    "less rework is allowed": (
        REVIEWED,
        changed(REVIEWED, ("at_most = 2", "at_most = 1")),
        "reviewer: at_most of reviewer --rework_requested--> executor: was 2, is 1",
    ),
    "a timeout is lowered": (
        with_limit("timeout_ms = 6"),
        with_limit("timeout_ms = 5"),
        "manager: timeout_ms: was 6, is 5",
    ),
    "attempts follow fewer exit codes": (
        with_retry("max_attempts = 2, exit_codes = [1, 2]"),
        with_retry("max_attempts = 2, exit_codes = [1]"),
        "manager: is no longer tried again after exit 2",
    ),
}
NEUTRAL = {
    "nothing": (DEFAULT, DEFAULT),
    "reasons and title": (
        DEFAULT,
        changed(DEFAULT, ("nothing may run before", "nothing runs before"), ("Gates first", "X")),
    ),
    "how slowness is told": (DEFAULT, with_limit("slow_after_ms = 5")),
    "a stage is renamed": (DEFAULT, changed(DEFAULT, ('"executor"', '"worker"'))),
    "the end is renamed": (
        DEFAULT,
        changed(DEFAULT, ('"done"\nk', '"over"\nk'), (TO_DONE, TO_DONE[:-5] + 'over"')),
    ),
    "the beginning and the gates are renamed": (
        DEFAULT,
        changed(DEFAULT, ('"pending"', '"begin"'), ('"gating"', '"judging"')),
    ),
    "conditions are tried in another order": (
        DEFAULT,
        edited((BROKEN_ARTIFACTS + LOST_GATES, LOST_GATES + BROKEN_ARTIFACTS)),
    ),
    "the gates are judged in two states": (
        DEFAULT,
        edited((GATES, 'gates = ["policy", "review"]'), (TO_MANAGER, TO_MANAGER[:-8] + 'vetting"'))
        + EARLY_GATE,
    ),
}


def shaped(text: str, folder: Path) -> Lifecycle:
    """A lifecycle of the right shape, not judged."""
    path = folder / "run.toml"
    path.write_text(text)
    return fsm_orchestrator.load_lifecycle(path)


def difference(old: str, new: str, folder: Path) -> LifecycleDiff:
    """The diff of two texts."""
    return fsm_orchestrator.diff(shaped(old, folder), shaped(new, folder))


@pytest.mark.parametrize("change", LOOSENING, ids=attrgetter("name"))
def test_loosening_is_told_with_its_walk(change: Change, tmp_path: Path) -> None:
    """What a change gives up is told for each stage and for done, with the shortest walk."""
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
    """What a change makes certain is told in words; the way back loosens."""
    found = difference(old, new, tmp_path)
    assert found.verdict is DiffVerdict.TIGHTENS
    assert effect_text(found.tightenings[0]) == words
    assert words in diff_text(found)
    assert difference(new, old, tmp_path).verdict is DiffVerdict.LOOSENS


@pytest.mark.parametrize(("old", "new"), NEUTRAL.values(), ids=NEUTRAL.keys())
def test_other_changes_do_neither(old: str, new: str, tmp_path: Path) -> None:
    """Where the same is certain as before the verdict is neither, in both directions."""
    for one, other in ((old, new), (new, old)):
        found = difference(one, other, tmp_path)
        assert (found.verdict, found.loosenings, found.tightenings) == (
            DiffVerdict.NEITHER,
            (),
            (),
        )
        assert found.is_empty == (old == new)


def test_loosening_outweighs_tightening(tmp_path: Path) -> None:
    """A change that does both loosens, and both are told."""
    new = edited((GATES, 'gates = ["policy", "review"]'), (MANAGER, f"{MANAGER}\ntimeout_ms = 5"))
    found = difference(DEFAULT, new, tmp_path)
    assert found.verdict is DiffVerdict.LOOSENS
    (tightening,) = found.tightenings
    assert effect_text(tightening) == "manager: timeout_ms: was not said (30000), is 5"


def test_parts_are_compared(tmp_path: Path) -> None:
    """States and edges that were added, removed, changed or renamed are each told as such."""
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
    """Edges that are tried in another order are a change, though none was added or removed."""
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
    """Where two states could have got the new name, neither is said to have."""
    spare = 'outcome = "failed"'
    old = DEFAULT + state("spare", "terminal", spare) + state("extra", "terminal", spare)
    found = difference(old, DEFAULT + state("other", "terminal", spare), tmp_path)
    assert found.renamed_states == ()
    assert (found.added_states, found.removed_states) == (("other",), ("spare", "extra"))


def test_number_of_a_transition_is_no_difference(tmp_path: Path) -> None:
    """What was wrong before is not told as new because a line above it moved it down."""
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
    """Two that say the same are no change, in either form."""
    lifecycle = read("governed_run", Path())
    assert diff_text(diff(lifecycle, lifecycle)) == "governed_run: no change\n"
    assert (
        diff_markdown(diff(lifecycle, lifecycle)) == "### Lifecycle governed\\_run: **no change**\n"
    )


# By brute force


def facts_of(lifecycle: Lifecycle, walk: Sequence[Edge]) -> set[Fact]:
    """What is certain at the end of a walk, read off it backwards."""
    resets = [n for n, one in enumerate(walk) if one.trigger in (Trigger.START, Trigger.RESUME)]
    since = walk[resets[-1] + 1 :] if resets else walk
    facts: set[Fact] = set()
    for name in lifecycle.stages:
        ends = [n for n, one in enumerate(since) if (one.source, one.trigger) == (name, SUCCEEDED)]
        if ends and name not in {one.dest for one in since[ends[-1] :]}:
            facts.add(Fact(FactKind.STAGE_SUCCEEDED, name))
    for one in since:
        if one.trigger is Trigger.GATES_PASSED and kind(lifecycle, one.source) is StateKind.GATE:
            judged = lifecycle.states[one.source].judged_gates
            facts |= {Fact(FactKind.GATE_PASSED, gate) for gate in judged}
    ran = [n for n, one in enumerate(since) if kind(lifecycle, one.source) is StateKind.STAGE]
    holding: dict[str, bool] = {}
    for one in since[ran[-1] if ran else 0 :]:
        holding |= judged_conditions(lifecycle, one)
    facts |= {Fact(FactKind.CONDITION_HOLDS, name) for name, holds in holding.items() if holds}
    return facts


SUCCEEDED = Trigger.STAGE_SUCCEEDED


def kind(lifecycle: Lifecycle, name: str) -> StateKind:
    """The kind of a state."""
    return lifecycle.states[name].kind


def judged_conditions(lifecycle: Lifecycle, taken: Edge) -> dict[str, bool]:
    """Which conditions are known to hold or not when an edge of a walk is taken."""
    known: dict[str, bool] = {}
    failed: set[str] = set()
    for other in lifecycle.edges_from(taken.source, taken.trigger):
        if other is taken:
            break
        if other.unless:
            known[other.unless.value] = True
        if other.guard:
            failed.add(other.guard.value)
    if taken.guard:
        known[taken.guard.value] = True
    if taken.unless:
        failed.add(taken.unless.value)
    return known | dict.fromkeys(failed, False)


def entries(lifecycle: Lifecycle, length_max: int) -> Iterator[tuple[str, Sequence[Edge]]]:
    """Every state that a walk of bounded length enters, with the walk, shorter ones first."""
    for walk in walks_of(lifecycle, length_max):
        yield walk[-1].dest, walk


LENGTH_MAX = 7


@settings(deadline=None, max_examples=150)
@given(lifecycle=looping())
def test_guarantees_agree_with_every_walk_of_bounded_length(lifecycle: Lifecycle) -> None:
    """A fact is certain exactly where every walk has it; else a shortest walk without is shown."""
    guarantees = Guarantees(lifecycle)
    seen: dict[str, set[Fact]] = {}
    shortest: dict[tuple[str, Fact], int] = {}
    every = {
        *(Fact(FactKind.GATE_PASSED, gate.value) for gate in Gate),
        *(Fact(FactKind.CONDITION_HOLDS, guard.value) for guard in Guard),
        *(Fact(FactKind.STAGE_SUCCEEDED, name) for name in lifecycle.stages),
    }
    for name, walk in entries(lifecycle, LENGTH_MAX):
        facts = facts_of(lifecycle, walk)
        seen[name] = seen.get(name, every) & facts
        for fact in every - facts:
            shortest.setdefault((name, fact), len(walk))
    for name, certain in guarantees.certain.items():
        if name == lifecycle.initial:
            continue
        assert certain <= seen.get(name, every)
        for fact in every - certain:
            found = guarantees.walk_without(frozenset([name]), fact)
            assert found is not None
            assert found[0].source == lifecycle.initial
            assert found[-1].dest == name
            assert all(one.dest == other.source for one, other in pairwise(found))
            assert fact not in facts_of(lifecycle, found)
            assert len(found) == shortest.get((name, fact), len(found))
            assert len(found) > LENGTH_MAX or (name, fact) in shortest


@settings(deadline=None, max_examples=150)
@given(old=looping(), new=looping())
def test_what_is_lost_loosens(old: Lifecycle, new: Lifecycle) -> None:
    """A fact that was certain at a stage or at done, and is missing on a walk now, is told."""
    was = Guarantees(old).certain
    targets = [name for name in (*new.stages, "done") if name in was]
    assume(targets)
    found = diff(old, new)
    told = {(one.target, fact) for one in found.loosenings for fact in facts_of_cause(one)}
    for name, walk in entries(new, 5):
        lost = was[name] - facts_of(new, walk) if name in targets else ()
        assert {(name, fact) for fact in lost} <= told
    for one in found.loosenings:
        if one.walk and isinstance(one.cause, LostFacts):
            assert not facts_of(new, one.walk).intersection(one.cause.facts)
            assert one.walk[-1].dest == one.target


def facts_of_cause(loosening: Effect) -> tuple[Fact, ...]:
    """The facts that a loosening names; none where it is no loss of facts."""
    return loosening.cause.facts if isinstance(loosening.cause, LostFacts) else ()


@settings(deadline=None, max_examples=150)
@given(lifecycle=st.one_of(looping(), any_lifecycle()))
def test_lifecycle_differs_in_nothing_from_itself(lifecycle: Lifecycle) -> None:
    """Whatever is wrong with a lifecycle, it is no change against itself."""
    found = diff(lifecycle, lifecycle)
    assert (found.verdict, found.is_empty) == (DiffVerdict.NEITHER, True)


@settings(deadline=None, max_examples=100)
@given(old=any_lifecycle(), new=any_lifecycle())
def test_lifecycles_of_the_right_shape_are_always_compared(old: Lifecycle, new: Lifecycle) -> None:
    """However wrong the two are, their difference is told, in both forms; it never fails."""
    found = diff(old, new)
    assert found.verdict in DiffVerdict
    assert diff_text(found).endswith("\n")
    assert diff_markdown(found).startswith("### Lifecycle ")


def test_large_lifecycles_are_compared(tmp_path: Path) -> None:
    """As many stages as a file may hold, all of them loosened, are no burden."""
    text = edited((TO_MANAGER, 'source = "gating"\ndest = "s0"'))
    for number in range(190):
        text += stage(f"s{number}", f"s{number + 1}" if number < 189 else "manager")
    found = difference(text, text.replace(GATES, 'gates = ["policy"]'), tmp_path)
    assert len(found.loosenings) == 193
