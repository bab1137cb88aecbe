"""Folds of edges that are drawn as one, because many states have the same way out.

A dozen stages that all lead to `failed` are a dozen lines that say one thing: `every stage`. Only
edges that nothing sets apart are folded, and the words are true of every folded edge. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, State
from fsm_orchestrator.vocabulary import Outcome, StateKind, Trigger

_FOLDED_FROM: Final[Mapping[Trigger, int]] = {
    Trigger.RESUME: 2,
    Trigger.RUN_ABORTED: 2,
    Trigger.STAGE_FAILED: 3,
    Trigger.STAGE_TIMED_OUT: 3,
    Trigger.GATES_REFUSED: 4,
}
"""The least number of edges to one state that are folded; fewer are clearer as lines."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Edges for one trigger from many states to one. `key` names their common source."""

    key: str
    trigger: Trigger
    dest: str
    sources_words: str
    edges: tuple[Edge, ...]


def folded(lifecycle: Lifecycle, is_apart: Callable[[Edge], bool]) -> tuple[list[Fold], list[Edge]]:
    """Return the folds of a lifecycle, and the edges that are in none of them, in file order.

    `is_apart` is true for edges that have to be drawn separately.
    """
    folds = [
        fold
        for trigger in _FOLDED_FROM
        if (fold := _fold(lifecycle, trigger, is_apart)) is not None
    ]
    inside = {edge for fold in folds for edge in fold.edges}
    return folds, [edge for edge in lifecycle.edges if edge not in inside]


def _fold(lifecycle: Lifecycle, trigger: Trigger, is_apart: Callable[[Edge], bool]) -> Fold | None:
    edges = [edge for edge in lifecycle.edges if edge.trigger is trigger]
    by_dest: dict[str, list[Edge]] = {}
    for edge in edges:
        if not edge.is_guarded and not is_apart(edge):
            by_dest.setdefault(edge.dest, []).append(edge)
    if not by_dest:
        return None
    most = max(by_dest.values(), key=len)
    everywhere = {state.name for state in lifecycle.state if _may_happen(trigger, state)}
    everywhere -= {*lifecycle.group_of, lifecycle.finally_stage}  # they have no edges
    if len(most) < _FOLDED_FROM[trigger] or 2 * len(most) <= len(edges):
        return None
    if {edge.source for edge in edges} != everywhere:
        return None  # "every" would be untrue, as is possible in a lifecycle that was not judged
    is_all = {edge.source for edge in most} == everywhere
    words = ("every", *_what(lifecycle, trigger))
    if not is_all:
        words = ("every", "other", *words[1:])
    key = _joined(words)
    if not is_all:
        key += f"For{_joined([trigger.value])}"
    return Fold(key, trigger, most[0].dest, " ".join(words), tuple(most))


def _joined(names: Iterable[str]) -> str:
    """Return names joined into one: `stage_failed` becomes `StageFailed`."""
    return "".join(part.capitalize() for name in names for part in name.split("_"))


def _may_happen(trigger: Trigger, state: State) -> bool:
    match trigger:
        case Trigger.RESUME:
            return state.outcome is not Outcome.DONE
        case Trigger.RUN_ABORTED:
            return state.kind is not StateKind.TERMINAL
        case Trigger.GATES_REFUSED:
            return state.kind is StateKind.GATE
        case _:
            return state.kind in {StateKind.STAGE, StateKind.GROUP}


def _what(lifecycle: Lifecycle, trigger: Trigger) -> tuple[str, ...]:
    """Return words for the states in which a trigger can happen, to follow `every`."""
    match trigger:
        case Trigger.RESUME:
            done = [one.name for one in lifecycle.state if one.outcome is Outcome.DONE]
            listed = [word for name in done for word in ("or", name)][1:]
            return ("state", "but", *listed) if listed else ("state",)
        case Trigger.RUN_ABORTED:
            return ("state", "before", "the", "end")
        case Trigger.GATES_REFUSED:
            return ("gate", "state")
        case _ if lifecycle.finally_stage is not None:
            return ("stage", "before", "the", "end")
        case _:
            return ("stage",)
