"""The edges that end a run whose time is up: every lifecycle has them, no file declares them.

They lead to an end that is not done, so they weaken nothing that is proved of a lifecycle.
"""

from __future__ import annotations

from fsm_orchestrator.lifecycle.model import Edge, Lifecycle
from fsm_orchestrator.vocabulary import Outcome, Trigger

_WHY = "the time of the run is up"


def time_edges(lifecycle: Lifecycle) -> tuple[Edge, ...]:
    """Return an edge from each state before the end to the state for a run whose time is up.

    That is the first end with the outcome timeout; without one, the state where an abort leads.
    """
    ends = (one.name for one in lifecycle.state if one.outcome is Outcome.TIMEOUT)
    end = next(ends, None)
    return tuple(
        Edge(Trigger.RUN_TIMED_OUT, edge.source, end or edge.dest, None, None, None, _WHY)
        for edge in lifecycle.edges
        if edge.trigger is Trigger.RUN_ABORTED
    )


def edges_from(lifecycle: Lifecycle, source: str, trigger: Trigger) -> tuple[Edge, ...]:
    """Return the edges tried when `trigger` happens in `source`, edges of time included."""
    if trigger is not Trigger.RUN_TIMED_OUT:
        return lifecycle.edges_from(source, trigger)
    return tuple(edge for edge in time_edges(lifecycle) if edge.source == source)
