"""Judges whether a change of a lifecycle loosens its guarantees, tightens them, or neither.

It compares the facts that are certain on entering each stage and `done`, not their causes: a run is
as safe behind new gate states as behind the old ones. Pure; takes any lifecycles of the right
shape, refused ones too. diff_text.py turns the result into sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import Final, NamedTuple

from fsm_orchestrator.lifecycle.changes import (
    BoundChange,
    Change,
    EdgeOrder,
    EdgePair,
    GateChange,
    StateChange,
    changed_bounds,
    changed_edges,
    changed_gates,
    changed_keys,
    changed_states,
    renamed_states,
    with_names,
)
from fsm_orchestrator.lifecycle.findings import Finding
from fsm_orchestrator.lifecycle.guarantees import GATE_FACTS, Fact, Facts, Guarantees
from fsm_orchestrator.lifecycle.model import Edge, GatesGuard, Lifecycle
from fsm_orchestrator.lifecycle.proof import done_without_stages, unbound_gates
from fsm_orchestrator.lifecycle.rules import rule_problems
from fsm_orchestrator.lifecycle.walks import Walk
from fsm_orchestrator.vocabulary import Outcome

_DONE: Final = ""
"""The target for all states with outcome done, whatever their names; no state is named ""."""
_STRICTNESS: Final = tuple(GatesGuard)
_rank: Final = attrgetter("rank")


class DiffVerdict(StrEnum):
    """The effect of a change on the guarantees of a lifecycle."""

    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    NEITHER = "neither"


class LostFacts(NamedTuple):
    """Facts that are no longer certain on entering a state; `is_done` if that state is done."""

    facts: tuple[Fact, ...]
    is_done: bool


class EarlySignals(StrEnum):
    """The rule for a gate state after a stage, and signals typed before there was a result."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


class GuardChange(NamedTuple):
    """The old and the new value of what the gates guard."""

    was: GatesGuard
    now: GatesGuard


class EffectsClaim(StrEnum):
    """A change of the claim that a stage changes nothing but its artifacts."""

    MADE = "made"
    TAKEN_BACK = "taken_back"


class PassingValue(NamedTuple):
    """A change of the value that passes a gate."""

    gate: str
    was: str
    now: str


