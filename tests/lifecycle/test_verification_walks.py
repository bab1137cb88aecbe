"""`verify` of random lifecycles, compared with an independent search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from fsm_orchestrator.lifecycle.findings import FindingKind
from fsm_orchestrator.lifecycle.labels import trace
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, State, Transition
from fsm_orchestrator.lifecycle.proof import violations
from fsm_orchestrator.lifecycle.verification import verify
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.vocabulary import Gate, Guard, Outcome, StateKind, Trigger
from tests.lifecycle.test_proof import closes_unfinished, closes_ungated, enters_ungated_stage

STATES = (
    State(name="begin", kind=StateKind.INITIAL),
    State(name="some", kind=StateKind.GATE, gates=(Gate.POLICY, Gate.CI)),
    State(name="every", kind=StateKind.GATE),
    State(name="work", kind=StateKind.STAGE),
    State(name="look", kind=StateKind.STAGE, exit_codes={"9": ExitMeaning.REWORK}),
    State(name="failed", kind=StateKind.TERMINAL, outcome=Outcome.FAILED),
    State(name="done", kind=StateKind.TERMINAL, outcome=Outcome.DONE),
)
REVIEW_LOOP: tuple[tuple[str, Trigger, str], ...] = (
    ("begin", Trigger.START, "every"),
    ("every", Trigger.GATES_PASSED, "work"),
    ("work", Trigger.STAGE_SUCCEEDED, "look"),
    ("look", Trigger.STAGE_SUCCEEDED, "done"),
)
FAILING: tuple[tuple[str, Trigger, str], ...] = (
    *REVIEW_LOOP[:2],
    ("work", Trigger.STAGE_FAILED, "failed"),
    ("failed", Trigger.RESUME, "work"),
)
MET: dict[str, tuple[Trigger, ...]] = {
    "begin": (Trigger.START,),
    "some": (Trigger.GATES_PASSED,),
    "every": (Trigger.GATES_PASSED,),
    "work": (Trigger.STAGE_SUCCEEDED, Trigger.STAGE_FAILED),
    "look": (Trigger.STAGE_SUCCEEDED, Trigger.STAGE_FAILED, Trigger.REWORK_REQUESTED),
    "failed": (Trigger.RESUME,),
}


@st.composite
def looping(draw: st.DrawFn) -> Lifecycle:
    """Draw a small lifecycle with rework, conditions and bounds, allowed by the rules or not."""
    wanted = list(draw(st.sampled_from([(), REVIEW_LOOP[:2], REVIEW_LOOP, FAILING])))
    names = st.sampled_from([state.name for state in STATES])
    sources = draw(st.lists(st.sampled_from(sorted(MET)), min_size=2, max_size=5))
    wanted += [(source, draw(st.sampled_from(MET[source])), draw(names)) for source in sources]
    draw(st.randoms(use_true_random=False)).shuffle(wanted)
    kinds: list[dict[str, Any]] = [
        *({}, {}, {"at_most": 1}, {"at_most": 2}),
        *({"guard": Guard.GATES_HOLD}, {"unless": Guard.GATES_HOLD}),
    ]
    conditions = st.sampled_from(kinds)
    return Lifecycle(
        schema_version=1,
        name="looping",
        title="for the test",
        initial="begin",
        state=STATES,
        transition=tuple(
            Transition(trigger=trigger, source=(source,), dest=dest, why="x", **draw(conditions))
            for source, trigger, dest in wanted
        ),
    )


Walk = tuple[int, ...]
"""The indexes of edges in `lifecycle.edges`."""


def takeable(lifecycle: Lifecycle, state: str, taken: Counter[int]) -> Iterator[int]:
    """Yield the edges that a run can take next: a condition may go either way, but only one way."""
    for number, candidate in enumerate(lifecycle.edges):
        if candidate.source != state or taken[number] >= (candidate.at_most or 1000):
            continue
        holds = {True, False}
        is_behind = False
        for earlier in range(number):
            other = lifecycle.edges[earlier]
            if (other.source, other.trigger) != (state, candidate.trigger):
                continue
            if other.at_most is not None:
                is_behind |= taken[earlier] < other.at_most
            elif other.guard or other.unless:
                holds.discard(other.guard is not None)
            else:
                is_behind = True
        if candidate.guard or candidate.unless:
            holds &= {candidate.guard is not None}
        if holds and not is_behind:
            yield number


def runs(lifecycle: Lifecycle, length_max: int) -> Iterator[Walk]:
    """Yield every possible run of 1 to `length_max` edges within bounds, shorter ones first."""
    walks: list[Walk] = [()]
    for _ in range(length_max):
        walks = [
            (*walk, number)
            for walk in walks
            for number in takeable(
                lifecycle,
                lifecycle.edges[walk[-1]].dest if walk else lifecycle.initial,
                Counter(walk),
            )
        ]
        yield from walks


@given(lifecycle=looping())
def test_no_run_breaks_what_is_not_refused(lifecycle: Lifecycle) -> None:
    """No run within bounds, order and conditions breaks a promise that verify did not refuse."""
    kinds = {finding.kind for finding in violations(lifecycle)}
    refused = {
        enters_ungated_stage: FindingKind.STAGE_WITHOUT_GATES in kinds,
        closes_ungated: FindingKind.DONE_WITHOUT_GATES in kinds,
        closes_unfinished: FindingKind.DONE_WITHOUT_STAGE in kinds,
    }
    for walk in runs(lifecycle, 7):
        edges = [lifecycle.edges[number] for number in walk]
        for is_broken, is_refused in refused.items():
            assert is_refused or not is_broken(lifecycle, edges), trace(edges)


@given(lifecycle=looping())
def test_every_violation_is_a_walk_that_breaks_its_promise(lifecycle: Lifecycle) -> None:
    """The shown walk begins where runs begin, is connected, and breaks the promise."""
    for finding in violations(lifecycle):
        walk = finding.walk or ()
        assert walk[0].source == lifecycle.initial
        assert walk[-1].dest == finding.state
        assert all(one.dest == other.source for one, other in pairwise(walk))
        checks = (enters_ungated_stage, closes_ungated, closes_unfinished)
        assert any(is_broken(lifecycle, walk) for is_broken in checks)


def onward(lifecycle: Lifecycle) -> list[Edge]:
    """Return the edges that can be taken without end: no resume, no bound."""
    return [one for one in lifecycle.edges if one.trigger is not Trigger.RESUME and not one.at_most]


@given(lifecycle=looping())
def test_loops_are_unbounded_exactly_where_a_walk_goes_on_for_ever(lifecycle: Lifecycle) -> None:
    """A loop is refused exactly if a walk without resume or bound outgrows the states."""
    ends = {state.name for state in STATES}
    for _ in STATES:
        ends = {one.dest for one in onward(lifecycle) if one.source in ends}
    found = verify(lifecycle)
    loops = [finding for finding in found if finding.kind is FindingKind.UNBOUNDED_LOOP]
    assert bool(loops) == bool(ends)
    for finding in loops:
        walk = finding.walk or ()
        assert walk[0].source == walk[-1].dest == finding.state
        assert all(one in onward(lifecycle) for one in walk)


def joined(*edges: tuple[str, Trigger, str, int | None]) -> Lifecycle:
    """Return a lifecycle of the same states with these edges; the last value is their bound."""
    return Lifecycle(
        schema_version=1,
        name="looping",
        title="for the test",
        initial="begin",
        state=STATES,
        transition=tuple(
            Transition(trigger=trigger, source=(source,), dest=dest, at_most=at_most, why="x")
            for source, trigger, dest, at_most in edges
        ),
    )


RESUMED_BEHIND_A_BOUND = joined(
    ("begin", Trigger.START, "every", None),
    ("every", Trigger.GATES_PASSED, "work", 1),
    ("work", Trigger.STAGE_FAILED, "failed", 1),
    ("work", Trigger.STAGE_FAILED, "begin", None),
    ("failed", Trigger.RESUME, "work", None),
)


@given(lifecycle=looping())
@example(lifecycle=RESUMED_BEHIND_A_BOUND)
def test_edge_that_is_called_dead_is_taken_by_no_run(lifecycle: Lifecycle) -> None:
    """No run takes an edge that verify calls dead."""
    dead = {
        finding.transition.number - 1
        for finding in verify(lifecycle)
        if finding.kind is FindingKind.EXHAUSTED and finding.transition
    }
    assert not any(dead.intersection(walk) for walk in runs(lifecycle, 6))


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])


@st.composite
def any_lifecycle(draw: st.DrawFn) -> Lifecycle:
    """Draw anything of the right shape: repeated or missing names, wrong keys, odd edges."""
    maybe_guard = st.none() | st.sampled_from(Guard)
    state = st.builds(
        State,
        name=NAMES,
        kind=st.sampled_from(StateKind),
        gates=st.none() | st.lists(st.sampled_from(Gate), max_size=3).map(tuple),
        outcome=st.none() | st.sampled_from(Outcome),
        timeout_ms=st.none() | st.integers(1, 5),
        exit_codes=st.none()
        | st.dictionaries(st.sampled_from(["1", "2", "127"]), st.sampled_from(ExitMeaning)),
    )
    transition = st.builds(
        Transition,
        trigger=st.sampled_from(Trigger),
        source=st.lists(NAMES, max_size=3).map(tuple),
        dest=NAMES,
        guard=maybe_guard,
        unless=maybe_guard,
        at_most=st.none() | st.integers(1, 3),
        why=st.just("x"),
    )
    return Lifecycle(
        schema_version=1,
        name=draw(NAMES),
        title="for the test",
        initial=draw(NAMES),
        state=tuple(draw(st.lists(state, min_size=1, max_size=5))),
        transition=tuple(draw(st.lists(transition, min_size=1, max_size=8))),
    )


@given(lifecycle=any_lifecycle())
def test_lifecycle_of_the_right_shape_is_always_judged(lifecycle: Lifecycle) -> None:
    """However wrong a lifecycle is, verify reports it as text and never fails."""
    assert all(map(str, verify(lifecycle)))
