"""The run's state machine: the only user of `transitions`.

Built from a lifecycle's data; the callbacks are the driver's, passed in as functions, never as
names from a file. Knows nothing of files, processes or gates.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from transitions import EventData, Machine, MachineError, State

from fsm_orchestrator.engine.foreign import is_foreign
from fsm_orchestrator.errors import InternalError, OperationError
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.lifecycle.model import State as LifecycleState
from fsm_orchestrator.vocabulary import Guard, StateKind, Trigger

logging.getLogger("transitions").addHandler(logging.NullHandler())


class CalledOffError(Exception):
    """A request to end that came before a step that it forbids was durable."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class TimeIsUpError(Exception):
    """The time of the run ran out while a gate was asked, or waited."""


class Fact(NamedTuple):
    """Something that happened: its trigger for the machine, and its cause.

    Attributes:
        details: additions to the cause, in order.
    """

    trigger: Trigger
    cause: str
    details: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """The answer of an edge's condition: that it holds, or why it does not."""

    holds: bool
    why: str = ""


BeforeTransition = Callable[[Fact, str, str], None]
"""The callback before an edge is taken, with fact, source and dest; raising keeps the state."""
EnterState = Callable[[LifecycleState], Fact | None]
"""The callback after a state was entered; it returns the fact that followed, or None at the end."""


class _Position:
    """The machine's model: the state of a run, and the run whose callbacks are called."""

    def __init__(self, state: str, run: RunMachine) -> None:
        self.state = state
        self.run = run


