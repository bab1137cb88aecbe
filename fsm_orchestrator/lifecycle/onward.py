"""The states that can follow in a run of a lifecycle, whatever happens in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsm_orchestrator.vocabulary import Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.lifecycle.model import Lifecycle


def onward_from(lifecycle: Lifecycle, state: str, *, may_loop: bool = True) -> list[str]:
    """Return a state or stage and every one that can follow in one invocation.

    A group brings its stages with it; the others of a group run beside a stage, not after it. Names
    of states that do not exist, which `verify` reports, are left out.
    """
    place = lifecycle.place_of(state)
    reached, followed = [place], False
    for source in reached:
        for edge in lifecycle.edges:
            is_onward = edge.source == source and edge.trigger is not Trigger.RESUME
            if not is_onward or not (may_loop or edge.at_most is None):
                continue
            followed |= edge.dest == place
            if edge.dest in lifecycle.states and edge.dest not in reached:
                reached.append(edge.dest)
    if place != state and not followed:
        reached.remove(place)
    named = [one for name in reached for one in lifecycle.states[name].stages or ()]
    behind = [one for one in named if one in lifecycle.states]
    return list(dict.fromkeys([state, *reached, *behind]))
