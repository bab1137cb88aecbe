"""Compares two lifecycles part by part: states, edges, bounds, renamed states.

diff.py judges whether a difference loosens anything; only bounds already say it, as more is looser.
Takes any lifecycles of the right shape, refused ones too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, State
from fsm_orchestrator.lifecycle.own_gate import OwnGate
from fsm_orchestrator.model.limits import DEFAULT_LIMITS
from fsm_orchestrator.model.retry_policy import DEFAULT_RETRY, RetryPolicy
from fsm_orchestrator.vocabulary import Trigger

BOUNDS: Final = ("timeout_ms", "kill_grace_ms", "idle_timeout_ms", "output_limit_bytes")
"""The limits that restrain a stage; `slow_after_ms` only reports."""

EdgePair = tuple[Edge, Edge]
"""The old and the new form of an edge, with the same source, trigger and dest."""


class Change(NamedTuple):
    """A key with another value; None if a file leaves it out, so that `default` counts."""

    key: str
    was: object
    now: object
    default: int | None = None


class RetriedCodes(NamedTuple):
    """Exit codes, or signals, after which a stage is now retried, or no longer."""

    codes: tuple[int, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StateChange:
    """A state of both lifecycles, and its changes."""

    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class GateChange:
    """A gate that both lifecycles declare, and its changes."""

    name: str
    changes: tuple[Change, ...]


class EdgeOrder(NamedTuple):
    """The order in which edges are tried for a trigger in a state."""

    trigger: Trigger
    source: str


@dataclass(frozen=True, slots=True)
class EdgeChanges:
    """The differences between edges; `reordered` has where kept ones are tried in another order."""

    added: tuple[Edge, ...]
    removed: tuple[Edge, ...]
    changed: tuple[EdgePair, ...]
    reordered: tuple[EdgeOrder, ...]


@dataclass(frozen=True, slots=True)
class BoundChange:
    """A bound of a state, or of an edge out of it, that was raised, removed or lowered."""

    state: str
    what: Change | RetriedCodes
    is_looser: bool
    edge: Edge | None = None


def renamed_states(old: Lifecycle, new: Lifecycle) -> dict[str, str]:
    """Return the states that were only renamed, old name to new.

    A renamed stage would otherwise be reported as a loosening, as its success is no longer certain.
    Only renames beyond doubt count: the same content and the same edges, apart from names that are
    not in both lifecycles, and no other state like it.
    """
    gone = [name for name in old.states if name not in new.states]
    come = [name for name in new.states if name not in old.states]
    common = set(old.states) & set(new.states)
    before = _by_signature(old, gone, common)
    after = _by_signature(new, come, common)
    return {
        names[0]: after[signature][0]
        for signature, names in before.items()
        if len(names) == 1 and len(after.get(signature, ())) == 1
    }


def with_names(lifecycle: Lifecycle, renamed: Mapping[str, str]) -> Lifecycle:
    """Return the lifecycle with states renamed wherever they are named."""
    if not renamed:
        return lifecycle

    def new_of(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(renamed.get(name, name) for name in names)

    # Neither model_copy nor dict(): both would keep the cached values of the original.
    values: dict[str, Any] = {key: getattr(lifecycle, key) for key in Lifecycle.model_fields}
    values["initial"] = renamed.get(lifecycle.initial, lifecycle.initial)
    values["state"] = tuple(
        state.model_copy(
            update={
                "name": renamed.get(state.name, state.name),
                "stages": None if state.stages is None else new_of(state.stages),
            }
        )
        for state in lifecycle.state
    )
    values["transition"] = tuple(
        transition.model_copy(
            update={
                "source": new_of(transition.source),
                "dest": renamed.get(transition.dest, transition.dest),
            }
        )
        for transition in lifecycle.transition
    )
    return Lifecycle(**values)


def changed_keys(old: Lifecycle, new: Lifecycle) -> tuple[Change, ...]:
    """Return the changes of the lifecycle as a whole."""
    keys = ("name", "title", "initial", "gates_guard", "accepts_early_signals")
    changes = (Change(key, getattr(old, key), getattr(new, key)) for key in keys)
    return tuple(change for change in changes if change.was != change.now)


def changed_gates(old: Lifecycle, new: Lifecycle) -> tuple[GateChange, ...]:
    """Return the gates that both declare and that differ."""
    before = {one.name: one for one in old.gate}
    changes = (
        GateChange(
            one.name,
            tuple(
                Change(key, was, now)
                for key in OwnGate.model_fields
                if (was := getattr(before[one.name], key)) != (now := getattr(one, key))
            ),
        )
        for one in new.gate
        if one.name in before
    )
    return tuple(change for change in changes if change.changes)


def changed_states(old: Lifecycle, new: Lifecycle) -> tuple[StateChange, ...]:
    """Return the states of both that differ."""
    changes = (
        StateChange(name, tuple(_state_changes(old, new, name)))
        for name in new.states
        if name in old.states
    )
    return tuple(change for change in changes if change.changes)


def changed_edges(old: Lifecycle, new: Lifecycle) -> EdgeChanges:
    """Pair equal edges first, then the remaining ones of the same ends, in file order."""
    added: list[Edge] = []
    removed: list[Edge] = []
    pairs: list[EdgePair] = []
    kept = Counter(old.edges) & Counter(new.edges)
    before = _left_over(old, kept)
    after = _left_over(new, kept)
    for ends in dict.fromkeys((*before, *after)):
        for one, other in zip_longest(before.get(ends, ()), after.get(ends, ())):
            if other is None:
                removed.append(one)
            elif one is None:
                added.append(other)
            else:
                pairs.append((one, other))
    return EdgeChanges(tuple(added), tuple(removed), tuple(pairs), _reordered(old, new, kept))


def changed_bounds(
    old: Lifecycle, new: Lifecycle, pairs: tuple[EdgePair, ...]
) -> Iterator[BoundChange]:
    """Yield the bounds, of states and edges in both, that are now looser or tighter."""
    for name in new.stages:
        if name in old.stages:
            yield from _stage_bounds(old.states[name], new.states[name])
    for before, after in pairs:
        if before.at_most != after.at_most:
            change = Change("at_most", before.at_most, after.at_most)
            is_looser = _as_bound(after.at_most) > _as_bound(before.at_most)
            yield BoundChange(after.source, change, is_looser, after)


def _stage_bounds(old: State, new: State) -> Iterator[BoundChange]:
    """Compare the values that count: the default if a key is left out."""
    for key in BOUNDS:
        default = getattr(DEFAULT_LIMITS, key)
        before, after = getattr(old, key), getattr(new, key)
        counts = [_as_bound(default if value is None else value) for value in (before, after)]
        if counts[0] != counts[1]:
            change = Change(key, before, after, default)
            yield BoundChange(new.name, change, counts[1] > counts[0])
    was, is_ = ((one.retry or RetryPolicy()).over(DEFAULT_RETRY) for one in (old, new))
    for key in ("max_attempts", "timeouts"):
        before, after = getattr(was, key), getattr(is_, key)
        if before != after:
            yield BoundChange(new.name, Change(f"retry.{key}", before, after), after > before)
    for key in ("exit_codes", "killed_by"):
        codes = [set(getattr(policy, key) or ()) for policy in (was, is_)]
        for differing, is_looser in ((codes[1] - codes[0], True), (codes[0] - codes[1], False)):
            if differing:
                yield BoundChange(new.name, RetriedCodes(tuple(sorted(differing))), is_looser)


def _as_bound(value: int | None) -> float:
    return float("inf") if value is None else value


def _state_changes(old: Lifecycle, new: Lifecycle, name: str) -> Iterator[Change]:
    was, is_ = old.states[name], new.states[name]
    for key in State.model_fields:
        before, after = getattr(was, key), getattr(is_, key)
        if key == "gates":
            before, after = old.judged_in(was), new.judged_in(is_)
        if before == after:
            continue
        if key != "retry":
            yield Change(key, before, after)
            continue
        for part in RetryPolicy.model_fields:
            values = [getattr(policy, part, None) for policy in (before, after)]
            if values[0] != values[1]:
                yield Change(f"retry.{part}", *values)


def _reordered(old: Lifecycle, new: Lifecycle, kept: Counter[Edge]) -> tuple[EdgeOrder, ...]:
    """Return the places where edges that both have are tried in another order."""
    before, after = _orders(old, kept), _orders(new, kept)
    return tuple(order for order, edges in after.items() if edges != before.get(order, edges))


def _orders(lifecycle: Lifecycle, kept: Counter[Edge]) -> Mapping[EdgeOrder, list[Edge]]:
    orders: dict[EdgeOrder, list[Edge]] = {}
    for edge in dict.fromkeys(lifecycle.edges):
        if edge in kept:
            orders.setdefault(EdgeOrder(edge.trigger, edge.source), []).append(edge)
    return orders


def _left_over(lifecycle: Lifecycle, kept: Counter[Edge]) -> Mapping[Hashable, list[Edge]]:
    """Return the edges that are not kept, by their ends and trigger."""
    still = kept.copy()
    left: dict[Hashable, list[Edge]] = {}
    for edge in lifecycle.edges:
        if still[edge] > 0:
            still[edge] -= 1
        else:
            left.setdefault((edge.source, edge.trigger, edge.dest), []).append(edge)
    return left


def _by_signature(
    lifecycle: Lifecycle, names: list[str], common: set[str]
) -> Mapping[Hashable, list[str]]:
    found: dict[Hashable, list[str]] = {}
    for name in names:
        found.setdefault(_signature(lifecycle, name, common), []).append(name)
    return found


def _signature(lifecycle: Lifecycle, name: str, common: set[str]) -> Hashable:
    """Return everything about a state except the names that are not in both lifecycles."""

    def neutral(other: str) -> str:
        return "=" if other == name else other if other in common else "?"

    edges = Counter(
        edge._replace(source=neutral(edge.source), dest=neutral(edge.dest))
        for edge in lifecycle.edges
        if name in (edge.source, edge.dest)
    )
    content = lifecycle.states[name].model_copy(update={"name": "x"})
    return content.model_dump_json(), frozenset(edges.items()), lifecycle.initial == name
