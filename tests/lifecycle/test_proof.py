"""The promises of a lifecycle about every walk, against corpora and an independent search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle.findings import Finding
from fsm_orchestrator.lifecycle.labels import trace
from fsm_orchestrator.lifecycle.model import Edge, GatesGuard, Lifecycle, State, Transition
from fsm_orchestrator.lifecycle.proof import (
    done_without_gates,
    done_without_stages,
    stages_without_gates,
    violations,
)
from fsm_orchestrator.lifecycle.reading import parse
from fsm_orchestrator.lifecycle.source import shipped_text
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.vocabulary import (
    ExitCode,
    Gate,
    Outcome,
    StateKind,
    Trigger,
)

DEFAULT = shipped_text("governed_run").decode()
ALL_GATES = 'gates = ["policy", "ci", "review"]'
NEXT = "[[transition]]\n"
GATES_PASSED = 'source = "gating"\ndest = "manager"'
TO_APPROVAL = 'source = "gating"\ndest = "approval"'
LOST_GATES = (
    '[[transition]]\ntrigger = "stage_succeeded"\nsource = "executor"\ndest = "blocked"\n'
    'unless = "gates_hold"\nwhy = "a gate that passed at the start no longer does"\n'
)
CLOSURE = (
    ('gates_guard = "stages"', 'gates_guard = "closure"'),
    ('source = "pending"\ndest = "gating"', 'source = "pending"\ndest = "manager"'),
    (GATES_PASSED, 'source = "gating"\ndest = "done"'),
    ('source = "executor"\ndest = "done"', 'source = "executor"\ndest = "gating"'),
    (LOST_GATES, ""),
    ('"timeout"]\ndest = "gating"', '"timeout"]\ndest = "manager"'),
)


def added(name: str, kind: str, *edges: tuple[str, str]) -> str:
    """Return a state, its edges for abort and resume, and more edges (trigger, dest), to append."""
    common = (("run_aborted", "failed"), ("resume", "gating"))
    return f'\n[[state]]\nname = "{name}"\n{kind}\n' + "".join(
        f'\n[[transition]]\ntrigger = "{trigger}"\nsource = "{name}"\ndest = "{dest}"\nwhy = "x"\n'
        for trigger, dest in (*common, *edges)
    )


SECOND_GATE_STATE = added(
    "approval",
    'kind = "gate"\ngates = ["ci", "review"]',
    ("gates_passed", "manager"),
    ("gates_refused", "blocked"),
)
REPAIR = added(
    "repair",
    'kind = "stage"',
    ("stage_succeeded", "done"),
    ("stage_failed", "failed"),
    ("stage_timed_out", "timeout"),
)


def edited(*edits: tuple[str, str]) -> str:
    """Return the default lifecycle with each pair's first text, found once, made its second."""
    text = DEFAULT
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def refusal_lines(text: str) -> list[str]:
    """Return the lines for which a lifecycle is refused."""
    with pytest.raises(LifecycleError) as refusal:
        parse(text.encode(), "run.toml")
    assert refusal.value.exit_code is ExitCode.USAGE
    return str(refusal.value).splitlines()


def test_gates_that_are_not_all_judged_do_not_count() -> None:
    """Passing only some of the mandatory gates opens neither a stage nor done."""
    assert refusal_lines(edited((ALL_GATES, 'gates = ["policy", "review"]'))) == [
        (
            "run.toml: state 'manager': can be entered before gate ci passed in this invocation:"
            " pending --start--> gating --gates_passed--> manager"
        ),
        (
            "run.toml: state 'done': can be reached before gate ci passed in this invocation:"
            " pending --start--> gating --gates_passed--> manager --stage_succeeded--> executor"
            " --stage_succeeded--> done"
        ),
    ]


def test_gates_may_be_spread_over_gate_states() -> None:
    """Mandatory gates count wherever on the way they are judged."""
    text = edited((ALL_GATES, 'gates = ["policy"]'), (GATES_PASSED, TO_APPROVAL))
    assert parse((text + SECOND_GATE_STATE).encode(), "run.toml").edges


def test_gate_state_that_a_guard_can_pass_by_does_not_count() -> None:
    """A gate state does not count if an edge with a condition leads around it."""
    short_cut = f'{GATES_PASSED}\nguard = "artifacts_intact"\nwhy = "a short cut"\n\n{NEXT}'
    text = edited(
        (ALL_GATES, 'gates = ["policy"]'),
        (GATES_PASSED, f'{short_cut}trigger = "gates_passed"\n{TO_APPROVAL}'),
    )
    assert refusal_lines(text + SECOND_GATE_STATE)[0] == (
        "run.toml: state 'manager': can be entered before gates ci, review passed in this"
        " invocation: pending --start--> gating --gates_passed--> manager"
    )


def test_gates_may_come_after_the_stages_where_they_guard_the_closure() -> None:
    """The order of stages, then gates, then done is accepted if gates guard the closure."""
    assert parse(edited(*CLOSURE).encode(), "run.toml").gates_guard is GatesGuard.CLOSURE


