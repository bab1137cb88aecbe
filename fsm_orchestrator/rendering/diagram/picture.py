"""The picture of a lifecycle, before any format: nodes, arrows, the way to done.

It draws the declaration, not a live machine: the drawing that `transitions` makes of one colors the
current state, names a guard after its callback, gives a flat machine no final states, and knows
neither kinds nor reasons nor how often an edge may be taken. A test checks that the drawing shows
exactly what runs: edges drawn, edges declared and the machine's `get_transitions()` are equal.

Pure. mermaid.py and dot.py write a picture down; run_marks.py and change_marks.py make the marks
that a run or a difference puts on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from fsm_orchestrator.lifecycle.model import Edge, GatesGuard, Lifecycle, State
from fsm_orchestrator.rendering.diagram.folds import Fold, folded
from fsm_orchestrator.rendering.diagram.labels import Label, details_of, label_of, member_line
from fsm_orchestrator.vocabulary import Outcome, StateKind, Trigger

_HAPPY: Final[Mapping[StateKind, Trigger]] = {
    StateKind.INITIAL: Trigger.START,
    StateKind.GATE: Trigger.GATES_PASSED,
    StateKind.STAGE: Trigger.STAGE_SUCCEEDED,
    StateKind.GROUP: Trigger.STAGE_SUCCEEDED,
}
"""The trigger that leaves a state of each kind when all goes well."""


class Shape(StrEnum):
    """The meaning of a node, shown by its shape."""

    INITIAL = "initial"
    GATE = "gate"
    STAGE = "stage"
    BESIDE = "beside"
    """Stages that run side by side, named in one node."""
    DONE = "done"
    BLOCKED = "blocked"
    """An end that waits for somebody, not a failure."""
    ENDED = "ended"
    GROUP = "group"
    """Many states at once, as the source of an arrow that leaves them all."""


class Line(StrEnum):
    """The meaning of an arrow, shown by its line."""

    HAPPY = "happy"
    PLAIN = "plain"
    LOOP = "loop"
    ABORTED = "aborted"
    RESUME = "resume"


class Mark(StrEnum):
    """The statement of an overlay about a node or an arrow."""

    NONE = "none"
    TAKEN = "taken"
    UNTAKEN = "untaken"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


SIGNS: Final[Mapping[Mark, str]] = {Mark.ADDED: "+ ", Mark.REMOVED: "\u2212 ", Mark.CHANGED: "~ "}
"""The signs before the names of what changed: no line or color is needed to see it."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of an overlay on the states and edges of a lifecycle."""

    states: Mapping[str, Mark] = field(default_factory=dict)
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """More lines in the node of a state."""
    edges: Mapping[Edge, Mark] = field(default_factory=dict)
    notes: Mapping[Edge, str] = field(default_factory=dict)
    """More words on an edge."""
    captions: Sequence[str] = ()
    others: Mark = Mark.NONE
    """The mark of every state and edge that has no mark here."""

    def on_state(self, name: str) -> Mark:
        """Return the mark of a state."""
        return self.states.get(name, self.others)

    def on_edge(self, edge: Edge) -> Mark:
        """Return the mark of an edge."""
        return self.edges.get(edge, self.others)

    def sets_apart(self, edge: Edge) -> bool:
        """Return whether an edge has to be shown separately, not folded with others of its kind.

        An edge from a state that is itself new or gone says no more than the state does.
        """
        mark = self.on_edge(edge)
        is_of_state = mark in SIGNS and mark is self.on_state(edge.source)
        return edge in self.notes or (edge in self.edges and not is_of_state)


