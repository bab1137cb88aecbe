"""Walks over the events of an invocation: which spans are open when, and what belongs to each.

Groups and rounds of rework are spans between the invocation and the work done in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.invocation import TransitionRecord
from fsm_orchestrator.model.trace import span_below
from fsm_orchestrator.telemetry.names import SpanKind
from fsm_orchestrator.vocabulary import StateKind, Trigger


@dataclass
class Around:
    """A group, or a round of rework: a span around others.

    Attributes:
        leaves_from: the state that ends it when it is left.
        number: its number among those of its kind and state in the invocation, from 1.
    """

    kind: SpanKind
    state: str
    leaves_from: str
    span_id: str
    parent_id: str
    began: int
    number: int
    over: int | None = None


@dataclass
class Walk:
    """The position of an invocation while its transitions are read one after another."""

    root: str
    lifecycle: Lifecycle | None
    entered_at: int
    around: list[Around] = field(default_factory=list)
    past: list[Around] = field(default_factory=list)

    @property
    def here(self) -> str:
        """The span to which the next event belongs."""
        return self.around[-1].span_id if self.around else self.root

    def take(self, transition: TransitionRecord, at: int) -> None:
        """End the spans that a transition leaves, and begin those that it enters."""
        left = [one for one in self.around if one.leaves_from == transition.source]
        if left:
            self._close(self.around.index(left[0]), at)
        if self._is_rework(transition):
            self._open(SpanKind.REWORK, transition.dest, transition.source, at)
        if self._is_group(transition.dest):
            self._open(SpanKind.GROUP, transition.dest, transition.dest, at)
        self.entered_at = at

    def end(self, at: int) -> list[Around]:
        """End the open spans, and return all of them."""
        self._close(0, at)
        return self.past

    def _close(self, first: int, at: int) -> None:
        for one in self.around[first:]:
            one.over = at
        self.past += self.around[first:]
        del self.around[first:]

    def _open(self, kind: SpanKind, state: str, leaves_from: str, at: int) -> None:
        known = [
            one for one in (*self.past, *self.around) if (one.kind, one.state) == (kind, state)
        ]
        number, parent = 1 + len(known), self.here
        span_id = span_below(self.root, kind.value, state, number)
        self.around.append(Around(kind, state, leaves_from, span_id, parent, at, number))

    def _is_rework(self, transition: TransitionRecord) -> bool:
        if self.lifecycle is None:
            return transition.trigger is Trigger.REWORK_REQUESTED
        step = (transition.source, transition.trigger, transition.dest)
        loops = self.lifecycle.loops
        return any(step == (one.source, one.trigger, one.dest) for one in loops)

    def _is_group(self, state: str) -> bool:
        known = {} if self.lifecycle is None else self.lifecycle.states
        return state in known and known[state].kind is StateKind.GROUP
