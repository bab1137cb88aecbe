"""Marks for additions, removals and changes on one picture of two lifecycles.

`lifecycle.diff` decides what differs, and whether that loosens anything. Pure.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from fsm_orchestrator.lifecycle.diff import LifecycleDiff
from fsm_orchestrator.lifecycle.diff_text import change_text, reordered_text
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, Transition
from fsm_orchestrator.rendering.diagram.labels import condition_of
from fsm_orchestrator.rendering.diagram.picture import Mark, Marks

_CAPTION_WIDTH: Final = 110
_LEGEND: Final = "+ bold: added; \u2212 dashed: removed; ~ changed"


def both_of(diff: LifecycleDiff) -> Lifecycle:
    """Return a lifecycle for drawing only, with the states and edges of both, new ones first."""
    old, new = diff.old, diff.new
    removed = [old.states[name] for name in diff.removed_states]
    is_renamed = old.name != new.name
    return Lifecycle.model_construct(
        schema_version=new.schema_version,
        name=new.name,
        title=f"what changes from {old.name}" if is_renamed else "what changes",
        initial=new.initial,
        gates_guard=new.gates_guard,
        gate=(*new.gate, *(one for one in old.gate if one.name in diff.removed_gates)),
        state=(*new.state, *removed),
        transition=(*new.transition, *map(_transition, diff.removed_edges)),
    )


def marks_of_change(diff: LifecycleDiff) -> Marks:
    """Return the marks for the lifecycle that `both_of` returns for the same difference."""
    changed: dict[str, tuple[str, ...]] = {
        one.name: tuple(map(change_text, one.changes)) for one in diff.changed_states
    }
    for old_name, name in diff.renamed_states:
        changed[name] = (f"was called {old_name}", *changed.get(name, ()))
    states: Mapping[str, Mark] = {
        **dict.fromkeys(diff.added_states, Mark.ADDED),
        **dict.fromkeys(diff.removed_states, Mark.REMOVED),
        **dict.fromkeys(changed, Mark.CHANGED),
    }
    edges: Mapping[Edge, Mark] = {
        **dict.fromkeys(diff.added_edges, Mark.ADDED),
        **dict.fromkeys(diff.removed_edges, Mark.REMOVED),
        **dict.fromkeys((after for _, after in diff.changed_edges), Mark.CHANGED),
    }
    return Marks(
        states=states,
        lines=changed,
        edges=edges,
        notes={after: _was(before, after) for before, after in diff.changed_edges},
        captions=tuple(_captions(diff)),
    )


def _transition(edge: Edge) -> Transition:
    """Return a transition of a single edge."""
    return Transition(**{**edge._asdict(), "source": (edge.source,)})


def _was(before: Edge, after: Edge) -> str:
    """Return the edge's previous condition, if that changed."""
    was = condition_of(before)
    if was == condition_of(after):
        return "(its reason changed)"
    return f"(was {was or 'always'})"


def _captions(diff: LifecycleDiff) -> Iterator[str]:
    yield f"verdict: {'no change' if diff.is_empty else diff.verdict.value}"
    for words in (*map(change_text, diff.changed_keys), *map(reordered_text, diff.reordered)):
        yield from textwrap.wrap(f"~ {words}", _CAPTION_WIDTH)
    yield _LEGEND
