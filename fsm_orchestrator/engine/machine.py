"""The run's state machine: the only user of `transitions`.

Built from a lifecycle's data; the callbacks are the driver's, handed in as functions, never
names from a file. Knows nothing of files, processes or gates.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from transitions import EventData, Machine, MachineError, State

from fsm_orchestrator.engine.foreign import is_foreign
from fsm_orchestrator.errors import InternalError
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.lifecycle.model import State as LifecycleState
from fsm_orchestrator.vocabulary import Guard, StateKind, Trigger

logging.getLogger("transitions").addHandler(logging.NullHandler())


class CalledOffError(Exception):
    """A request to end came before a step that it forbids was durable."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Fact(NamedTuple):
    """Something that happened: the trigger that it is to the machine, and its cause.

    Attributes:
        details: what adds to the cause, in order.
    """

    trigger: Trigger
    cause: str
    details: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """The answer of an edge's condition: it holds, or why it does not."""

    holds: bool
    why: str = ""


BeforeTransition = Callable[[Fact, str, str], None]
"""Called with fact, source and dest before the edge is taken; raising keeps the state."""
EnterState = Callable[[LifecycleState], Fact | None]
"""Called when a state has been entered; returns the fact that followed, None at the end."""


class _Position:
    """The machine's model: it has a state and nothing a trigger's name could collide with."""

    state: str


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
        self._before_transition = before_transition
        self._enter_state = enter_state
        self._guards = guards
        self._may_repeat = may_repeat
        self._guard_failed = guard_failed
        self._position = _Position()
        self._machine: Machine = Machine(
            model=self._position,
            states=[State(one.name, on_enter=[self._on_enter_state]) for one in lifecycle.state],
            initial=state,
            transitions=[self._transition(edge) for edge in lifecycle.edges],
            auto_transitions=False,
            send_event=True,
            queued=True,
            before_state_change=[self._on_before_state_change],
        )

    @property
    def state(self) -> str:
        """The state the machine is in."""
        return self._position.state

    @property
    def triggers_here(self) -> tuple[Trigger, ...]:
        """The triggers that have an edge from the current state."""
        names = self._machine.get_triggers(self.state)
        return tuple(trigger for trigger in Trigger if trigger.value in names)

    def fire(self, fact: Fact) -> None:
        """Let a fact happen and everything that follows from it.

        Raises:
            InternalError: the state has no edge for it, or the run came to rest in a state that
                is not terminal.
            Exception: whatever a callback raises; the state it was raised before is kept.
        """
        try:
            self._trigger(fact)
        except MachineError as error:
            raise InternalError(f"illegal transition: {error}") from error
        if self._lifecycle.states[self.state].kind is not StateKind.TERMINAL:
            raise InternalError(f"the run came to rest in {self.state!r}, which is not terminal")

    def _trigger(self, fact: Fact) -> None:
        # Through `events`: the methods the library adds to the model are invisible to type
        # checkers. Nested calls are queued and always answer True; `fire` checks the end.
        event = self._machine.events.get(fact.trigger.value)
        if event is None:
            raise InternalError(f"the lifecycle has no edge for {fact.trigger.value}")
        event.trigger(self._position, fact=fact)

    def _on_before_state_change(self, event: EventData) -> None:
        transition = event.transition
        if transition is None:
            raise InternalError("the library called back without a transition")
        self._before_transition(event.kwargs["fact"], transition.source, str(transition.dest))

    def _on_enter_state(self, event: EventData) -> None:
        del event  # the position says which state
        fact = self._enter_state(self._lifecycle.states[self.state])
        if fact is not None:
            self._trigger(fact)

    def _transition(self, edge: Edge) -> dict[str, Any]:
        return {
            "trigger": edge.trigger.value,
            "source": edge.source,
            "dest": edge.dest,
            "conditions": self._conditions(edge),
            "unless": [] if edge.unless is None else [self._condition(edge.unless)],
        }

    def _conditions(self, edge: Edge) -> list[Callable[[EventData], bool]]:
        conditions = [] if edge.guard is None else [self._condition(edge.guard)]
        if edge.at_most is not None:
            conditions.append(self._budget(edge))
        return conditions

    def _condition(self, guard: Guard) -> Callable[[EventData], bool]:
        def holds(event: EventData) -> bool:
            try:
                verdict = self._guards[guard]()
            except CalledOffError:
                raise
            except Exception as error:
                if is_foreign(error):
                    raise
                # A guard that raises counts as refused.
                verdict = self._guard_failed(guard, error)
            if not verdict.holds:  # then that is the cause of whatever happens instead
                event.kwargs["fact"] = Fact(event.kwargs["fact"].trigger, verdict.why)
            return verdict.holds

        return holds

    def _budget(self, edge: Edge) -> Callable[[EventData], bool]:
        def holds(event: EventData) -> bool:
            verdict, fact = self._may_repeat(edge), event.kwargs["fact"]
            if not verdict.holds:
                event.kwargs["fact"] = fact._replace(details=(*fact.details, verdict.why))
            return verdict.holds

        return holds
