"""A stage that always runs, as a lifecycle declares it: refusals and proofs."""

from __future__ import annotations

from operator import attrgetter

import pytest

from fsm_orchestrator.lifecycle.diff import DiffVerdict, diff
from fsm_orchestrator.lifecycle.reading import parse
from fsm_orchestrator.lifecycle.verification import proved
from tests.support.lifecycle_cases import Case, assert_refused, edge, edited, refused

DONE = '[[state]]\nname = "done"'
MANAGER = 'name = "manager"\nkind = "stage"'
NEXT = 'source = "manager"\ndest = "executor"'


def tidy(*keys: str, name: str = "cleanup") -> str:
    """Return the default lifecycle with a stage that always runs."""
    more = "\n".join(("finally = true", *keys))
    return edited((DONE, f'[[state]]\nname = "{name}"\nkind = "stage"\n{more}\n\n{DONE}'))


ON_A_WALK = (
    "state 'cleanup': has finally = true: it is entered at every end, by no edge, and leads"
    " nowhere, so no edge may enter or leave it"
)
REFUSED = (
    refused(
        "it is entered on the way, and leads to done",
        tidy().replace(NEXT, 'source = "manager"\ndest = "cleanup"')
        + edge("stage_succeeded", '["cleanup"]', "executor"),
        f"{ON_A_WALK}: pending --start--> gating --gates_passed--> manager --stage_succeeded-->"
        " cleanup --stage_succeeded--> executor",
    ),
    refused(
        "it leads to another outcome",
        tidy() + edge("stage_failed", '["cleanup"]', "failed"),
        ON_A_WALK,
    ),
    refused(
        "it leads on by a resume",
        tidy() + edge("resume", '["cleanup"]', "gating"),
        ON_A_WALK,
    ),
    refused(
        "a second one",
        tidy().replace(DONE, f'[[state]]\nname = "more"\nkind = "stage"\nfinally = true\n\n{DONE}'),
        "state 'more': has finally = true, as 'cleanup' has; only one stage may",
    ),
    refused(
        "what it says comes too late",
        tidy('exit_codes = { 77 = "blocked" }'),
        "state 'cleanup': has finally = true, so the outcome is fixed before it: it cannot have the"
        " key 'exit_codes'",
    ),
    refused(
        "a gate state that always is",
        edited(('kind = "gate"', 'kind = "gate"\nfinally = true')),
        "state 'gating': key 'finally' is for states of kind stage, not gate",
    ),
    refused(
        "a stage whose failure only warns",
        edited((MANAGER, f'{MANAGER}\non_finally_failure = "warn"')),
        "state 'manager': key 'on_finally_failure' is for a stage with finally = true",
    ),
    refused(
        "another consequence",
        tidy('on_finally_failure = "ignore"'),
        "state 'cleanup': key 'on_finally_failure' is 'ignore'; expected one of fail, warn",
    ),
)


@pytest.mark.parametrize("case", REFUSED, ids=attrgetter("name"))
def test_lifecycle_is_refused(case: Case) -> None:
    """The refusal has the reason, and the shortest walk if a run could get there."""
    assert_refused(case)


def test_it_changes_no_edge_and_no_proof_of_the_others() -> None:
    """The relation is the same without that stage, so it opens no way to another end."""
    plain, with_it = (parse(text.encode(), "run.toml") for text in (edited(), tidy()))
    assert with_it.edges == plain.edges
    assert with_it.finally_stage == "cleanup"
    assert with_it.sha256 != plain.sha256
    assert diff(plain, with_it).verdict is DiffVerdict.NEITHER


def test_what_is_proved_names_it() -> None:
    """The proof says that the stage runs whatever the gates say, as an exception to them."""
    claims = proved(parse(tidy().encode(), "run.toml"))
    assert claims[1].endswith("passed in this invocation (except for cleanup, below)")
    assert claims[-1] == (
        "cleanup runs at every end of a run in which another stage was entered; no edge enters or"
        " leaves it, and the outcome is fixed before it"
    )


def test_whether_its_failure_counts_is_part_of_the_digest() -> None:
    """A run cannot be resumed with another value for whether that stage's failure counts."""
    one, other = (
        parse(text.encode(), "run.toml") for text in (tidy(), tidy('on_finally_failure = "warn"'))
    )
    assert one.sha256 != other.sha256
    assert one.relation_sha256 != other.relation_sha256


def test_short_form_has_it_beside_the_row() -> None:
    """In the short form that stage is outside the row, in which stages follow each other."""
    text = (
        'schema_version = 1\nname = "short"\ntitle = "In a row"\n'
        'stages = ["plan", { name = "tidy", finally = true }, "apply"]\n'
    )
    lifecycle = parse(text.encode(), "run.toml")
    assert lifecycle.finally_stage == "tidy"
    assert {(one.source, one.dest) for one in lifecycle.edges if "tidy" in one[1:3]} == set()
    assert ("plan", "apply") in {(one.source, one.dest) for one in lifecycle.edges}
