"""Adds the edges that a lifecycle file may leave out because they can lead to only one state.

Works on the table of a file before its shape is judged, and leaves what it does not understand
unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fsm_orchestrator.lifecycle.source import is_name
from fsm_orchestrator.vocabulary import Outcome, StateKind, Trigger

_Table = Mapping[str, Any]


class DefaultEdge(NamedTuple):
    """An edge that every state of some kinds has, whether the file declares it or not.

    Attributes:
        trigger: the fact on which it is taken.
        kinds: the kinds of the states that it leaves.
        outcomes: the outcomes that its dest may have; the first one in the file counts. None if it
            leads where `start` does.
        why: its reason.
    """

    trigger: Trigger
    kinds: frozenset[StateKind]
    outcomes: tuple[Outcome, ...]
    why: str


_STAGES: Final = frozenset({StateKind.STAGE, StateKind.GROUP})
_ALIVE: Final = frozenset({StateKind.INITIAL, StateKind.GATE, *_STAGES})

DEFAULT_EDGES: Final = (
    DefaultEdge(
        Trigger.STAGE_FAILED,
        _STAGES,
        (Outcome.FAILED,),
        "a stage exited non-zero, was killed, did not start, or left wrong artifacts",
    ),
    DefaultEdge(
        Trigger.STAGE_TIMED_OUT,
        _STAGES,
        (Outcome.TIMEOUT, Outcome.FAILED),
        "a stage outlived its time and was ended",
    ),
    DefaultEdge(
        Trigger.RUN_ABORTED,
        _ALIVE,
        (Outcome.FAILED,),
        "a signal ended the run, or its record could not be kept",
    ),
    DefaultEdge(
        Trigger.RESUME,
        _ALIVE | {StateKind.TERMINAL},
        (),
        "a resumed run begins again where start leads; completed stages are passed over",
    ),
)
"""The edges that are added, in this order."""


def with_default_edges(table: _Table) -> _Table:
    """Return the table with the edges that it leaves out, or the same table if none is missing.

    An edge is added only if it can lead to just one state: with two states of outcome `failed`, the
    file has to name one.
    """
    states, transitions = _tables(table.get("state")), _tables(table.get("transition", []))
    if states is None or transitions is None:
        return table
    added = [*_missing(states, transitions)]
    return {**table, "transition": [*transitions, *added]} if added else table


def _tables(value: object) -> list[_Table] | None:
    is_good = isinstance(value, list) and all(isinstance(one, dict) for one in value)
    return value if is_good and isinstance(value, list) else None


def _missing(states: Sequence[_Table], transitions: Sequence[_Table]) -> Iterator[_Table]:
    given = {
        (source, one.get("trigger"))
        for one in transitions
        for source in _names(one.get("source"))
        if isinstance(one.get("trigger"), str)
    }
    starts = {
        one.get("dest")
        for one in transitions
        if one.get("trigger") == Trigger.START and isinstance(one.get("dest"), str)
    }
    for edge in DEFAULT_EDGES:
        dests = starts if edge.trigger is Trigger.RESUME else _ends(states, edge.outcomes)
        sources = [
            name for name in _sources(states, edge.kinds) if (name, edge.trigger.value) not in given
        ]
        if sources and len(dests) == 1:
            yield {
                "trigger": edge.trigger.value,
                "source": sources,
                "dest": next(iter(dests)),
                "why": edge.why,
            }


def _ends(states: Sequence[_Table], outcomes: Sequence[Outcome]) -> set[str]:
    """Return the states with the first of the outcomes that any state has."""
    for outcome in outcomes:
        found = [one.get("name") for one in states if one.get("outcome") == outcome]
        if found:
            return {name for name in found if isinstance(name, str)}
    return set()


def _sources(states: Sequence[_Table], kinds: frozenset[StateKind]) -> Iterator[Any]:
    in_groups = {name for one in states for name in _names(one.get("stages", []))}
    for one in states:
        name, kind, is_done = one.get("name"), one.get("kind"), one.get("outcome") == Outcome.DONE
        is_open = not is_done and one.get("finally") is not True
        is_met = is_open and isinstance(kind, str) and kind in kinds
        if is_name(name) and name not in in_groups and is_met:
            yield name


def _names(source: object) -> Sequence[str]:
    names = source if isinstance(source, list) else [source]
    return [name for name in names if isinstance(name, str)]
