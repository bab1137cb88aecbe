"""The machine takes the edges of the default lifecycle and no others, in the promised order."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any, Final

import pytest

from fsm_orchestrator.engine.machine import Fact, RunMachine, Verdict, build_machine
from fsm_orchestrator.errors import InternalError
from fsm_orchestrator.lifecycle.model import Lifecycle, State
from fsm_orchestrator.lifecycle.reading import shipped
from fsm_orchestrator.lifecycle.source import shipped_text
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.vocabulary import Guard, Trigger

LIFECYCLE: Final = shipped("governed_run")
TERMINAL: Final = ("done", "blocked", "failed", "timeout")
STATES: Final = ("pending", "gating", "manager", "executor", *TERMINAL)
ALL_THE_WAY: Final = {
    "gating": Trigger.GATES_PASSED,
    "manager": Trigger.STAGE_SUCCEEDED,
    "executor": Trigger.STAGE_SUCCEEDED,
}

TABLE: Final = """
         start  gates_passed gates_refused stage_succeeded stage_failed stage_timed_out run_aborted resume
pending  gating -            -             -               -            -               failed      gating
gating   -      manager      blocked       -               -            -               failed      gating
manager  -      -            -             executor        failed       timeout         failed      gating
executor -      -            -             done            failed       timeout         failed      gating
done     -      -            -             -               -            -               -           -
blocked  -      -            -             -               -            -               -           gating
failed   -      -            -             -               -            -               -           gating
timeout  -      -            -             -               -            -               -           gating
"""  # noqa: E501 - a table reads by its columns
"""The state to which each fact leads from each state while both guards hold; `-` is impossible."""


def next_states() -> dict[tuple[str, Trigger], str | None]:
    """Return the table, by state and trigger."""
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    return {
        (row[0], Trigger(name)): None if dest == "-" else dest
        for row in rows
        for name, dest in zip(header, row[1:], strict=True)
    }


NEXT: Final = next_states()
TRIGGERS: Final = tuple(
    one
    for one in Trigger
    if one not in {Trigger.RUN_TIMED_OUT, *(meaning.trigger for meaning in ExitMeaning)}
)
"""The triggers without those of exit codes and of a run's time limit."""


CLOSING: Final = (Guard.ARTIFACTS_INTACT, Guard.GATES_HOLD)


def happened(trigger: Trigger) -> Fact:
    """Return a fact whose cause is the trigger's own name."""
    return Fact(trigger, f"because of {trigger.value}")


class Run:
    """A machine whose callbacks record, in order, their arguments and the machine's state.

    `facts` has the fact that follows on entering a state: without an entry a run is aborted, unless
    it has ended. `guards` has the guards' answers: without an entry they hold, and None raises.
    `errors` has what is raised `before` a state or on `enter`ing it.
    """

    def __init__(
        self,
        state: str,
        *,
        facts: Mapping[str, Trigger | None] | None = None,
        guards: Mapping[Guard, bool | None] | None = None,
        declared: Lifecycle = LIFECYCLE,
    ) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.facts: list[Fact] = []
        self.guard_failures: list[tuple[Guard, Exception]] = []
        self.errors: dict[tuple[str, str], Exception] = {}
        self._facts = facts or {}
        self._guards = guards or {}
        self.machine = RunMachine(
            declared,
            state,
            before_transition=self._before,
            enter_state=self._enter,
            guards={guard: self._noted(guard) for guard in Guard},
            guard_failed=self._failed,
        )

    @property
    def path(self) -> list[tuple[str, ...]]:
        """The transitions: trigger, source, dest."""
        return [call[1:4] for call in self.calls if call[0] == "before"]

    @property
    def asked(self) -> list[str]:
        """The guards that were called, in order."""
        return [call[1] for call in self.calls if call[0] == "guard"]

    def _before(self, fact: Fact, source: str, dest: str) -> None:
        self.calls.append(("before", fact.trigger.value, source, dest, self.machine.state))
        self.facts.append(fact)
        if error := self.errors.get(("before", dest)):
            raise error

    def _enter(self, state: State) -> Fact | None:
        self.calls.append(("enter", state.name, self.machine.state))
        if error := self.errors.get(("enter", state.name)):
            raise error
        default = None if state.name in TERMINAL else Trigger.RUN_ABORTED
        trigger = self._facts.get(state.name, default)
        return None if trigger is None else happened(trigger)

    def _failed(self, guard: Guard, error: Exception) -> Verdict:
        self.guard_failures.append((guard, error))
        return Verdict(holds=False, why=f"{guard.value} failed")

    def _noted(self, guard: Guard) -> Callable[[], Verdict]:
        def ask() -> Verdict:
            self.calls.append(("guard", guard.value, self.machine.state))
            held = self._guards.get(guard, True)
            if held is None:
                raise OSError("the disk is gone")
            return Verdict(held, "" if held else f"{guard.value} refused")

        return ask


