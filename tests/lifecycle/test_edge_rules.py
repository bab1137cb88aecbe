"""Wrong and missing edges: each lifecycle refused here is wrong in exactly one way."""

from __future__ import annotations

import re
from operator import attrgetter

import pytest

from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle.reading import parse
from tests.support.lifecycle_cases import DEFAULT, Case, assert_refused, edge, edited, refused

START = 'source = "pending"\ndest = "gating"'
GATES_PASSED = 'source = "gating"\ndest = "manager"'
GATES_REFUSED = 'source = "gating"\ndest = "blocked"'
LOST_GATES = 'dest = "blocked"\nunless = "gates_hold"'
FAILED = '["manager", "executor"]\ndest = "failed"'
TIMED_OUT = '["manager", "executor"]\ndest = "timeout"'
ABORTED = '["pending", "gating", "manager", "executor"]\ndest = "failed"'
EXECUTOR = 'name = "executor"\nkind = "stage"'
RESUMED = '"blocked", "failed", "timeout"]\ndest = "gating"'


def without(*numbers: int) -> str:
    """Return the default lifecycle without the transitions of those numbers, counted from 1."""
    head, *transitions = re.split(r"(?=^\[\[transition\]\])", DEFAULT, flags=re.MULTILINE)
    kept = (text for number, text in enumerate(transitions, start=1) if number not in numbers)
    return "".join((head, *kept))


MISPLACED_EDGES = (
    refused(
        "gates pass in a stage",
        DEFAULT + edge("gates_passed", '"manager"', "executor"),
        "transition 12 (gates_passed from manager): gates_passed cannot happen in a state of"
        " kind stage; only stage_succeeded, stage_failed, stage_timed_out, run_aborted and"
        " resume can",
    ),
    refused(
        "a stage succeeds in a gate state",
        DEFAULT + edge("stage_succeeded", '"gating"', "manager"),
        "transition 12 (stage_succeeded from gating): stage_succeeded cannot happen in a state"
        " of kind gate; only gates_passed, gates_refused, run_aborted and resume can",
    ),
    refused(
        "a stage starts the run",
        DEFAULT + edge("start", '"manager"', "executor"),
        "transition 12 (start from manager): start cannot happen in a state of kind stage; only"
        " stage_succeeded, stage_failed, stage_timed_out, run_aborted and resume can",
    ),
    refused(
        "the initial state ends like a stage",
        DEFAULT + edge("stage_timed_out", '"pending"', "timeout"),
        "transition 12 (stage_timed_out from pending): stage_timed_out cannot happen in a state"
        " of kind initial; only start, run_aborted and resume can",
    ),
    refused(
        "a terminal state has an exit",
        DEFAULT + edge("run_aborted", '"blocked"', "failed"),
        "transition 12 (run_aborted from blocked): a terminal state has no exit other than resume",
    ),
    refused(
        "done can be resumed",
        edited((RESUMED, RESUMED.replace('"timeout"]', '"timeout", "done"]'))),
        "transition 11 (resume from done): a state with outcome done has no exit",
    ),
    refused(
        "done can be aborted",
        DEFAULT + edge("run_aborted", '"done"', "failed"),
        "transition 12 (run_aborted from done): a state with outcome done has no exit",
    ),
)