class GainedFacts(NamedTuple):
    """Facts that are now certain on entering a state, and were not before."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """A guarantee of only one of the two lifecycles.

    Attributes:
        target: the state for which it is guaranteed; "" for the lifecycle as a whole.
        cause: facts, a bound, a rule that is now broken, what the gates guard, what is claimed, or
            the value by which a gate passes.
        walk: a shortest walk of the new lifecycle that shows a loss, if a walk can.
    """

    target: str
    cause: (
        LostFacts
        | GainedFacts
        | BoundChange
        | Finding
        | GuardChange
        | EarlySignals
        | EffectsClaim
        | PassingValue
    )
    walk: Walk | None = None


@dataclass(frozen=True, slots=True)
class LifecycleDiff:
    """The differences between two lifecycles, and their effect.

    Renamed states have their new names everywhere except in `old` and `renamed_states`.

    Attributes:
        old: the old lifecycle.
        new: the new lifecycle.
        changed_keys: changes of the lifecycle as a whole.
        added_gates: names of gates that only `new` declares.
        removed_gates: names of gates that only `old` declares.
        changed_gates: gates that both declare and that differ.
        added_states: names of states only in `new`.
        removed_states: names of states only in `old`.
        renamed_states: (old name, new name) of renamed states.
        changed_states: states of both that differ.
        added_edges: edges only in `new`.
        removed_edges: edges only in `old`.
        changed_edges: (old, new) of the same source, trigger and dest, differing in the rest.
        reordered: the places where edges of both are tried in another order.
        loosenings: the guarantees that were lost.
        tightenings: the guarantees that were gained.
        verdict: the effect as a whole; a loosening outweighs any tightening.
    """

    old: Lifecycle
    new: Lifecycle
    changed_keys: tuple[Change, ...]
    added_gates: tuple[str, ...]
    removed_gates: tuple[str, ...]
    changed_gates: tuple[GateChange, ...]
    added_states: tuple[str, ...]
    removed_states: tuple[str, ...]
    renamed_states: tuple[tuple[str, str], ...]
    changed_states: tuple[StateChange, ...]
    added_edges: tuple[Edge, ...]
    removed_edges: tuple[Edge, ...]
    changed_edges: tuple[EdgePair, ...]
    reordered: tuple[EdgeOrder, ...]
    loosenings: tuple[Effect, ...]
    tightenings: tuple[Effect, ...]

    @property
    def verdict(self) -> DiffVerdict:
        """The effect of the change as a whole."""
        if self.loosenings:
            return DiffVerdict.LOOSENS
        return DiffVerdict.TIGHTENS if self.tightenings else DiffVerdict.NEITHER

    @property
    def is_empty(self) -> bool:
        """True if the two are the same, titles and reasons included."""
        return not any(
            (
                self.changed_keys,
                self.added_gates,
                self.removed_gates,
                self.changed_gates,
                self.added_states,
                self.removed_states,
                self.renamed_states,
                self.changed_states,
                self.added_edges,
                self.removed_edges,
                self.changed_edges,
                self.reordered,
            )
        )


class _Targets:
    """The stages that some walk of a lifecycle enters, and `_DONE` if one does."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self.lifecycle = lifecycle
        self.guarantees = Guarantees(lifecycle)
        self._done = [state.name for state in lifecycle.state if state.outcome is Outcome.DONE]
        at_states = self.guarantees.certain
        self.certain = {name: at_states[name] for name in lifecycle.stages if name in at_states}
        done = [at_states[name] for name in self._done if name in at_states]
        if done:
            self.certain[_DONE] = done[0].intersection(*done[1:])

    def states_of(self, target: str) -> frozenset[str]:
        """Return the states that a target stands for."""
        return frozenset(self._done if target == _DONE else [target])

    def name_of(self, target: str) -> str:
        """Return the name to show for a target."""
        return self._done[0] if target == _DONE else target


def diff(
    old: Lifecycle, new: Lifecycle, renamed: Mapping[str, str] = MappingProxyType({})
) -> LifecycleDiff:
    """Compare two lifecycles. Never raises for lifecycles of the right shape.

    `renamed` are states that are the same under another name, old to new; states that were renamed
    beyond doubt are found.
    """
    before = with_names(old, renamed)
    found = renamed_states(before, new)
    before = with_names(before, found)
    renamed = {**renamed, **found}
    edges = changed_edges(before, new)
    bounds = tuple(changed_bounds(before, new, edges.changed))
    was, now = _Targets(before), _Targets(new)
    return LifecycleDiff(
        old=old,
        new=new,
        changed_keys=changed_keys(before, new),
        added_gates=tuple(name for name in new.gates if name not in before.gates),
        removed_gates=tuple(name for name in before.gates if name not in new.gates),
        changed_gates=changed_gates(before, new),
        added_states=tuple(name for name in new.states if name not in before.states),
        removed_states=tuple(name for name in before.states if name not in new.states),
        renamed_states=tuple(renamed.items()),
        changed_states=changed_states(before, new),
        added_edges=edges.added,
        removed_edges=edges.removed,
        changed_edges=edges.changed,
        reordered=edges.reordered,
        loosenings=(
            *_lost_guarantees(was, now),
            *_broken_promises(before, new),
            *(Effect(one.state, one) for one in bounds if one.is_looser),
            *_changed_passing_values(before, new),
            *_changed_guard(before, new, is_looser=True),
            *_changed_claims(before, new, EffectsClaim.MADE),
            *_changed_early_signals(before, new, EarlySignals.ACCEPTED),
        ),
        tightenings=(
            *_gained_guarantees(was, now),
            *(Effect(one.state, one) for one in bounds if not one.is_looser),
            *_changed_guard(before, new, is_looser=False),
            *_changed_claims(before, new, EffectsClaim.TAKEN_BACK),
            *_changed_early_signals(before, new, EarlySignals.REFUSED),
        ),
    )