@dataclass(frozen=True, slots=True)
class Node:
    """A state, or a group of states. `key` is unique and, for a state, its name."""

    key: str
    shape: Shape
    title: str
    details: tuple[str, ...] = ()
    tip: str = ""
    outcome: Outcome | None = None
    mark: Mark = Mark.NONE
    members: tuple[str, ...] = ()
    """The stages that run side by side in it."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """All edges between two nodes that are drawn as one line."""

    source: str
    dest: str
    line: Line
    labels: tuple[Label, ...]
    tip: str
    mark: Mark
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole drawing. Nodes and arrows are in the order that lays them out best."""

    name: str
    title: str
    initial: str
    captions: tuple[str, ...]
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    spine: tuple[str, ...]
    """The states on the way to done, in order."""

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Every edge that is drawn, alone or with others."""
        return tuple(edge for arrow in self.arrows for edge in arrow.edges)


NO_MARKS: Final = Marks()


def picture_of(lifecycle: Lifecycle, marks: Marks = NO_MARKS) -> Picture:
    """Return the picture of a well-formed lifecycle, judged or not."""
    happy = happy_walk(lifecycle)
    folds, single = folded(lifecycle, marks.sets_apart)
    timed = [one for one in marks.edges if one.trigger is Trigger.RUN_TIMED_OUT]  # never declared
    spine = tuple(dict.fromkeys(name for edge in happy for name in (edge.source, edge.dest)))
    elsewhere = {*spine, *lifecycle.group_of}  # stages of a group are in its node
    off_spine = [state.name for state in lifecycle.state if state.name not in elsewhere]
    return Picture(
        name=lifecycle.name,
        title=lifecycle.title,
        initial=lifecycle.initial,
        captions=(*_warnings(lifecycle), *marks.captions),
        nodes=(
            *(_node(lifecycle, lifecycle.states[name], marks) for name in (*spine, *off_spine)),
            *_groups(folds, marks),
        ),
        arrows=(*_arrows(lifecycle, [*single, *timed], happy, marks), *_fold_arrows(folds, marks)),
        spine=spine,
    )


def happy_walk(lifecycle: Lifecycle) -> tuple[Edge, ...]:
    """Return the edges taken when all gates pass, all stages succeed and all conditions hold."""
    walk: list[Edge] = []
    place, visited = lifecycle.initial, {lifecycle.initial}
    while (state := lifecycle.states.get(place)) and state.kind in _HAPPY:
        edges = lifecycle.edges_from(place, _HAPPY[state.kind])
        edge = next((one for one in edges if one.unless is None and one.at_most is None), None)
        if edge is None or edge.dest in visited:
            break
        walk.append(edge)
        visited.add(edge.dest)
        place = edge.dest
    return tuple(walk)


def _warnings(lifecycle: Lifecycle) -> Iterable[str]:
    match lifecycle.gates_guard:
        case GatesGuard.STAGES:
            pass
        case GatesGuard.EFFECTS:
            yield "gates_guard is effects: stages that claim no effects run before the gates pass"
        case GatesGuard.CLOSURE:
            yield "gates_guard is closure: stages run before the gates have passed"
    if lifecycle.accepts_early_signals and lifecycle.gates_after_stages:
        yield "accepts_early_signals: gates pass on signals given before the stages had run"


def _node(lifecycle: Lifecycle, state: State, marks: Marks) -> Node:
    shape = _SHAPES[state.kind] if state.outcome is None else _ENDS[state.outcome]
    mark = marks.on_state(state.name)
    details = (*details_of(lifecycle, state), *marks.lines.get(state.name, ()))
    members = state.stages or ()
    told = (member_line(lifecycle, one, marks.lines.get(one, ())) for one in members)
    details = (*details, *told)
    return Node(
        key=state.name,
        shape=shape,
        title=SIGNS.get(mark, "") + state.name,
        details=details,
        tip=f"{state.name}: {_TIPS[state.kind]}",
        outcome=state.outcome,
        mark=mark,
        members=members,
    )


_SHAPES: Final[Mapping[StateKind, Shape]] = {
    StateKind.INITIAL: Shape.INITIAL,
    StateKind.GATE: Shape.GATE,
    StateKind.STAGE: Shape.STAGE,
    StateKind.GROUP: Shape.BESIDE,
}
_ENDS: Final[Mapping[Outcome, Shape]] = {
    Outcome.DONE: Shape.DONE,
    Outcome.BLOCKED: Shape.BLOCKED,
    Outcome.FAILED: Shape.ENDED,
    Outcome.TIMEOUT: Shape.ENDED,
}
ENDS: Final = frozenset(_ENDS.values())
_TIPS: Final[Mapping[StateKind, str]] = {
    StateKind.INITIAL: "every run begins here",
    StateKind.GATE: "its gates are judged",
    StateKind.STAGE: "its binary runs",
    StateKind.GROUP: "its stages run side by side; all must succeed",
    StateKind.TERMINAL: "the run has ended",
}


def _arrows(
    lifecycle: Lifecycle, edges: Sequence[Edge], happy: Sequence[Edge], marks: Marks
) -> list[Arrow]:
    """Return one arrow for the edges between two states, those on the way to done first."""
    between: dict[tuple[str, str, Mark, bool], list[Edge]] = {}
    for edge in sorted(edges, key=lambda one: one not in happy):
        place = (edge.source, edge.dest, marks.on_edge(edge), edge in happy)
        between.setdefault(place, []).append(edge)
    return [
        Arrow(
            source=source,
            dest=dest,
            line=_line(group, happy),
            labels=tuple(_label(lifecycle, edge, marks, is_happy=is_happy) for edge in group),
            tip="; ".join(_tip(lifecycle, edge) for edge in group),
            mark=mark,
            edges=tuple(group),
        )
        for (source, dest, mark, is_happy), group in between.items()
    ]


def _line(edges: Sequence[Edge], happy: Sequence[Edge]) -> Line:
    if any(edge in happy for edge in edges):
        return Line.HAPPY
    if all(edge.trigger is Trigger.RUN_ABORTED for edge in edges):
        return Line.ABORTED
    if all(edge.trigger is Trigger.RESUME for edge in edges):
        return Line.RESUME
    return Line.LOOP if any(edge.at_most is not None for edge in edges) else Line.PLAIN


def _label(lifecycle: Lifecycle, edge: Edge, marks: Marks, *, is_happy: bool) -> Label:
    label = label_of(edge)
    is_last = len(lifecycle.edges_from(edge.source, edge.trigger)) > 1 and not edge.is_guarded
    otherwise = "otherwise" if is_last and not is_happy else ""
    behind = (label.condition, otherwise, marks.notes.get(edge, ""))
    return Label(SIGNS.get(marks.on_edge(edge), "") + label.trigger, " ".join(filter(None, behind)))


def _tip(lifecycle: Lifecycle, edge: Edge) -> str:
    """Return the reason for an edge and, if there are alternatives, its turn among them."""
    tried = lifecycle.edges_from(edge.source, edge.trigger)
    turn = f" (tried {tried.index(edge) + 1} of {len(tried)})" if len(tried) > 1 else ""
    return f"{label_of(edge).text}{turn}: {edge.why}"


def _groups(folds: Sequence[Fold], marks: Marks) -> list[Node]:
    nodes = {
        fold.key: Node(
            key=fold.key,
            shape=Shape.GROUP,
            title=fold.sources_words,
            tip=", ".join(edge.source for edge in fold.edges),
            mark=marks.others,
        )
        for fold in folds
    }
    return list(nodes.values())


def _fold_arrows(folds: Sequence[Fold], marks: Marks) -> list[Arrow]:
    return [
        Arrow(
            source=fold.key,
            dest=fold.dest,
            line=_line(fold.edges, ()),
            labels=(Label(fold.trigger.value),),
            tip="; ".join(
                dict.fromkeys(f"{fold.trigger.value}: {edge.why}" for edge in fold.edges)
            ),
            mark=marks.others,
            edges=tuple(fold.edges),
        )
        for fold in folds
    ]