DESTINATIONS = (
    refused(
        "start leads to a terminal state",
        edited(
            (START, START.replace("gating", "failed")),
            (RESUMED, RESUMED.replace("gating", "failed")),
        ),
        "transition 1 (start from pending): leads to 'failed', a terminal state with outcome"
        " failed, not to a state of kind gate (gates_guard is stages)",
        "state 'gating': unreachable from 'pending'",
    ),
    refused(
        "start passes by the gates",
        edited(
            (START, START.replace("gating", "manager")),
            (RESUMED, RESUMED.replace("gating", "manager")),
        ),
        "transition 1 (start from pending): leads to 'manager', a state of kind stage, not to a"
        " state of kind gate (gates_guard is stages)",
        "state 'gating': unreachable from 'pending'",
    ),
    refused(
        "a resume passes by the gates",
        edited((RESUMED, RESUMED.replace("gating", "manager"))),
        "transition 11 (resume from pending, gating, manager, executor, blocked, failed and 1"
        " more): leads to 'manager', but start leads to 'gating', and a resume must too",
    ),
    refused(
        "one resume leads elsewhere",
        edited((RESUMED, RESUMED.replace(', "timeout"', "")))
        + edge("resume", '"timeout"', "executor"),
        "transition 12 (resume from timeout): leads to 'executor', but start leads to 'gating', and"
        " a resume must too",
    ),
    refused(
        "refused gates fail the run",
        edited((GATES_REFUSED, GATES_REFUSED.replace("blocked", "failed"))),
        "transition 3 (gates_refused from gating): leads to 'failed', a terminal state with"
        " outcome failed, not to a terminal state with outcome blocked",
    ),
    refused(
        "refused gates are passed by",
        edited((GATES_REFUSED, GATES_REFUSED.replace("blocked", "manager"))),
        "transition 3 (gates_refused from gating): leads to 'manager', a state of kind stage,"
        " not to a terminal state with outcome blocked",
    ),
    refused(
        "a failed stage is passed by",
        edited((FAILED, FAILED.replace('"manager", ', "")))
        + edge("stage_failed", '"manager"', "executor"),
        "transition 12 (stage_failed from manager): leads to 'executor', a state of kind stage,"
        " not to a terminal state with outcome failed",
    ),
    refused(
        "a failed stage is done",
        edited((FAILED, FAILED.replace('"failed"', '"done"'))),
        "transition 8 (stage_failed from manager, executor): leads to 'done', a terminal state"
        " with outcome done, not to a terminal state with outcome failed",
    ),
    refused(
        "a timed-out stage is done",
        edited((TIMED_OUT, TIMED_OUT.replace('"timeout"', '"done"'))),
        "transition 9 (stage_timed_out from manager, executor): leads to 'done', a terminal"
        " state with outcome done, not to a terminal state with outcome timeout or failed",
        "state 'timeout': unreachable from 'pending'",
    ),
    refused(
        "an aborted run is blocked",
        edited((ABORTED, ABORTED.replace('"failed"', '"blocked"'))),
        "transition 10 (run_aborted from pending, gating, manager, executor): leads to"
        " 'blocked', a terminal state with outcome blocked, not to a terminal state with outcome"
        " failed",
    ),
)

CONDITIONS = (
    refused(
        "start is guarded",
        edited((START, f'{START}\nguard = "gates_hold"')),
        "transition 1 (start from pending): has a condition; only edges for stage_succeeded,"
        " stage_declined, gates_passed and rework_requested may have one",
    ),
    refused(
        "a resume is guarded",
        edited((RESUMED, RESUMED.replace('"timeout"', "")))
        + edge("resume", '"timeout"', "gating", 'guard = "gates_hold"'),
        "transition 12 (resume from timeout): has a condition; only edges for stage_succeeded,"
        " stage_declined, gates_passed and rework_requested may have one",
    ),
    refused(
        "an abort is guarded",
        edited((ABORTED, f'{ABORTED}\nunless = "artifacts_intact"')),
        "transition 10 (run_aborted from pending, gating, manager, executor): has a condition;"
        " only edges for stage_succeeded, stage_declined, gates_passed and"
        " rework_requested may have one",
    ),
    refused(
        "an edge has two conditions",
        edited((LOST_GATES, f'{LOST_GATES}\nguard = "artifacts_intact"')),
        "transition 6 (stage_succeeded from executor): has guard and unless; an edge has at"
        " most one condition",
    ),
    refused(
        "the only edge is guarded",
        edited((GATES_PASSED, f'{GATES_PASSED}\nguard = "gates_hold"')),
        "transition 2 (gates_passed from gating): is the last one tried, so it may have no"
        " condition",
    ),
    refused(
        "the last edge is guarded",
        without(7) + edge("stage_succeeded", '"executor"', "done", 'guard = "gates_hold"'),
        "transition 11 (stage_succeeded from executor): is the last one tried, so it may have"
        " no condition",
    ),
    refused(
        "an unguarded edge stands before another",
        edited((LOST_GATES, 'dest = "blocked"')),
        "transition 6 (stage_succeeded from executor): has no condition, so transition 7 is"
        " never tried",
    ),
    refused(
        "two edges have one condition",
        edited((LOST_GATES, LOST_GATES.replace("gates_hold", "artifacts_intact"))),
        "transition 6 (stage_succeeded from executor): has the condition of transition 5",
    ),
    refused(
        "done is reached where a condition does not hold",
        edited((LOST_GATES, LOST_GATES.replace("blocked", "done"))),
        "transition 6 (stage_succeeded from executor): leads to 'done' only where gates_hold"
        " does not hold",
    ),
    refused(
        "done is reached where no guard before it held",
        edited((LOST_GATES, LOST_GATES.replace("unless", "guard"))),
        "transition 7 (stage_succeeded from executor): leads to 'done' only where gates_hold"
        " does not hold",
    ),
    refused(
        "two edges leave nothing to the last",
        edited(
            (LOST_GATES, LOST_GATES.replace('unless = "gates_hold', 'guard = "artifacts_intact'))
        ),
        "transition 6 (stage_succeeded from executor): holds whenever transition 5 does not, so no"
        " later edge is ever tried",
        "transition 7 (stage_succeeded from executor): leads to 'done' only where"
        " artifacts_intact does not hold",
    ),
    refused(
        "rework has no bound",
        edited((EXECUTOR, f'{EXECUTOR}\nexit_codes = {{ 9 = "rework" }}'))
        + edge("rework_requested", '"executor"', "manager"),
        "transition 12 (rework_requested from executor): leads to 'manager', a state of kind stage,"
        " not to a terminal state with outcome failed, and has no key 'at_most'",
        "state 'manager': is on an unbounded loop: manager --stage_succeeded--> executor"
        " --rework_requested--> manager",
    ),
    refused(
        "the run can start in two ways",
        DEFAULT + edge("start", '"pending"', "gating"),
        "transition 12 (start from pending): duplicates transition 1: only one unguarded edge"
        " is allowed here",
    ),
    refused(
        "the run can be aborted in two ways",
        DEFAULT + edge("run_aborted", '"gating"', "failed"),
        "transition 12 (run_aborted from gating): duplicates transition 10: only one unguarded edge"
        " is allowed here",
    ),
    refused(
        "a state can be resumed in two ways",
        DEFAULT + edge("resume", '"failed"', "gating"),
        "transition 12 (resume from failed): duplicates transition 11: only one unguarded edge"
        " is allowed here",
    ),
)