def _lost_guarantees(was: _Targets, now: _Targets) -> Iterator[Effect]:
    for target, facts in now.certain.items():
        owed = was.certain.get(target, frozenset()) | _owed_gates(was, now, target)
        yield from _loosenings(now, target, owed - facts)


def _owed_gates(was: _Targets, now: _Targets, target: str) -> Facts:
    """Return the gates that a target newly requires, or that every stage had before it."""
    is_known = target in was.certain
    if target == _DONE:
        return frozenset() if is_known else GATE_FACTS
    if now.lifecycle.is_guarded(target):
        is_asked_before = is_known and was.lifecycle.is_guarded(target)
        return frozenset() if is_asked_before else GATE_FACTS
    stages = [facts for stage, facts in was.certain.items() if stage != _DONE]
    if is_known or not stages:
        return frozenset()
    return GATE_FACTS.intersection(*stages)


def _loosenings(now: _Targets, target: str, missing: Facts) -> Iterator[Effect]:
    """Yield the missing facts, grouped by the walk that shows them."""
    by_walk: dict[Walk | None, list[Fact]] = {}
    for fact in sorted(missing, key=_rank):
        walk = now.guarantees.walk_without(now.states_of(target), fact)
        by_walk.setdefault(walk, []).append(fact)
    for walk, facts in by_walk.items():
        name = walk[-1].dest if walk else now.name_of(target)
        yield Effect(name, LostFacts(tuple(facts), target == _DONE), walk)


def _gained_guarantees(was: _Targets, now: _Targets) -> Iterator[Effect]:
    for target, facts in now.certain.items():
        gained = sorted(facts - was.certain[target], key=_rank) if target in was.certain else ()
        if gained:
            yield Effect(now.name_of(target), GainedFacts(tuple(gained)))


def _broken_promises(old: Lifecycle, new: Lifecycle) -> Iterator[Effect]:
    """Yield the findings that are new in `new`; `_lost_guarantees` covers gates."""
    known = {finding.key for finding in _promises(old)}
    for finding in _promises(new):
        if finding.key not in known:
            yield Effect(finding.state or "", finding, finding.walk)


def _promises(lifecycle: Lifecycle) -> Iterable[Finding]:
    return (
        *rule_problems(lifecycle),
        *unbound_gates(lifecycle),
        *done_without_stages(lifecycle),
    )


def _changed_guard(old: Lifecycle, new: Lifecycle, *, is_looser: bool) -> Iterator[Effect]:
    was, now = (_STRICTNESS.index(one.gates_guard) for one in (old, new))
    if (now > was) if is_looser else (now < was):
        yield Effect("", GuardChange(old.gates_guard, new.gates_guard))


def _changed_claims(old: Lifecycle, new: Lifecycle, now: EffectsClaim) -> Iterator[Effect]:
    """Yield the stages of both whose claim has changed to `now`."""
    for name in new.stages:
        claims = [name in one.without_effects for one in (old, new)]
        if name in old.stages and claims == (
            [False, True] if now is EffectsClaim.MADE else [True, False]
        ):
            yield Effect(name, now)


def _changed_early_signals(old: Lifecycle, new: Lifecycle, now: EarlySignals) -> Iterator[Effect]:
    is_accepted = now is EarlySignals.ACCEPTED
    if old.accepts_early_signals is not new.accepts_early_signals is is_accepted:
        yield Effect("", now)


def _changed_passing_values(old: Lifecycle, new: Lifecycle) -> Iterator[Effect]:
    """Yield the gates that another value passes: the old value promised something else."""
    for name, rule in new.gates.items():
        before = old.gates.get(name)
        if before is not None and before.passing != rule.passing:
            yield Effect("", PassingValue(name, before.passing, rule.passing))
