"""Refuses groups whose stages do not fit together: only a group may enter its stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fsm_orchestrator.lifecycle.findings import (
    Finding,
    FindingKind,
    TransitionPlace,
    of_state,
    of_transition,
)
from fsm_orchestrator.lifecycle.model import Lifecycle, State
from fsm_orchestrator.text.phrases import suggestion
from fsm_orchestrator.vocabulary import StateKind


def group_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    """Yield a finding for each broken rule about groups."""
    for state in lifecycle.state:
        if state.kind is StateKind.GROUP:
            yield from _member_problems(lifecycle, state)
            continue
        if state.stages is not None:
            yield of_state(FindingKind.STAGES_OUT_OF_PLACE, state.name, kind=state.kind)
        if not state.fail_fast:
            yield of_state(FindingKind.FAIL_FAST_OUT_OF_PLACE, state.name, kind=state.kind)
    yield from _edge_problems(lifecycle)


def _member_problems(lifecycle: Lifecycle, group: State) -> Iterator[Finding]:
    if group.stages is None:
        yield of_state(FindingKind.NO_STAGES, group.name)
        return
    for name, count in Counter(group.stages).items():
        member = lifecycle.states.get(name)
        if count > 1:
            yield of_state(FindingKind.DUPLICATE_MEMBER, group.name, name=name)
        if member is None:
            stages = [one for one in lifecycle.stages if one not in lifecycle.group_of]
            hint = suggestion(name, stages)
            yield of_state(FindingKind.UNKNOWN_MEMBER, group.name, name=name, hint=hint)
            continue
        if member.kind is not StateKind.STAGE:
            found = member.outcome or member.kind
            yield of_state(FindingKind.MEMBER_OF_OTHER_KIND, group.name, name=name, found=found)
        elif member.exit_codes:
            yield of_state(FindingKind.MEMBER_WITH_EXIT_CODES, name, group=group.name)
        elif member.is_finally:
            yield of_state(FindingKind.MEMBER_THAT_ALWAYS_RUNS, name, group=group.name)
        other = lifecycle.group_of[name]
        if other != group.name:
            yield of_state(FindingKind.MEMBER_TWICE, group.name, name=name, other_group=other)


def _edge_problems(lifecycle: Lifecycle) -> Iterator[Finding]:
    for number, transition in enumerate(lifecycle.transition, start=1):
        place = TransitionPlace(number, transition.trigger, transition.source)
        for name in dict.fromkeys(transition.source):
            group = lifecycle.group_of.get(name)
            if group is not None:
                kind = FindingKind.SOURCE_IN_GROUP
                yield of_transition(kind, place, name=name, group=group)
        group = lifecycle.group_of.get(transition.dest)
        if group is not None:
            kind = FindingKind.DEST_IN_GROUP
            yield of_transition(kind, place, name=transition.dest, group=group)