def unguarded(state: str, enter: Callable[[State], Fact | None]) -> tuple[RunMachine, list[Guard]]:
    """Return a machine without guards and record, and the list of the guards that failed."""
    failures: list[Guard] = []

    def failed(guard: Guard, _error: Exception) -> Verdict:
        failures.append(guard)
        return Verdict(holds=False)

    machine = RunMachine(
        LIFECYCLE,
        state,
        before_transition=lambda _fact, _source, _dest: None,
        enter_state=enter,
        guards={},
        guard_failed=failed,
    )
    return machine, failures


def edge(dest: str, **condition: str) -> dict[str, Any]:
    """Return one more edge for the success of the executor."""
    success = {"trigger": "stage_succeeded", "source": ["executor"], "dest": dest}
    return {**success, **condition, "why": "for this test"}


def without(trigger: str, source: str, *more: dict[str, Any]) -> Lifecycle:
    """Return the default lifecycle without a trigger's edges from a source, and with more edges."""
    document: dict[str, Any] = LIFECYCLE.model_dump(mode="json")
    kept = [
        one
        for one in document["transition"]
        if one["trigger"] != trigger or source not in one["source"]
    ]
    return Lifecycle.model_validate({**document, "transition": [*kept, *more]}, strict=False)


def test_table_names_every_state_and_every_trigger() -> None:
    """The table of this module has every pair of the lifecycle's states and the triggers."""
    assert set(NEXT) == set(product(LIFECYCLE.states, TRIGGERS))


@pytest.mark.parametrize(("state", "trigger"), NEXT, ids=str)
def test_fact_leads_where_the_table_says_or_nowhere(state: str, trigger: Trigger) -> None:
    """A fact takes the only edge that it has; without one it raises, and nothing moves."""
    run = Run(state)
    dest = NEXT[state, trigger]
    assert (trigger in run.machine.triggers_here) is (dest is not None)
    if dest is None:
        with pytest.raises(InternalError, match=trigger.value):
            run.machine.fire(happened(trigger))
        assert run.calls == []
        assert run.machine.state == state
    else:
        run.machine.fire(happened(trigger))
        assert run.path[0] == (trigger.value, state, dest)
        assert run.machine.state == (dest if dest in TERMINAL else "failed")


def test_fact_without_any_edge_in_the_lifecycle_is_a_bug() -> None:
    """A trigger that a lifecycle never mentions raises, and the state stays."""
    run = Run("manager", declared=without("stage_timed_out", "manager"))
    with pytest.raises(InternalError, match="stage_timed_out"):
        run.machine.fire(happened(Trigger.STAGE_TIMED_OUT))
    assert (run.calls, run.machine.state) == ([], "manager")


def test_callbacks_come_in_the_order_in_which_a_run_is_recorded() -> None:
    """Each transition is reported, taken and entered before the next one is reported."""
    run = Run("pending", facts=ALL_THE_WAY)
    run.machine.fire(happened(Trigger.START))
    assert run.calls == [
        ("before", "start", "pending", "gating", "pending"),
        ("enter", "gating", "gating"),
        ("before", "gates_passed", "gating", "manager", "gating"),
        ("enter", "manager", "manager"),
        ("before", "stage_succeeded", "manager", "executor", "manager"),
        ("enter", "executor", "executor"),
        ("guard", "artifacts_intact", "executor"),
        ("guard", "gates_hold", "executor"),
        ("before", "stage_succeeded", "executor", "done", "executor"),
        ("enter", "done", "done"),
    ]