def test_closure_without_gates_is_refused() -> None:
    """A lifecycle with a way to done around the gates is refused, whatever they guard."""
    to_gating = 'source = "executor"\ndest = "gating"'
    to_done = 'source = "executor"\ndest = "done"\nguard = "gates_hold"\nwhy = "a short cut"\n\n'
    text = edited(*CLOSURE)
    assert text.count(to_gating) == 1
    text = text.replace(to_gating, f'{to_done}{NEXT}trigger = "stage_succeeded"\n{to_gating}')
    assert refusal_lines(text) == [
        (
            "run.toml: state 'done': can be reached before gates policy, ci, review passed in this"
            " invocation: pending --start--> manager --stage_succeeded--> executor"
            " --stage_succeeded--> done"
        )
    ]


def test_stage_that_a_resumed_run_can_go_round_is_refused() -> None:
    """A lifecycle in which a resumed run can avoid a stage that did not succeed is refused."""
    broken = 'dest = "{}"\nunless = "artifacts_intact"'
    text = edited((broken.format("failed"), broken.format("repair")))
    assert refusal_lines(text + REPAIR) == [
        (
            "run.toml: state 'done': can be reached although 'repair' was entered and did not"
            " succeed: pending --start--> gating --gates_passed--> manager"
            " --stage_succeeded--> executor --stage_succeeded--> repair --resume--> gating"
            " --gates_passed--> manager --stage_succeeded--> executor"
            " --stage_succeeded--> done"
        )
    ]


RELATION_STATES = (
    State(name="begin", kind=StateKind.INITIAL),
    State(name="some", kind=StateKind.GATE, gates=(Gate.POLICY, Gate.REVIEW)),
    State(name="rest", kind=StateKind.GATE, gates=(Gate.CI, Gate.REVIEW)),
    State(name="every", kind=StateKind.GATE),
    State(name="first", kind=StateKind.STAGE),
    State(name="second", kind=StateKind.STAGE, effects=False),
    State(name="failed", kind=StateKind.TERMINAL, outcome=Outcome.FAILED),
    State(name="done", kind=StateKind.TERMINAL, outcome=Outcome.DONE),
)
TRIGGERS = (
    Trigger.GATES_PASSED,
    Trigger.STAGE_SUCCEEDED,
    Trigger.STAGE_FAILED,
    Trigger.REWORK_REQUESTED,
    Trigger.RESUME,
)
EDGES_MAX = 7


def relation(*edges: tuple[str, Trigger, str], guard: GatesGuard = GatesGuard.STAGES) -> Lifecycle:
    """Return a lifecycle over RELATION_STATES with these edges, allowed by the rules or not."""
    return Lifecycle(
        schema_version=1,
        name="relation",
        title="for the test",
        initial="begin",
        gates_guard=guard,
        state=RELATION_STATES,
        transition=tuple(
            Transition(trigger=trigger, source=(source,), dest=dest, why="for the test")
            for source, trigger, dest in edges
        ),
    )


BEGINNINGS: tuple[tuple[tuple[str, Trigger, str], ...], ...] = (
    (),
    (("begin", Trigger.START, "every"), ("every", Trigger.GATES_PASSED, "first")),
    (
        ("begin", Trigger.START, "some"),
        ("some", Trigger.GATES_PASSED, "rest"),
        ("rest", Trigger.GATES_PASSED, "first"),
    ),
)


@st.composite
def relations(draw: st.DrawFn) -> Lifecycle:
    """Draw a small relation with at least one walk to done, and edges that go anywhere."""
    names = st.sampled_from([state.name for state in RELATION_STATES])
    edges = list(draw(st.sampled_from(BEGINNINGS)))
    way = [edges[-1][2] if edges else "begin", *draw(st.lists(names, max_size=2)), "done"]
    pairs = list(pairwise(way))
    pairs += draw(st.lists(st.tuples(names, names), max_size=EDGES_MAX - len(edges) - len(pairs)))
    edges += [(source, draw(st.sampled_from(TRIGGERS)), dest) for source, dest in pairs]
    return relation(*edges, guard=draw(st.sampled_from(GatesGuard)))


def walks_of(lifecycle: Lifecycle, length_max: int) -> Iterator[tuple[Edge, ...]]:
    """Yield every walk from the initial state with 1 to `length_max` edges, shorter ones first."""
    walks: list[tuple[Edge, ...]] = [()]
    for _ in range(length_max):
        walks = [
            (*walk, edge)
            for walk in walks
            for edge in lifecycle.edges
            if edge.source == (walk[-1].dest if walk else lifecycle.initial)
        ]
        yield from walks


def has_every_gate(lifecycle: Lifecycle, walk: Sequence[Edge]) -> bool:
    """Return True if all gates passed since the walk was last resumed."""
    passed: set[str] = set()
    for edge in walk:
        source = lifecycle.states[edge.source]
        if edge.trigger is Trigger.RESUME:
            passed = set()
        elif edge.trigger is Trigger.GATES_PASSED and source.kind is StateKind.GATE:
            passed |= set(source.gates or MANDATORY_RULES)
    return passed == set(Gate)


