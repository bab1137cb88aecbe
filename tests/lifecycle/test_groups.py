"""Groups of stages that run side by side: what is refused, and what is proved through them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator.approvals.content import released_stages
from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.diff import LostFacts, diff
from fsm_orchestrator.lifecycle.guarantees import Fact, FactKind, Guarantees
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.reading import load_lifecycle, parse
from fsm_orchestrator.lifecycle.verification import verify

EXAMPLE = (Path(__file__).parents[2] / "states" / "checked_run.toml").read_text()
GROUP = 'kind = "group"\nstages = ["lint", "unit_tests", "scan"]'
LINT = 'name = "lint"\nkind = "stage"'
GATED = 'source = "gating"\ndest = "executor"'
CHECKS = 'source = "executor"\ndest = "checks"'
CLOSED = 'source = "checks"\ndest = "done"'
EXIT_OF = '\n[[transition]]\ntrigger = "{}"\nsource = "{}"\ndest = "{}"\nwhy = "x"\n'
REWORK = EXIT_OF.format("rework_requested", "checks", "failed")
EXIT = EXIT_OF.format("stage_failed", "lint", "failed")


def edited(*edits: tuple[str, str]) -> str:
    """Return the example with each pair's first text, found exactly once, made its second."""
    text = EXAMPLE
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def lifecycle_of(*edits: tuple[str, str]) -> Lifecycle:
    """Return the lifecycle of the edited example."""
    return parse(edited(*edits).encode(), "x.toml")


