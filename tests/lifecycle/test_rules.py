"""Names, kinds and reachability: each lifecycle refused here is wrong in exactly one way."""

from __future__ import annotations

from operator import attrgetter

import pytest

from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle import rules
from fsm_orchestrator.lifecycle.reading import parse
from fsm_orchestrator.model.option_kinds import Kind, StageOption
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.vocabulary import Gate
from tests.support.lifecycle_cases import DEFAULT, Case, assert_refused, edge, edited, refused

GATES_PASSED = 'source = "gating"\ndest = "manager"'
MANAGER_SUCCEEDED = 'source = "manager"\ndest = "executor"'
BROKEN_ARTIFACTS = 'dest = "failed"\nunless = "artifacts_intact"'
LOST_GATES = 'dest = "blocked"\nunless = "gates_hold"'
FAILED = '["manager", "executor"]\ndest = "failed"'
MANAGER = 'name = "manager"\nkind = "stage"'
GATES_REORDERED = 'gates = ["review", "ci", "policy"]'
GATES = 'gates = ["policy", "ci", "review"]'


def state(name: str, kind: str, more: str = "") -> str:
    """Return a `[[state]]` to append to a lifecycle."""
    return f'\n[[state]]\nname = "{name}"\nkind = "{kind}"\n{more}\n'


DECLARATIONS = (
    refused(
        "a state is declared twice",
        DEFAULT + state("failed", "terminal", 'outcome = "failed"'),
        "state 'failed': duplicate name, declared more than once",
    ),
    refused(
        "a source is listed twice",
        edited((FAILED, FAILED.replace('["manager"', '["manager", "manager"'))),
        "transition 8 (stage_failed from manager, manager, executor): duplicate 'manager' in"
        " key 'source'",
    ),
    refused(
        "a transition has no source",
        DEFAULT + edge("stage_failed", "[]", "failed"),
        "transition 12 (stage_failed from nowhere): key 'source' is empty",
    ),
    refused(
        "a source is unknown",
        edited((GATES_PASSED, GATES_PASSED.replace("gating", "gatng"))),
        "transition 2 (gates_passed from gatng): unknown source 'gatng'; did you mean 'gating'?",
    ),
    refused(
        "a dest is unknown",
        edited((MANAGER_SUCCEEDED, MANAGER_SUCCEEDED.replace("executor", "nowhere"))),
        "transition 4 (stage_succeeded from manager): unknown dest 'nowhere'",
    ),
    refused(
        "the initial state is unknown",
        edited(('initial = "pending"', 'initial = "pendign"')),
        "key 'initial' names an unknown state 'pendign'; did you mean 'pending'?",
    ),
    refused(
        "the initial state is of another kind",
        edited(('initial = "pending"', 'initial = "gating"')),
        "state 'gating': key 'initial' names this state, but it is of kind gate, not initial",
    ),
    refused(
        "a second state is of kind initial",
        DEFAULT + state("waiting", "initial"),
        "state 'waiting': is a second state of kind initial besides 'pending'",
    ),
    refused(
        "a stage has gates",
        edited((MANAGER, f'{MANAGER}\ngates = ["ci"]')),
        "state 'manager': key 'gates' is for states of kind gate, not stage",
    ),
    refused(
        "a gate state has an empty list of gates",
        edited((GATES, "gates = []")),
        "state 'gating': key 'gates' is empty; leave it out to judge all of them",
    ),
    refused(
        "a gate is unknown",
        edited((GATES, 'gates = ["policy", "ci", "reviews"]')),
        "state 'gating': key 'gates' lists 'reviews', which is none of policy, ci and review;"
        " did you mean 'review'?",
    ),
    refused(
        "a gate is listed twice",
        edited((GATES, 'gates = ["policy", "ci", "ci", "review"]')),
        "state 'gating': duplicate 'ci' in key 'gates'",
    ),
    refused(
        "a terminal state has no outcome",
        edited(('kind = "terminal"\noutcome = "blocked"', 'kind = "terminal"')),
        "state 'blocked': key 'outcome' is missing; a terminal state says how the run ended",
    ),
    refused(
        "a stage has an outcome",
        edited((MANAGER, f'{MANAGER}\noutcome = "failed"')),
        "state 'manager': key 'outcome' is for states of kind terminal, not stage",
    ),
    refused(
        "a gate state has a timeout",
        edited((GATES, f"{GATES}\ntimeout_ms = 5")),
        "state 'gating': key 'timeout_ms' is for states of kind stage, not gate",
    ),
    refused(
        "a retry is after nothing",
        edited((MANAGER, f"{MANAGER}\nretry = {{ max_attempts = 2 }}")),
        "state 'manager': key 'retry' has none of exit_codes, killed_by and timeouts, so nothing is"
        " ever tried again",
    ),
    refused(
        "an exit code asks for rework and for a retry",
        edited(
            (MANAGER, f'{MANAGER}\nexit_codes = {{ 7 = "rework" }}\nretry = {{ exit_codes = [7] }}')
        ),
        "state 'manager': exit code 7 means rework, so it cannot be in retry.exit_codes too",
    ),
    refused(
        "two stages share an option",
        DEFAULT + state("manager_idle", "stage"),
        "state 'manager_idle': its option --manager-idle-timeout is also an option of 'manager'",
    ),
    refused(
        "no state has outcome done",
        edited(('outcome = "done"', 'outcome = "failed"')),
        "no terminal state has outcome done",
    ),
    refused(
        "two states have outcome done",
        edited(('outcome = "timeout"', 'outcome = "done"')),
        "state 'timeout': has outcome done, as 'done' has; only one state may",
    ),
)