@pytest.mark.parametrize(
    ("intact", "hold", "dest", "asked"),
    [
        (True, True, "done", ["artifacts_intact", "gates_hold"]),
        (True, False, "blocked", ["artifacts_intact", "gates_hold"]),
        (False, True, "failed", ["artifacts_intact"]),
        (False, False, "failed", ["artifacts_intact"]),
        (None, True, "failed", ["artifacts_intact"]),
        (True, None, "blocked", ["artifacts_intact", "gates_hold"]),
    ],
)
def test_closing_edges_are_tried_in_file_order(
    intact: bool | None, hold: bool | None, dest: str, asked: list[str]
) -> None:
    """The first edge whose condition allows it is taken; a guard that raises refuses."""
    run = Run("executor", guards={Guard.ARTIFACTS_INTACT: intact, Guard.GATES_HOLD: hold})
    run.machine.fire(happened(Trigger.STAGE_SUCCEEDED))
    assert run.path == [("stage_succeeded", "executor", dest)]
    assert run.asked == asked
    broken = [one for one, guard in zip(CLOSING, (intact, hold), strict=True) if guard is None]
    assert [(guard, str(error)) for guard, error in run.guard_failures] == [
        (guard, "the disk is gone") for guard in broken
    ]


@pytest.mark.parametrize(
    ("intact", "hold", "cause"),
    [
        (True, True, "because of stage_succeeded"),
        (True, False, "gates_hold refused"),
        (False, True, "artifacts_intact refused"),
        (None, True, "artifacts_intact failed"),
    ],
)
def test_refusal_of_a_guard_is_the_cause_of_what_happens_instead(
    intact: bool | None, hold: bool, cause: str
) -> None:
    """A guard's refusal replaces the cause of the fact, and the next fact has its own again."""
    run = Run("executor", guards={Guard.ARTIFACTS_INTACT: intact, Guard.GATES_HOLD: hold})
    run.machine.fire(Fact(Trigger.STAGE_SUCCEEDED, "because of stage_succeeded", ("detail",)))
    is_own = cause == "because of stage_succeeded"
    assert run.facts == [Fact(Trigger.STAGE_SUCCEEDED, cause, ("detail",) if is_own else ())]


def test_spent_budget_adds_to_the_cause() -> None:
    """A loop that may not be taken again is named after the original cause."""
    facts: list[Fact] = []

    def noted(fact: Fact, _source: str, _dest: str) -> None:
        facts.append(fact)

    declared = shipped("reviewed_run")
    machine = RunMachine(
        declared,
        "reviewer",
        before_transition=noted,
        enter_state=lambda _state: None,
        guards={},
        guard_failed=lambda guard, error: pytest.fail(f"{guard}: {error}"),
        may_repeat=lambda edge: Verdict(holds=False, why=f"no more of {edge.dest}"),
    )
    machine.fire(Fact(Trigger.REWORK_REQUESTED, "asked for rework", ("twice",)))
    expected = Fact(Trigger.REWORK_REQUESTED, "asked for rework", ("twice", "no more of executor"))
    assert facts == [expected]


@pytest.mark.parametrize(
    ("hold", "intact", "dest"),
    [
        (True, True, "done"),
        (False, True, "failed"),
        (None, True, "failed"),
        (False, False, "timeout"),
    ],
)
def test_edge_with_a_guard_needs_it_to_hold(hold: bool | None, intact: bool, dest: str) -> None:
    """`guard` needs its guard to hold, `unless` needs it not to; otherwise the next edge counts."""
    conditional = (edge("done", guard="gates_hold"), edge("timeout", unless="artifacts_intact"))
    declared = without("stage_succeeded", "executor", *conditional, edge("failed"))
    guards = {Guard.GATES_HOLD: hold, Guard.ARTIFACTS_INTACT: intact}
    run = Run("executor", declared=declared, guards=guards)
    run.machine.fire(happened(Trigger.STAGE_SUCCEEDED))
    assert run.path == [("stage_succeeded", "executor", dest)]
    assert run.asked == ["gates_hold", "artifacts_intact"][: 1 if hold else 2]


def test_guard_that_nobody_provides_is_a_refusal() -> None:
    """A guard without a function refuses, so that no run closes."""
    machine, failures = unguarded("executor", lambda _state: None)
    machine.fire(happened(Trigger.STAGE_SUCCEEDED))
    assert (machine.state, failures) == ("failed", [Guard.ARTIFACTS_INTACT])


@pytest.mark.parametrize(
    ("refused", "kept"),
    [("gating", "pending"), ("manager", "gating"), ("executor", "manager"), ("done", "executor")],
)
def test_transition_that_cannot_be_persisted_is_not_taken(refused: str, kept: str) -> None:
    """An error while a transition is persisted is raised unchanged, and the state stays."""
    run = Run("pending", facts=ALL_THE_WAY)
    error = OSError("no space left")
    run.errors["before", refused] = error
    with pytest.raises(OSError, match="no space left") as raised:
        run.machine.fire(happened(Trigger.START))
    assert raised.value is error
    assert run.machine.state == kept
    assert ("enter", refused, refused) not in run.calls
    run.machine.fire(happened(Trigger.RUN_ABORTED))
    assert run.path[-1] == ("run_aborted", kept, "failed")


