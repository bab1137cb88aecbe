"""The top of the page: the standing of the run."""

from __future__ import annotations

from dataclasses import dataclass

from fsm_orchestrator.explanation.explanation import Explanation
from fsm_orchestrator.explanation.origin_words import revision_of, starter_of
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.rendering.html.looks import STANDINGS, Look
from fsm_orchestrator.text.phrases import counted, span_ms
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import Standing


@dataclass(frozen=True, slots=True)
class Headline:
    """The standing of the run, for those who read no further.

    Attributes:
        look: the look of its standing.
        closure_ready: the value in the report, and whether it still holds.
        may_close: True if a supervisor may close the run.
        started_name: the label for the start of the first invocation that is kept here.
        started_at: the time of that start.
        started_by: who started it, and on which machine; None with a fixed clock.
        revision: the revision checked out for the latest invocation; None with a fixed clock.
        since_name: the label for the time since which it has been in that standing.
        at_work: the total time that the command was at work.
    """

    look: Look
    closure_ready: str
    may_close: bool
    started_name: str
    started_at: str
    started_by: str | None
    revision: str | None
    since_name: str
    at_work: str


def headline_of(view: InspectedRun, explanation: Explanation) -> Headline:
    """Return the standing of the run and what follows from it."""
    is_done = explanation.standing is Standing.DONE
    was_ready = view.report.closure_ready
    stale = "true when the report was written, but no longer"
    first = view.invocations[0]
    return Headline(
        look=STANDINGS[explanation.standing],
        closure_ready=("true" if is_done else stale) if was_ready else "false",
        may_close=was_ready and is_done,
        started_name="started" if first.number == 1 else f"invocation {first.number} started",
        started_at=first.started_at,
        started_by=None if first.origin is None else starter_of(first.origin),
        revision=_revision(view),
        since_name=_since_name(explanation.standing),
        at_work=_at_work(view),
    )


def _revision(view: InspectedRun) -> str | None:
    """Return the revision of the latest invocation, and whether all had the same one."""
    origin = view.report.origin
    if origin is None:
        return None
    said = {revision_of(one.origin) for one in view.invocations if one.origin is not None}
    shown = revision_of(origin)
    return shown if said == {shown} else f"{shown}; another for earlier invocations"


def _since_name(standing: Standing) -> str:
    if standing.is_held:
        return "in this state since"
    return "last seen" if standing is Standing.INTERRUPTED else "ended"


def _at_work(view: InspectedRun) -> str:
    """Return the total time that the command was at work, as far as it was recorded."""
    spans = [
        span_ms(one.started_at, one.finished_at)
        for one in view.invocations
        if one.finished_at is not None
    ]
    took = span_words(sum(spans))
    count = counted(view.invocation_count, "invocation")
    missing = len(view.invocations) - len(spans)
    moved = view.report.invocations_moved
    repeated = view.invocation_count - len(view.invocations) - moved
    if moved:
        count += f" (the first {moved} not counted)"
    if repeated:
        count += f", {repeated} of which only repeated another"
    if not spans:
        return f"not measured, in {count}"
    if missing:
        return f"{took} in {count}, not counting {missing} without a recorded end"
    return f"{took} in {count}"