def enters_ungated_stage(lifecycle: Lifecycle, walk: Sequence[Edge]) -> bool:
    """Return True if the walk ends in a stage that the gates should guard and do not."""
    is_free = {GatesGuard.STAGES: (), GatesGuard.EFFECTS: ("second",)}
    guarded = set(lifecycle.stages).difference(is_free.get(lifecycle.gates_guard, lifecycle.stages))
    return walk[-1].dest in guarded and not has_every_gate(lifecycle, walk)


def closes_ungated(lifecycle: Lifecycle, walk: Sequence[Edge]) -> bool:
    """Return True if the walk ends as done without every gate."""
    return walk[-1].dest == "done" and not has_every_gate(lifecycle, walk)


def closes_unfinished(lifecycle: Lifecycle, walk: Sequence[Edge]) -> bool:
    """Return True if the walk ends as done with a stage on it that never succeeded."""
    entered = {edge.dest for edge in walk} & set(lifecycle.stages)
    succeeded = {edge.source for edge in walk if edge.trigger is Trigger.STAGE_SUCCEEDED}
    return walk[-1].dest == "done" and not entered <= succeeded


PROOFS = (
    (stages_without_gates, enters_ungated_stage),
    (done_without_gates, closes_ungated),
    (done_without_stages, closes_unfinished),
)


@pytest.mark.parametrize(("prove", "is_broken"), PROOFS)
@given(lifecycle=relations())
def test_proof_agrees_with_every_walk_of_bounded_length(
    prove: Callable[[Lifecycle], list[Finding]],
    is_broken: Callable[[Lifecycle, Sequence[Edge]], bool],
    lifecycle: Lifecycle,
) -> None:
    """A promise is refused exactly if some walk breaks it, with a shortest such walk."""
    length_max = 6
    found = prove(lifecycle)
    shortest = next((w for w in walks_of(lifecycle, length_max) if is_broken(lifecycle, w)), None)
    if shortest is None:
        assert all(len(finding.walk or ()) > length_max for finding in found)
    else:
        assert min(len(finding.walk or ()) for finding in found) == len(shortest)
    for violation in found:
        assert violation.walk
        assert violation.walk[0].source == lifecycle.initial
        assert violation.walk[-1].dest == violation.state
        assert all(edge.dest == after.source for edge, after in pairwise(violation.walk))
        assert is_broken(lifecycle, violation.walk)


def test_resume_clears_the_gates() -> None:
    """Gates that passed in an earlier invocation open nothing in a resumed one."""
    lifecycle = relation(
        ("begin", Trigger.START, "every"),
        ("every", Trigger.GATES_PASSED, "first"),
        ("first", Trigger.STAGE_SUCCEEDED, "done"),
        ("first", Trigger.STAGE_FAILED, "failed"),
        ("failed", Trigger.RESUME, "first"),
    )
    to_first = "begin --start--> every --gates_passed--> first"
    and_back = f"{to_first} --stage_failed--> failed --resume--> first"
    assert [
        (violation.state, trace(violation.walk or ())) for violation in violations(lifecycle)
    ] == [
        ("first", and_back),
        ("done", f"{and_back} --stage_succeeded--> done"),
    ]


def test_stage_entered_only_behind_an_ungated_one_is_not_listed() -> None:
    """One missing gate is one line for all stages behind it."""
    lifecycle = relation(
        ("begin", Trigger.START, "first"),
        ("first", Trigger.STAGE_SUCCEEDED, "second"),
        ("second", Trigger.STAGE_SUCCEEDED, "every"),
        ("every", Trigger.GATES_PASSED, "done"),
    )
    assert [violation.state for violation in stages_without_gates(lifecycle)] == ["first"]
    assert violations(lifecycle) == stages_without_gates(lifecycle)


def test_failed_stage_does_not_count_as_succeeded() -> None:
    """Done behind a failed stage is refused, with the shortest walk to it."""
    lifecycle = relation(
        ("begin", Trigger.START, "every"),
        ("every", Trigger.GATES_PASSED, "first"),
        ("first", Trigger.STAGE_FAILED, "second"),
        ("first", Trigger.STAGE_SUCCEEDED, "second"),
        ("second", Trigger.STAGE_SUCCEEDED, "done"),
    )
    (violation,) = violations(lifecycle)
    assert violation.state == "done"
    assert "although 'first' was entered and did not succeed" in violation.reason
    assert trace(violation.walk or ()) == (
        "begin --start--> every --gates_passed--> first --stage_failed--> second"
        " --stage_succeeded--> done"
    )


def test_lifecycle_with_many_stages_is_judged() -> None:
    """A lifecycle with the maximum of stages is judged quickly, though it has countless walks."""
    stages = [f"stage_{number}" for number in range(192)]
    text = edited((GATES_PASSED, 'source = "gating"\ndest = "stage_0"'))
    for stage, following in zip(stages, [*stages[1:], "manager"], strict=True):
        text += added(
            stage,
            'kind = "stage"',
            ("stage_succeeded", following),
            ("stage_failed", "failed"),
            ("stage_timed_out", "timeout"),
        )
    assert len(parse(text.encode(), "run.toml").stages) == 194
