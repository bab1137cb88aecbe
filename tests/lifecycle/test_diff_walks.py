"""`diff` by brute force: what is guaranteed, compared with every walk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st

from fsm_orchestrator.lifecycle.diff import DiffVerdict, LostFacts, diff
from fsm_orchestrator.lifecycle.diff_text import diff_markdown, diff_text
from fsm_orchestrator.lifecycle.guarantees import Fact, FactKind, Guarantees
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.vocabulary import Gate, Guard, StateKind, Trigger
from tests.lifecycle.diff_cases import GATES, TO_MANAGER, difference, facts_of_cause, stage
from tests.lifecycle.test_proof import walks_of
from tests.lifecycle.test_verification_walks import any_lifecycle, looping
from tests.support.lifecycle_cases import edited

# By brute force


def facts_of(lifecycle: Lifecycle, walk: Sequence[Edge]) -> set[Fact]:
    """Return what is certain at the end of a walk, by reading it backwards."""
    resets = [n for n, one in enumerate(walk) if one.trigger in (Trigger.START, Trigger.RESUME)]
    since = walk[resets[-1] + 1 :] if resets else walk
    facts: set[Fact] = set()
    for name in lifecycle.stages:
        ends = [n for n, one in enumerate(since) if (one.source, one.trigger) == (name, SUCCEEDED)]
        if ends and name not in {one.dest for one in since[ends[-1] :]}:
            facts.add(Fact(FactKind.STAGE_SUCCEEDED, name))
    for one in since:
        if one.trigger is Trigger.GATES_PASSED and kind(lifecycle, one.source) is StateKind.GATE:
            judged = lifecycle.judged_in(lifecycle.states[one.source])
            facts |= {Fact(FactKind.GATE_PASSED, gate) for gate in judged}
    ran = [n for n, one in enumerate(since) if kind(lifecycle, one.source) is StateKind.STAGE]
    holding: dict[str, bool] = {}
    for one in since[ran[-1] if ran else 0 :]:
        holding |= judged_conditions(lifecycle, one)
    facts |= {Fact(FactKind.CONDITION_HOLDS, name) for name, holds in holding.items() if holds}
    return facts


SUCCEEDED = Trigger.STAGE_SUCCEEDED


def kind(lifecycle: Lifecycle, name: str) -> StateKind:
    """Return the kind of a state."""
    return lifecycle.states[name].kind


def judged_conditions(lifecycle: Lifecycle, taken: Edge) -> dict[str, bool]:
    """Return the conditions that are known to hold or not when an edge of a walk is taken."""
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
    """Yield each state that a walk of bounded length enters, with the walk, shorter ones first."""
    for walk in walks_of(lifecycle, length_max):
        yield walk[-1].dest, walk


LENGTH_MAX = 7


@given(lifecycle=looping())
def test_guarantees_agree_with_every_walk_of_bounded_length(lifecycle: Lifecycle) -> None:
    """A fact is certain exactly if every walk has it; else a shortest walk without it is shown."""
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


@given(old=looping(), new=looping())
def test_what_is_lost_loosens(old: Lifecycle, new: Lifecycle) -> None:
    """A fact that was certain at a stage or at done, and no longer is, is reported."""
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


@given(lifecycle=st.one_of(looping(), any_lifecycle()))
def test_lifecycle_differs_in_nothing_from_itself(lifecycle: Lifecycle) -> None:
    """Even a wrong lifecycle does not differ from itself."""
    found = diff(lifecycle, lifecycle)
    assert (found.verdict, found.is_empty) == (DiffVerdict.NEITHER, True)


@given(old=any_lifecycle(), new=any_lifecycle())
def test_lifecycles_of_the_right_shape_are_always_compared(old: Lifecycle, new: Lifecycle) -> None:
    """Two lifecycles of the right shape can always be compared, however wrong they are."""
    found = diff(old, new)
    assert found.verdict in DiffVerdict
    assert diff_text(found).endswith("\n")
    assert diff_markdown(found).startswith("### Lifecycle ")


def test_large_lifecycles_are_compared(tmp_path: Path) -> None:
    """Two lifecycles with the maximum of stages, all of them loosened, are compared quickly."""
    text = edited((TO_MANAGER, 'source = "gating"\ndest = "s0"'))
    for number in range(190):
        text += stage(f"s{number}", f"s{number + 1}" if number < 189 else "manager")
    found = difference(text, text.replace(GATES, 'gates = ["policy"]'), tmp_path)
    assert len(found.loosenings) == 193