REACH = (
    refused(
        "a state cannot be reached",
        DEFAULT
        + state("stranded", "terminal", 'outcome = "failed"')
        + edge("resume", '"stranded"', "gating"),
        "state 'stranded': unreachable from 'pending'",
    ),
    refused(
        "a stage repeats itself",
        edited((MANAGER_SUCCEEDED, f'{MANAGER_SUCCEEDED}\nguard = "artifacts_intact"'))
        + edge("stage_succeeded", '"manager"', "manager"),
        "state 'manager': is on an unbounded loop: manager --stage_succeeded--> manager",
    ),
    refused(
        "a stage leads back to the one before it",
        edited((BROKEN_ARTIFACTS, BROKEN_ARTIFACTS.replace("failed", "manager"))),
        "state 'manager': is on an unbounded loop: manager --stage_succeeded--> executor"
        " --stage_succeeded--> manager",
    ),
    refused(
        "a stage leads back to the gates",
        edited((LOST_GATES, LOST_GATES.replace("blocked", "gating"))),
        "state 'gating': is on an unbounded loop: gating --gates_passed--> manager"
        " --stage_succeeded--> executor --stage_succeeded--> gating",
    ),
    refused(
        "a state has no way out",
        edited(
            (LOST_GATES, LOST_GATES.replace("blocked", "trap")),
            ('outcome = "timeout"', 'outcome = "failed"'),  # so that no edge is a default one
        )
        + state("trap", "stage")
        + edge("stage_succeeded", '"trap"', "trap"),
        "state 'trap': lacks an edge for stage_failed",
        "state 'trap': lacks an edge for stage_timed_out",
        "state 'trap': lacks an edge for run_aborted",
        "state 'trap': has no way to a terminal state",
        "state 'trap': is on an unbounded loop: trap --stage_succeeded--> trap",
    ),
)

EXHAUSTED = (
    state("recheck", "gate")
    + edge("gates_passed", '"recheck"', "executor", "at_most = {again}")
    + edge("gates_passed", '"recheck"', "failed")
    + edge("gates_refused", '"recheck"', "blocked")
    + edge("run_aborted", '"recheck"', "failed")
    + edge("resume", '"recheck"', "gating")
)
TO_RECHECK = (LOST_GATES, 'dest = "recheck"\nat_most = 2')

BOUNDS = (
    refused(
        "an edge is behind one that no run can use up",
        edited(TO_RECHECK) + EXHAUSTED.format(again=2),
        "transition 13 (gates_passed from recheck): can never be taken: 'recheck' is entered at"
        " most 2 times in a run, and the edges before it take them all",
    ),
    refused(
        "an edge with at_most is on no loop",
        edited((LOST_GATES, LOST_GATES.replace('unless = "gates_hold"', "at_most = 2"))),
        "transition 6 (stage_succeeded from executor): has the key 'at_most', but is on no loop",
    ),
)

REFUSED = (*DECLARATIONS, *REACH, *BOUNDS)


@pytest.mark.parametrize("case", REFUSED, ids=attrgetter("name"))
def test_unsound_lifecycle_is_refused(case: Case) -> None:
    """A contradiction is a usage error that names the file, the part and the reason."""
    assert_refused(case)


def test_edge_behind_one_that_is_used_up_is_accepted() -> None:
    """An edge that a run takes once the edge before it is used up is not dead."""
    text = edited(TO_RECHECK) + EXHAUSTED.format(again=1)
    assert len(parse(text.encode(), "run.toml").loops) == 2


def test_names_are_judged_before_edges() -> None:
    """A misspelled name is reported alone, without its consequences for edges and walks."""
    text = edited((MANAGER_SUCCEEDED, MANAGER_SUCCEEDED.replace("executor", "exeutor")))
    with pytest.raises(LifecycleError) as refusal:
        parse(text.encode(), "run.toml")
    assert str(refusal.value) == (
        "run.toml: transition 4 (stage_succeeded from manager):"
        " unknown dest 'exeutor'; did you mean 'executor'?"
    )


@pytest.mark.parametrize("text", [edited((GATES, "")), edited((GATES, GATES_REORDERED))])
def test_gates_are_judged_in_their_own_order(text: str) -> None:
    """A gate state judges all gates unless it names some, in the order of the contract."""
    lifecycle = parse(text.encode(), "run.toml")
    assert lifecycle.judged_in(lifecycle.states["gating"]) == (Gate.POLICY, Gate.CI, Gate.REVIEW)


def test_stage_may_have_its_own_timeout() -> None:
    """The longest wait that the system supports is accepted as the timeout of a stage."""
    text = edited((MANAGER, f"{MANAGER}\ntimeout_ms = 2147483647"))
    assert parse(text.encode(), "run.toml").states["manager"].timeout_ms == 2147483647


@pytest.mark.parametrize("suffix", [one for row in STAGE_OPTIONS for one in row.suffixes])
def test_every_name_of_an_option_belongs_to_one_stage(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage is refused if an option of it has the name of another stage's option.

    The made-up option `--manager-x-…` belongs to the stage `manager` and to `manager_x`.
    """
    made_up = StageOption(f"x-{suffix}", Kind.TEXT, help="", description="")
    monkeypatch.setattr(rules, "STAGE_OPTIONS", (*STAGE_OPTIONS, made_up))
    text = DEFAULT + state("manager_x", "stage")
    with pytest.raises(LifecycleError) as refusal:
        parse(text.encode(), "made up")
    said = f"its option --manager-x-{suffix} is also an option of 'manager'"
    assert said in str(refusal.value)