MISSING_EDGES = (
    refused(
        "an edge is missing: start",
        without(1),
        "state 'pending': lacks an edge for start",
        "state 'gating': unreachable from 'pending'",
    ),
    refused(
        "an edge is missing: gates passed",
        without(2),
        "state 'gating': lacks an edge for gates_passed",
        "state 'manager': unreachable from 'pending'",
    ),
    refused(
        "an edge is missing: gates refused",
        without(3),
        "state 'gating': lacks an edge for gates_refused",
    ),
    refused(
        "an edge is missing: stage succeeded",
        without(4),
        "state 'manager': lacks an edge for stage_succeeded",
        "state 'executor': unreachable from 'pending'",
    ),
)

REFUSED = (*MISPLACED_EDGES, *DESTINATIONS, *CONDITIONS, *MISSING_EDGES)

ACCEPTED = {
    "timeouts that fail the run, and no state for them": edited(
        (TIMED_OUT, TIMED_OUT.replace('"timeout"', '"failed"')),
        (RESUMED, RESUMED.replace(', "timeout"', "")),
        ('[[state]]\nname = "timeout"\nkind = "terminal"\noutcome = "timeout"\n', ""),
    ),
    "nothing tried before done": without(5, 6),
    "done where a guard holds": without(5, 6, 7)
    + edge("stage_succeeded", '"executor"', "done", 'guard = "artifacts_intact"')
    + edge("stage_succeeded", '"executor"', "failed"),
}


@pytest.mark.parametrize("case", REFUSED, ids=attrgetter("name"))
def test_edge_is_refused(case: Case) -> None:
    """A wrong edge is a usage error whose line names file, transition or state, and reason."""
    assert_refused(case)


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_unusual_edges_are_accepted(text: str) -> None:
    """An edge that breaks no rule is accepted, however unlike the default."""
    assert parse(text.encode(), "run.toml").initial == "pending"


def test_problems_of_edges_are_reported_together() -> None:
    """One refusal lists every broken rule for edges, so that a file is fixed in one go."""
    text = edited(
        (GATES_REFUSED, GATES_REFUSED.replace("blocked", "failed")),
        (EXECUTOR, EXECUTOR + "\n" + 'exit_codes = { 3 = "rework" }'),
    )
    with pytest.raises(LifecycleError) as refusal:
        parse(text.encode(), "run.toml")
    assert len(str(refusal.value).splitlines()) == 2