@pytest.mark.parametrize("entered", ["gating", "manager", "executor", "done"])
def test_error_on_entering_a_state_stops_the_run_there(entered: str) -> None:
    """An error on entering a state is raised unchanged; the state was entered, nothing follows."""
    run = Run("pending", facts=ALL_THE_WAY)
    run.errors["enter", entered] = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        run.machine.fire(happened(Trigger.START))
    assert run.machine.state == entered
    assert run.calls[-1] == ("enter", entered, entered)


@pytest.mark.parametrize(
    ("state", "trigger", "rest"),
    [
        ("pending", Trigger.START, "gating"),
        ("failed", Trigger.RESUME, "gating"),
        ("gating", Trigger.GATES_PASSED, "manager"),
        ("manager", Trigger.STAGE_SUCCEEDED, "executor"),
    ],
)
def test_rest_in_a_state_that_is_not_terminal_is_a_bug(
    state: str, trigger: Trigger, rest: str
) -> None:
    """A run that has no next fact in a state that is not terminal raises."""
    run = Run(state, facts=dict.fromkeys(STATES))
    with pytest.raises(InternalError, match=f"rest in '{rest}'"):
        run.machine.fire(happened(trigger))
    assert run.machine.state == rest


@pytest.mark.parametrize(
    ("state", "trigger"),
    [("executor", Trigger.STAGE_SUCCEEDED), ("pending", Trigger.START)],
    ids=["fired from outside", "fired on entering"],
)
def test_fact_that_every_edge_refuses_is_a_bug(state: str, trigger: Trigger) -> None:
    """A fact that all guards refuse raises, though the library takes that for no event."""
    declared = without("stage_succeeded", "executor", edge("done", guard="gates_hold"))
    guards = {Guard.GATES_HOLD: False}
    run = Run(state, declared=declared, guards=guards, facts=ALL_THE_WAY)
    with pytest.raises(InternalError, match="rest in 'executor'"):
        run.machine.fire(happened(trigger))
    assert run.machine.state == "executor"


def test_long_run_does_not_nest() -> None:
    """However many facts follow each other, they are handled in sequence without nesting."""
    facts = map(happened, [*[Trigger.RESUME] * 2000, Trigger.GATES_REFUSED])
    machine, _ = unguarded("pending", lambda state: next(facts) if state.name == "gating" else None)
    machine.fire(happened(Trigger.START))
    assert machine.state == "blocked"


def test_machine_has_the_triggers_of_the_vocabulary_and_no_others() -> None:
    """Neither the machine nor its model has any trigger but those of the vocabulary."""
    run, machine = Run("pending").machine, build_machine(LIFECYCLE)
    assert set(machine.events) == {trigger.value for trigger in TRIGGERS}
    for holder in (run, run._position, machine):
        names = [name for name in dir(holder) if name.startswith("to")]
        assert names == []
        assert [name for state in STATES if hasattr(holder, name := f"to_{state}")] == []


def test_edges_of_the_machine_are_the_edges_of_the_file() -> None:
    """The machine has exactly the edges of the file, with conditions and order."""
    document = tomllib.loads(shipped_text("governed_run").decode())
    declared: dict[tuple[str, str], list[tuple[str, list[bool]]]] = {}
    for one in document["transition"]:
        sources = [one["source"]] if isinstance(one["source"], str) else one["source"]
        conditions = [key == "guard" for key in ("guard", "unless") if key in one]
        for source in sources:
            declared.setdefault((source, one["trigger"]), []).append((one["dest"], conditions))
    built: dict[tuple[str, str], list[tuple[str, list[bool]]]] = {}
    machine = build_machine(LIFECYCLE)
    for name, event in machine.events.items():
        for source, edges in event.transitions.items():
            built[source, name] = [
                (str(edge.dest), [condition.target for condition in edge.conditions])
                for edge in edges
            ]
    assert built == declared
    assert set(built) == {(state, trigger) for (state, trigger), dest in NEXT.items() if dest}
    assert list(machine.states) == [state["name"] for state in document["state"]]