class RunMachine:
    """A lifecycle in motion. `fire` runs it until no fact follows."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        state: str,
        *,
        before_transition: BeforeTransition,
        enter_state: EnterState,
        guards: Mapping[Guard, Callable[[], Verdict]],
        guard_failed: Callable[[Guard, Exception], Verdict],
        may_repeat: Callable[[Edge], Verdict] = lambda _: Verdict(holds=False),
    ) -> None:
        self._lifecycle = lifecycle
        self._edges = lifecycle.edges
        self._before_transition = before_transition
        self._enter_state = enter_state
        self._guards = guards
        self._may_repeat = may_repeat
        self._guard_failed = guard_failed
        self._position = _Position(state, self)

    def let_time_end_it(self) -> None:
        """Let the run end in any state when its time is up."""
        from fsm_orchestrator.lifecycle.timing import time_edges  # noqa: PLC0415 - only with a time

        self._edges = (*self._lifecycle.edges, *time_edges(self._lifecycle))

    @property
    def state(self) -> str:
        """The state the machine is in."""
        return self._position.state

    @property
    def triggers_here(self) -> tuple[Trigger, ...]:
        """The triggers that have an edge from the current state."""
        here = {edge.trigger for edge in self._lifecycle.edges if edge.source == self.state}
        return tuple(trigger for trigger in Trigger if trigger in here)

    def fire(self, fact: Fact) -> None:
        """Apply a fact, and everything that follows from it.

        Raises:
            InternalError: the state has no edge for it, or the run came to rest in a state that
                is not terminal.
            Exception: what a callback raises; the state from before it is kept.
        """
        try:
            with _lent(self._lifecycle, self._edges) as machine:
                self._trigger(fact, machine)
        except MachineError as error:
            raise InternalError(f"illegal transition: {error}") from error
        if self._lifecycle.states[self.state].kind is not StateKind.TERMINAL:
            raise InternalError(f"the run came to rest in {self.state!r}, which is not terminal")

    def _trigger(self, fact: Fact, machine: Machine) -> None:
        # The methods that the library adds to a model are invisible to type checkers. Nested calls
        # are queued and always return True; `fire` checks the end.
        event = machine.events.get(fact.trigger.value)
        if event is None:
            raise InternalError(f"the lifecycle has no edge for {fact.trigger.value}")
        event.trigger(self._position, fact=fact)

    def before_state_change(self, event: EventData) -> None:
        """Call the driver before a transition; a machine callback."""
        transition = event.transition
        if transition is None:
            raise InternalError("the library called back without a transition")
        self._before_transition(event.kwargs["fact"], transition.source, str(transition.dest))

    def on_enter_state(self, event: EventData) -> None:
        """Let the driver enter the state, and apply the fact that follows; a machine callback."""
        fact = self._enter_state(self._lifecycle.states[self.state])
        if fact is not None:
            self._trigger(fact, event.machine)

    def holds(self, guard: Guard, event: EventData) -> bool:
        """Return whether a guard of an edge holds; a machine callback."""
        try:
            verdict = self._guards[guard]()
        except (CalledOffError, TimeIsUpError, OperationError):
            raise  # the program could not do its own part: that is not the guard's answer
        except Exception as error:
            if is_foreign(error):
                raise
            # A guard that raises an exception counts as refused.
            verdict = self._guard_failed(guard, error)
        if not verdict.holds:  # its reason becomes the cause of what happens instead
            event.kwargs["fact"] = Fact(event.kwargs["fact"].trigger, verdict.why)
        return verdict.holds

    def may_repeat(self, edge: Edge, event: EventData) -> bool:
        """Return whether a loop may be taken again; a machine callback."""
        verdict, fact = self._may_repeat(edge), event.kwargs["fact"]
        if not verdict.holds:
            event.kwargs["fact"] = fact._replace(details=(*fact.details, verdict.why))
        return verdict.holds


# The library's machine of a relation is built once: building it takes longer than a run through it.

_Relation: TypeAlias = tuple[tuple[str, ...], tuple[Edge, ...]]
_IDLE_MAX: Final = 32
_idle: Final[list[tuple[_Relation, Machine]]] = []
"""The machines that no run uses, the most recently used last."""


@contextlib.contextmanager
def _lent(lifecycle: Lifecycle, edges: tuple[Edge, ...]) -> Iterator[Machine]:
    """Lend a machine of a lifecycle to one run; a machine in which a callback raised is dropped."""
    relation = (tuple(lifecycle.states), edges)
    machine = _taken(relation) or build_machine(lifecycle, edges)
    yield machine
    _idle.append((relation, machine))
    del _idle[:-_IDLE_MAX]


def _taken(relation: _Relation) -> Machine | None:
    """Take an idle machine of a relation, or return None if there is none."""
    for one in reversed(_idle.copy()):
        if one[0] == relation:
            with contextlib.suppress(ValueError):  # another thread took it
                _idle.remove(one)
                return one[1]
    return None


def build_machine(lifecycle: Lifecycle, edges: tuple[Edge, ...] | None = None) -> Machine:
    """Build the library's machine for a lifecycle, with its own edges unless others are given."""
    return Machine(
        model=None,
        states=[State(name, on_enter=[_on_enter_state]) for name in lifecycle.states],
        initial=None,
        transitions=[_transition(edge) for edge in edges or lifecycle.edges],
        auto_transitions=False,
        send_event=True,
        queued=True,
        before_state_change=[_before_state_change],
    )


def _transition(edge: Edge) -> dict[str, Any]:
    conditions: list[Callable[[EventData], bool]] = []
    if edge.guard is not None:
        conditions.append(partial(_holds, edge.guard))
    if edge.at_most is not None:
        conditions.append(partial(_has_a_time_left, edge))
    return {
        "trigger": edge.trigger.value,
        "source": edge.source,
        "dest": edge.dest,
        "conditions": conditions,
        "unless": [] if edge.unless is None else [partial(_holds, edge.unless)],
    }


def _before_state_change(event: EventData) -> None:
    _run_of(event).before_state_change(event)


def _on_enter_state(event: EventData) -> None:
    _run_of(event).on_enter_state(event)


def _holds(guard: Guard, event: EventData) -> bool:
    return _run_of(event).holds(guard, event)


def _has_a_time_left(edge: Edge, event: EventData) -> bool:
    return _run_of(event).may_repeat(edge, event)


def _run_of(event: EventData) -> RunMachine:
    position: Any = event.model
    run: RunMachine = position.run
    return run