REFUSED: dict[str, tuple[str, str, str]] = {
    "no stages": (GROUP, 'kind = "group"', "state 'checks': key 'stages' is missing"),
    "one stage": (
        GROUP,
        'kind = "group"\nstages = ["lint"]',
        "state 'checks': key 'stages' has 1; expected a list of 2 to 32",
    ),
    "a stage twice": (
        GROUP,
        GROUP.replace('"scan"]', '"scan", "lint"]'),
        "state 'checks': duplicate 'lint' in key 'stages'",
    ),
    "an unknown stage": (
        GROUP,
        GROUP.replace('"scan"]', '"scan", "lnt"]'),
        "state 'checks': key 'stages' lists an unknown state 'lnt'",
    ),
    "a gate state": (
        GROUP,
        GROUP.replace('"scan"]', '"scan", "gating"]'),
        "state 'checks': key 'stages' lists 'gating', a state of kind gate; only a stage can be",
    ),
    "a group in itself": (
        GROUP,
        GROUP.replace('"scan"]', '"scan", "checks"]'),
        "state 'checks': key 'stages' lists 'checks', a state of kind group; only a stage can be",
    ),
    "stages of a stage": (
        LINT,
        f'{LINT}\nstages = ["scan", "unit_tests"]',
        "state 'lint': key 'stages' is for states of kind group, not stage",
    ),
    "fail_fast of a stage": (
        LINT,
        f"{LINT}\nfail_fast = false",
        "state 'lint': key 'fail_fast' is for states of kind group, not stage",
    ),
    "a timeout of a group": (
        GROUP,
        f"{GROUP}\ntimeout_ms = 5",
        "state 'checks': key 'timeout_ms' is for states of kind stage, not group",
    ),
    "rework within a group": (
        LINT,
        f'{LINT}\nexit_codes = {{ 10 = "rework" }}',
        "state 'lint': runs in the group 'checks', so it can say nothing by an exit code",
    ),
    "a stage that always runs within a group": (
        LINT,
        f"{LINT}\nfinally = true",
        "state 'lint': runs in the group 'checks', so it cannot be the stage that always runs",
    ),
    "an edge out of it": (
        '[[transition]]\ntrigger = "start"',
        f'{EXIT}\n[[transition]]\ntrigger = "start"',
        "transition 1 (stage_failed from lint): leaves 'lint', which runs in the group 'checks'",
    ),
    "an edge into it": (
        CHECKS,
        CHECKS.replace("checks", "lint"),
        "transition 4 (stage_succeeded from executor): leads to 'lint', which runs in the group",
    ),
    "an edge that is missing": (
        '[[transition]]\ntrigger = "stage_succeeded"\nsource = "executor"',
        f'{REWORK}\n[[transition]]\ntrigger = "stage_succeeded"\nsource = "executor"',
        "transition 4 (rework_requested from checks): rework_requested cannot happen in a state",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_group_that_does_not_fit_is_refused(case: str) -> None:
    """A group that does not fit is refused with the state or edge and the reason."""
    old, new, expected = REFUSED[case]
    with pytest.raises(LifecycleError) as raised:
        lifecycle_of((old, new))
    assert expected in str(raised.value)


def test_stage_in_two_groups_is_refused() -> None:
    """A stage in two groups is refused, because it would run twice."""
    second = '[[state]]\nname = "more"\nkind = "group"\nstages = ["lint", "scan"]\n\n[[state]]\n'
    with pytest.raises(LifecycleError, match="lists 'lint', which is in the group 'more' too"):
        lifecycle_of((f"[[state]]\n{LINT}", f"{second}{LINT}"))


EARLY = (
    "state 'checks': can be entered before gates policy, ci, review passed in this invocation:"
    " pending --start--> checks"
)
FAILED_TO_DONE = EXIT_OF.format("stage_failed", "checks", "done")
DONE_ALL_THE_SAME = (
    "state 'done': can be reached although 'checks' was entered and did not succeed: pending"
    " --start--> gating --gates_passed--> executor --stage_succeeded--> checks"
    " --stage_failed--> done"
)
BAD_WALKS = {
    "group before the gates": (
        [('source = "pending"\ndest = "gating"', 'source = "pending"\ndest = "checks"')],
        "transition 1 (start from pending): leads to 'checks', a state of kind group",
    ),
    "group with one guarded stage before the gates": (
        [
            ('initial = "pending"', 'initial = "pending"\ngates_guard = "effects"'),
            (LINT, f"{LINT}\neffects = false"),
            ('name = "scan"\nkind = "stage"', 'name = "scan"\nkind = "stage"\neffects = false'),
            ('source = "pending"\ndest = "gating"', 'source = "pending"\ndest = "checks"'),
            (CLOSED, CLOSED.replace("done", "gating")),
            (CHECKS, CHECKS.replace("checks", "done")),
        ],
        EARLY,
    ),
    "done although the group failed": (
        [
            (
                '[[transition]]\ntrigger = "gates_refused"',
                f'{FAILED_TO_DONE}\n[[transition]]\ntrigger = "gates_refused"',
            )
        ],
        DONE_ALL_THE_SAME,
    ),
}


@pytest.mark.parametrize("case", BAD_WALKS)
def test_promises_hold_through_groups(case: str) -> None:
    """A promise that a group breaks is found, with the shortest walk that breaks it."""
    edits, expected = BAD_WALKS[case]
    lifecycle = reading._shaped(edited(*edits).encode(), "x.toml")
    assert expected in [f"{one}"[: len(expected)] for one in verify(lifecycle)]


def test_group_makes_the_success_of_each_of_its_stages_certain() -> None:
    """On entering done each stage of a group has succeeded; on entering the group none has yet."""
    lifecycle = lifecycle_of()
    assert verify(lifecycle) == ()
    certain = Guarantees(lifecycle).certain
    each = {Fact(FactKind.STAGE_SUCCEEDED, name) for name in ("lint", "unit_tests", "scan")}
    assert each <= certain["done"]
    assert not each & certain["checks"]
    assert certain["lint"] == certain["checks"]
    assert Fact(FactKind.STAGE_SUCCEEDED, "executor") in certain["scan"]


def test_questions_about_stages_go_through_groups() -> None:
    """A stage of a group is where its group is, and the other stages of it are not behind it."""
    lifecycle = lifecycle_of()
    assert lifecycle.stages == ("executor", "lint", "unit_tests", "scan")
    assert lifecycle.places == ("executor", "checks")
    assert lifecycle.stages_from("executor") == lifecycle.stages
    assert lifecycle.stages_from("lint") == ("lint",)
    assert lifecycle.stages_from("checks") == ("lint", "unit_tests", "scan")
    assert lifecycle.comes_before("executor", "checks")
    assert lifecycle.comes_before("lint", "done")
    assert not lifecycle.comes_before("lint", "checks")


def test_approval_releases_each_stage_of_a_group() -> None:
    """An approval releases what runs before the next one: in a group, all of its stages."""
    lifecycle = lifecycle_of()
    released = released_stages(lifecycle, lifecycle.states["gating"], "review")
    assert released == ("executor", "lint", "unit_tests", "scan")


def test_digest_knows_what_runs_at_once() -> None:
    """The stages of a group, and whether one failure ends the others, are part of the digest."""
    lifecycle = lifecycle_of()
    patient = lifecycle_of((GROUP, f"{GROUP}\nfail_fast = false"))
    assert lifecycle.sha256 != patient.sha256
    assert lifecycle.relation_sha256 != patient.relation_sha256


def test_stages_that_ran_one_after_another_are_a_loosening_side_by_side() -> None:
    """Moving stages side by side loosens: the first may not have succeeded when the second runs."""
    step = '[[transition]]\ntrigger = "stage_succeeded"\nsource = "{}"\ndest = "{}"\nwhy = "x"\n\n'
    first = '[[transition]]\ntrigger = "stage_succeeded"\nsource = "checks"\ndest = "failed"'
    row = edited(
        (f'[[state]]\nname = "checks"\n{GROUP}\n\n', ""),
        (CHECKS, CHECKS.replace("checks", "lint")),
        (first, step.format("lint", "unit_tests") + step.format("unit_tests", "scan") + first),
    )
    row = row.replace('source = "checks"', 'source = "scan"')
    row = row.replace('"checks"', '"lint", "unit_tests", "scan"')
    found = diff(parse(row.encode(), "row.toml"), lifecycle_of())
    assert found.verdict.value == "loosens"
    lost = [one.cause for one in found.loosenings if isinstance(one.cause, LostFacts)]
    assert any(Fact(FactKind.STAGE_SUCCEEDED, "lint") in one.facts for one in lost)


def test_example_is_good(tmp_path: Path) -> None:
    """The lifecycle file in the guide can be loaded from anywhere."""
    path = tmp_path / "checked.toml"
    path.write_text(EXAMPLE)
    assert load_lifecycle(path).group_of == dict.fromkeys(("lint", "unit_tests", "scan"), "checks")
