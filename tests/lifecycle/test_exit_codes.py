"""Meanings of exit codes in a lifecycle, the edges that follow, and what is proved about them."""

from __future__ import annotations

from operator import attrgetter

import pytest

from fsm_orchestrator.lifecycle.diff import DiffVerdict, diff
from fsm_orchestrator.lifecycle.reading import parse
from fsm_orchestrator.lifecycle.source import shipped_text
from fsm_orchestrator.lifecycle.verification import PROVED, proved
from fsm_orchestrator.vocabulary import Guard, Trigger
from tests.support.lifecycle_cases import Case, assert_refused, edge, edited, refused

EXECUTOR = 'name = "executor"\nkind = "stage"'
MANAGER = 'name = "manager"\nkind = "stage"'


def coded(stage: str, codes: str) -> str:
    """Return the default lifecycle with meanings of exit codes for one of its stages."""
    return edited((stage, f"{stage}\nexit_codes = {{ {codes} }}"))


CLOSURE = shipped_text("closure_gated").decode()
REFUSED = (
    refused(
        "a stage with nothing to do closes a run whose gates come later",
        CLOSURE.replace(EXECUTOR, f'{EXECUTOR}\nexit_codes = {{ 78 = "nothing_to_do" }}'),
        "state 'done': can be reached before gates policy, ci, review passed in this invocation:"
        " pending --start--> manager --stage_succeeded--> executor --stage_declined--> done",
    ),
    refused(
        "a stage with nothing to do closes a run in which a later one has failed",
        coded(MANAGER, '78 = "nothing_to_do"') + edge("stage_declined", '["manager"]', "done"),
        "state 'done': can be reached although 'executor' was entered and did not succeed: pending"
        " --start--> gating --gates_passed--> manager --stage_succeeded--> executor --resume-->"
        " gating --gates_passed--> manager --stage_declined--> done",
    ),
    refused(
        "a blocked stage fails the run",
        coded(EXECUTOR, '77 = "blocked"') + edge("stage_blocked", '["executor"]', "failed"),
        "transition 12 (stage_blocked from executor): leads to 'failed', a terminal state with"
        " outcome failed, not to a terminal state with outcome blocked",
    ),
    refused(
        "an edge for what a stage cannot say",
        edited() + edge("stage_declined", '["executor"]', "done"),
        "transition 12 (stage_declined from executor): stage_declined cannot happen in a state of"
        " kind stage; only stage_succeeded, stage_failed, stage_timed_out, run_aborted and resume"
        " can",
    ),
    refused(
        "nothing to do only because an artifact is broken",
        coded(EXECUTOR, '78 = "nothing_to_do"')
        + edge("stage_declined", '["executor"]', "done", 'unless = "artifacts_intact"')
        + edge("stage_declined", '["executor"]', "failed"),
        "transition 12 (stage_declined from executor): leads to 'done' only where"
        " artifacts_intact does not hold",
    ),
    refused(
        "two states to be blocked in",
        coded(EXECUTOR, '77 = "blocked"')
        + '\n[[state]]\nname = "stuck"\nkind = "terminal"\noutcome = "blocked"\n'
        + edge("resume", '["stuck"]', "gating"),
        "state 'executor': lacks an edge for stage_blocked",
        "state 'stuck': unreachable from 'pending'",
    ),
    refused(
        "a code that a shell means",
        coded(EXECUTOR, '127 = "nothing_to_do", 137 = "blocked"'),
        "state 'executor': key 'exit_codes' gives 127 a meaning, but a shell exits with this code"
        " when it does not find a command; choose another code",
        "state 'executor': key 'exit_codes' gives 137 a meaning, but a shell exits with this code"
        " when SIGKILL killed its last command; choose another code",
    ),
    refused(
        "no exit code",
        coded(EXECUTOR, '256 = "blocked"'),
        "state 'executor': key 'exit_codes' has a key that is no exit code; expected a table of"
        " exit codes from 1 to 255, each one of rework, nothing_to_do, blocked",
    ),
    refused(
        "no meaning",
        coded(EXECUTOR, '78 = "nothing"'),
        "state 'executor': key '78' is 'nothing'; expected one of rework, nothing_to_do, blocked;"
        " did you mean 'nothing_to_do'?",
    ),
    refused(
        "meanings in a gate state",
        edited(('kind = "gate"', 'kind = "gate"\nexit_codes = { 77 = "blocked" }')),
        "state 'gating': key 'exit_codes' is for states of kind stage, not gate",
    ),
)


@pytest.mark.parametrize("case", REFUSED, ids=attrgetter("name"))
def test_lifecycle_is_refused(case: Case) -> None:
    """The refusal names the state or edge, the reason, and the shortest walk if one shows it."""
    assert_refused(case)


def test_edges_that_are_left_out_follow_from_what_a_stage_says() -> None:
    """Edges to done and blocked follow from the meanings, behind those that the file declares."""
    codes = '77 = "blocked", 78 = "nothing_to_do"'
    lifecycle = parse(coded(EXECUTOR, codes).encode(), "run.toml")
    made = [
        (one.dest, one.unless) for one in lifecycle.edges_from("executor", Trigger.STAGE_DECLINED)
    ]
    assert made == [
        ("failed", Guard.ARTIFACTS_INTACT),
        ("failed", Guard.NOTHING_OWED),
        ("blocked", Guard.GATES_HOLD),
        ("done", None),
    ]
    assert [one.dest for one in lifecycle.edges_from("executor", Trigger.STAGE_BLOCKED)] == [
        "blocked"
    ]
    own = edge("stage_declined", '"executor"', "manager", "at_most = 1")
    last = edge("stage_declined", '["executor"]', "done")
    written = parse((coded(EXECUTOR, codes) + own + last).encode(), "run.toml")
    assert [one.at_most for one in written.edges_from("executor", Trigger.STAGE_DECLINED)] == [
        1,
        None,
    ]


def test_order_of_codes_is_no_difference() -> None:
    """Another order of codes keeps the digest, and a file without codes has its old digest."""
    one = parse(coded(EXECUTOR, '77 = "blocked", 9 = "nothing_to_do"').encode(), "run.toml")
    other = parse(coded(EXECUTOR, '9 = "nothing_to_do", 77 = "blocked"').encode(), "run.toml")
    assert one.sha256 == other.sha256
    assert one.sha256 != parse(edited().encode(), "run.toml").sha256


def test_stage_that_may_have_nothing_to_do_is_named_in_what_is_proved() -> None:
    """A stage that may have nothing to do is named in the claim about success before done."""
    claims = proved(parse(coded(MANAGER, '78 = "nothing_to_do"').encode(), "run.toml"))
    said = f"{PROVED[2]}, or had nothing to do and left by its edge for that: manager"
    assert said in claims
    assert PROVED[2] not in claims


def test_new_way_to_done_is_a_weakening() -> None:
    """The comparison shows that the stage need no longer have succeeded."""
    before, after = (
        parse(text.encode(), "run.toml")
        for text in (edited(), coded(EXECUTOR, '78 = "nothing_to_do"'))
    )
    assert diff(before, after).verdict is DiffVerdict.LOOSENS
