"""Drafts the edges that a lifecycle lacks, for a person to paste into its file and check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from fsm_orchestrator.lifecycle.default_edges import DEFAULT_EDGES
from fsm_orchestrator.lifecycle.edge_rules import OUTCOMES
from fsm_orchestrator.lifecycle.findings import Finding, FindingKind
from fsm_orchestrator.lifecycle.model import Lifecycle, Transition
from fsm_orchestrator.vocabulary import Guard, Outcome, StateKind, Trigger

_ENDS: Final[Mapping[Trigger, tuple[Outcome, ...]]] = {
    **OUTCOMES,
    Trigger.STAGE_DECLINED: (Outcome.DONE,),
    Trigger.REWORK_REQUESTED: (Outcome.FAILED,),
}
"""The outcomes that a trigger ends a run with."""
_WHY: Final[Mapping[Trigger, str]] = {
    **{edge.trigger: edge.why for edge in DEFAULT_EDGES},
    Trigger.START: "a run begins here",
    Trigger.GATES_PASSED: "the gates that are judged here passed in this invocation",
    Trigger.GATES_REFUSED: "a missing or non-pass signal blocks the run",
    Trigger.STAGE_SUCCEEDED: "the stage succeeded, its artifacts are good",
    Trigger.STAGE_DECLINED: "the stage had nothing to do",
    Trigger.STAGE_BLOCKED: "the stage said that it is blocked",
    Trigger.REWORK_REQUESTED: "rework was asked for, and there is no way back",
}


_CLOSING: Final = (
    (Outcome.FAILED, Guard.ARTIFACTS_INTACT, "an artifact that was good is gone or broken"),
    (Outcome.BLOCKED, Guard.GATES_HOLD, "a gate that passed no longer does"),
)
"""The conditions that keep a run from `done` although its last state succeeded."""


def missing_edges(lifecycle: Lifecycle, findings: Iterable[Finding]) -> list[Transition]:
    """Return transitions for the missing edges, grouped by trigger and dest.

    The way onward is a guess: to the next state in the file. If no state can be the dest, there is
    no edge: the file lacks that state.
    """
    sources: dict[_Way, list[str]] = {}
    for finding in findings:
        if finding.kind is FindingKind.MISSING_EDGE and finding.state is not None:
            for way in _ways(lifecycle, finding.state, Trigger(finding.values["trigger"])):
                sources.setdefault(way, []).append(finding.state)
    return [
        Transition(
            trigger=way.trigger, source=tuple(names), dest=way.dest, unless=way.unless, why=way.why
        )
        for way, names in sources.items()
    ]


class _Way(NamedTuple):
    trigger: Trigger
    dest: str
    unless: Guard | None
    why: str


def _ways(lifecycle: Lifecycle, source: str, trigger: Trigger) -> Iterator[_Way]:
    """Yield the ways out of a state, in the order in which they are tried."""
    dest = _dest(lifecycle, source, trigger)
    if dest is None:
        return
    if lifecycle.states[dest].outcome is Outcome.DONE:
        for outcome, guard, why in _CLOSING:
            if (end := _end(lifecycle, (outcome,))) is not None:
                yield _Way(trigger, end, guard, why)
    yield _Way(trigger, dest, None, _WHY[trigger])


def _dest(lifecycle: Lifecycle, source: str, trigger: Trigger) -> str | None:
    if trigger in _ENDS:
        return _end(lifecycle, _ENDS[trigger])
    if trigger is Trigger.RESUME:
        starts = lifecycle.edges_from(lifecycle.initial, Trigger.START)
        return starts[0].dest if starts else None
    onward = (one for one in lifecycle.state if one.name not in lifecycle.group_of)
    names = [one.name for one in onward if one.kind is not StateKind.TERMINAL]
    later = names[names.index(source) + 1 :]
    return later[0] if later else _end(lifecycle, (Outcome.DONE,))


def _end(lifecycle: Lifecycle, outcomes: Iterable[Outcome]) -> str | None:
    for outcome in outcomes:
        for state in lifecycle.state:
            if state.outcome is outcome:
                return state.name
    return None
