"""Adds the edges that follow from the meanings of a stage's exit codes, if the file has none.

Works on the table of a file that is not judged yet, and leaves its faults to the layers that refuse
them. Proofs, digests and pictures show the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.vocabulary import Guard, Outcome, StateKind, Trigger

_WHY_DECLINED: Final = "the stage had nothing to do, and the run is done"
_WHY_BROKEN: Final = "an artifact that was good is gone or broken when the run would close"
_WHY_OWED: Final = "another stage was begun, and has not succeeded"
_WHY_REFUSED: Final = "a gate that passed at the start no longer does"
_WHY_BLOCKED: Final = "the stage said that it is blocked"


def with_exit_edges(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table with the missing edges for the meanings of exit codes.

    `stage_declined` leads to done, unless an artifact is broken, another stage was begun and did
    not succeed, or a gate does not hold; `stage_blocked` leads to blocked. If it is unclear which
    state that is, no edge is added.
    """
    states, transitions = _tables(table.get("state")), _tables(table.get("transition", []))
    if states is None or transitions is None:
        return table
    added = [edge for state in states for edge in _edges_of(state, states, transitions)]
    said = [_in_order(state) for state in states]
    return {**table, "state": said, "transition": [*transitions, *added]}


def _tables(value: object) -> list[dict[str, Any]] | None:
    """Return a list of tables, or None for anything else."""
    is_good = isinstance(value, list) and all(isinstance(one, dict) for one in value)
    return value if isinstance(value, list) and is_good else None


def _in_order(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state with sorted exit codes: files with the same meaning have the same digest."""
    codes = state.get("exit_codes")
    if not isinstance(codes, dict):
        return state
    ordered = sorted(codes.items(), key=lambda one: (len(one[0]), one[0]))
    return {**state, "exit_codes": dict(ordered)}


def _edges_of(
    state: Mapping[str, Any], states: list[dict[str, Any]], transitions: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    codes, name = state.get("exit_codes"), state.get("name")
    if state.get("kind") != StateKind.STAGE or not isinstance(codes, dict):
        return
    said = [one for one in codes.values() if isinstance(one, str)]
    ends = {outcome: _only_end(states, outcome) for outcome in Outcome}
    done, blocked, failed = (ends[one] for one in (Outcome.DONE, Outcome.BLOCKED, Outcome.FAILED))
    declined, is_blocked = Trigger.STAGE_DECLINED, Trigger.STAGE_BLOCKED
    if ExitMeaning.NOTHING_TO_DO in said and done and not _has(transitions, name, declined):
        for dest, guard, why in (
            (failed, Guard.ARTIFACTS_INTACT, _WHY_BROKEN),
            (failed, Guard.NOTHING_OWED, _WHY_OWED),
            (blocked, Guard.GATES_HOLD, _WHY_REFUSED),
        ):
            if dest:
                yield _edge(declined, name, dest, why, {"unless": guard.value})
        yield _edge(declined, name, done, _WHY_DECLINED)
    if ExitMeaning.BLOCKED in said and blocked and not _has(transitions, name, is_blocked):
        yield _edge(is_blocked, name, blocked, _WHY_BLOCKED)


def _only_end(states: list[dict[str, Any]], outcome: Outcome) -> str | None:
    """Return the only state with an outcome, or None if there is none or more than one."""
    names = [one.get("name") for one in states if one.get("outcome") == outcome]
    return names[0] if len(names) == 1 and isinstance(names[0], str) else None


def _has(transitions: list[dict[str, Any]], name: object, trigger: Trigger) -> bool:
    def names(source: object) -> bool:
        return name in source if isinstance(source, list) else name == source

    return any(one.get("trigger") == trigger and names(one.get("source")) for one in transitions)


def _edge(
    trigger: Trigger, source: Any, dest: str, why: str, condition: Mapping[str, str] | None = None
) -> dict[str, Any]:
    ends = {"trigger": trigger.value, "source": [source], "dest": dest}
    return {**ends, **(condition or {}), "why": why}
