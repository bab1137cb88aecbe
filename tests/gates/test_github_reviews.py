"""A gate that asks GitHub for the reviews of the commit."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.gates.evidence_cases import assert_refused, evidence_of
from tests.gates.github_cases import (
    APPROVALS,
    Answer,
    StandIn,
    pull,
    review,
)
from tests.support.command import events_of

TWO: Final = APPROVALS.replace("approvals = 1", "approvals = 2")
OF_12: Final = APPROVALS.replace("approvals = 1", "approvals = 1, pull_request = 12")
ELSEWHERE: Final[dict[str, Any]] = {"commit_id": "e" * 40}
CHANGES, COMMENTED, DISMISSED = "CHANGES_REQUESTED", "COMMENTED", "DISMISSED"


def test_approval_of_exactly_the_commit_passes(github: StandIn) -> None:
    """The record says who approved, and when; the run continues."""
    github.has_reviews([review("alice", minute=5), review("bob", minute=4)])
    assert github.run(TWO, gate="review").code == 0
    evidence = evidence_of(github.folder, "review")
    assert evidence["issuer"] == "bob and alice (octocat/hello-world)"
    assert evidence["issued_at"] == "2026-01-02T03:04:00.000Z"
    assert evidence["subject"][0]["digest"] == {"gitCommit": github.commit}
    assert evidence["checks"] == {"passed": 2, "failed": 0, "skipped": 0, "missing": 0}
    assert evidence["detail"] == (
        "pull request #1347 has 2 of 2 approvals of the commit by bob and alice"
    )


@pytest.mark.parametrize(
    ("reviews", "said"),
    [
        ([review("alice")], "1 of 1 approvals of the commit by alice"),
        ([review("alice"), review("alice", COMMENTED, 1)], "by alice"),
        ([review("alice", CHANGES, **ELSEWHERE), review("alice", minute=1)], "by alice"),
        ([review("alice", minute=1), review("alice", CHANGES, 0)], "by alice"),
        ([review("alice"), review("carol", DISMISSED, 1)], "by alice"),
        ([review("alice"), review("carol", "PENDING", 1, submitted_at=None)], "by alice"),
        ([review("alice"), review("eve", author_association="NONE")], "eve (no member"),
        (
            [
                *(review("carol", CHANGES, **ELSEWHERE), review("carol", minute=2, **ELSEWHERE)),
                review("alice"),
            ],
            "by alice",
        ),
    ],
)
def test_approvals_that_count(github: StandIn, reviews: list[dict[str, Any]], said: str) -> None:
    """A comment changes no opinion; an approval replaces the same person's request for changes."""
    github.has_reviews(reviews)
    decision = github.ask(APPROVALS, gate="review")
    assert decision["passed"]
    assert said in decision["evidence"]["detail"]


MISSING: Final = ("check_missing", "missing")
REFUSED: Final = ("check_failed", "changes_requested")


@pytest.mark.parametrize(
    ("reviews", "refusal", "said"),
    [
        ([], MISSING, "0 of 1 approvals of the commit"),
        ([review("alice", COMMENTED)], MISSING, "0 of 1"),
        ([review("alice", **ELSEWHERE)], MISSING, "0 of 1"),
        ([review("alice", DISMISSED)], MISSING, "0 of 1"),
        ([review("alice"), review("alice", DISMISSED, 1)], MISSING, "0 of 1"),
        ([review("octocat")], MISSING, "not counted: octocat (the author)"),
        ([review("eve", author_association="NONE")], MISSING, "(no member or collaborator, NONE)"),
        ([review("eve", author_association="CONTRIBUTOR")], MISSING, "CONTRIBUTOR"),
        ([review("ghost", user=None)], MISSING, "a deleted user (nobody knows who)"),
        ([review("alice", CHANGES)], REFUSED, "alice asks for changes"),
        ([review("alice"), review("alice", CHANGES, 1)], REFUSED, "alice asks for changes"),
        ([review("alice"), review("carol", CHANGES)], REFUSED, "1 of 1"),
        ([review("alice"), review("carol", CHANGES, **ELSEWHERE)], REFUSED, "carol asks"),
        ([review("carol", CHANGES), review("carol", COMMENTED, 1), review("a")], REFUSED, "carol"),
        ([review("carol", CHANGES), review("carol", DISMISSED, 1), review("a")], REFUSED, "carol"),
        (
            [review("alice"), review("x", CHANGES, user=None), review("x", minute=1, user=None)],
            *(REFUSED, "a deleted user asks for changes"),
        ),
        ([review("alice"), review("eve", CHANGES, author_association="NONE")], REFUSED, "eve asks"),
    ],
)
def test_approvals_that_do_not_count(
    github: StandIn, reviews: list[dict[str, Any]], refusal: tuple[str, str], said: str
) -> None:
    """Another commit, the author, an outsider, or a request for changes does not count."""
    github.has_reviews(reviews)
    decision = github.ask(APPROVALS, gate="review")
    evidence = decision["evidence"]
    assert (evidence["problem"], decision["status"]) == refusal, evidence["detail"]
    assert decision["reason_code"] == "GATE_REVIEW_NOT_APPROVED"
    assert said in evidence["detail"]
    assert evidence["checks"]["failed"] == (1 if refusal is REFUSED else 0)


def test_two_requests_for_changes_are_both_named(github: StandIn) -> None:
    """Each counts as a refusal."""
    github.has_reviews([review("alice", CHANGES), review("bob", CHANGES)])
    evidence = github.ask(APPROVALS, gate="review")["evidence"]
    assert "alice and bob ask for changes" in evidence["detail"]
    assert evidence["checks"]["failed"] == 2


def test_two_approvals_are_of_two_people(github: StandIn) -> None:
    """A person who approves twice counts once."""
    github.has_reviews([review("alice"), review("alice", minute=1)])
    decision = github.ask(TWO, gate="review")
    assert decision["evidence"]["problem"] == "check_missing"
    assert decision["evidence"]["checks"] == {"passed": 1, "failed": 0, "skipped": 0, "missing": 1}


def test_pull_request_is_the_one_open_one(github: StandIn) -> None:
    """None is not found; two are refused by number; a merged or closed one does not count."""
    github.has_reviews([review("alice")])
    pulls = github.page("pulls")
    closed = pull(github.commit, number=7, state="closed", merged_at="2026-01-01T00:00:00Z")
    github.says(pulls, Answer([closed]))
    found = github.ask(APPROVALS, gate="review")["evidence"]
    assert (found["problem"], "no open pull request" in found["detail"]) == ("not_found", True)
    github.says(pulls, Answer([pull(github.commit), pull(github.commit, number=7)]))
    found = github.ask(APPROVALS, gate="review")["evidence"]
    assert found["problem"] == "unbound"
    assert "pull requests #1347 and #7; name one with pull_request" in found["detail"]
    github.says(pulls, Answer([closed, pull(github.commit)]))
    assert github.ask(APPROVALS, gate="review")["passed"]
    github.says(pulls, Answer({"message": "what"}))
    found = github.ask(APPROVALS, gate="review")["evidence"]
    assert found["problem"] == "not_a_statement"


def test_pull_request_is_named(github: StandIn) -> None:
    """A named one counts even if merged; closed unmerged it refuses; its state is shown."""
    github.says("pulls/12/reviews?per_page=100&page=1", Answer([]))
    ahead = pull("b" * 40, number=12)
    github.says("pulls/12", Answer(ahead))
    found = github.ask(OF_12, gate="review")["evidence"]
    assert found["problem"] == "check_missing"
    assert "the pull request is at bbbbbbbbbbbb now" in found["detail"]
    given = [{"id": 1, "commit_id": github.commit, **review("alice")}]
    github.says("pulls/12/reviews?per_page=100&page=1", Answer(given))
    merged = {**ahead, "state": "closed", "merged_at": "2026-01-03T00:00:00Z"}
    github.says("pulls/12", Answer(merged))
    assert github.ask(OF_12, gate="review")["passed"]
    github.says("pulls/12", Answer({**merged, "merged_at": None}))
    found = github.ask(OF_12, gate="review")["evidence"]
    assert (found["problem"], "without being merged" in found["detail"]) == ("check_failed", True)
    assert "check-runs" not in "".join(github.asked())


@pytest.mark.parametrize(
    ("reviews", "problem"),
    [
        ([{**review("alice"), "id": 80}, {**review("bob"), "id": 80}], "engine_error"),
        ([review("alice", "SHRUGGED")], "not_a_statement"),
        ([review("alice", submitted_at=None)], "not_a_statement"),
        ([{**review("alice"), "id": None}], "not_a_statement"),
    ],
)
def test_reviews_that_cannot_be_read(
    github: StandIn, reviews: list[dict[str, Any]], problem: str
) -> None:
    """An answer unlike GitHub's documentation refuses."""
    github.has_reviews(reviews)
    assert github.ask(APPROVALS, gate="review")["evidence"]["problem"] == problem


def test_approval_is_waited_for(github: StandIn) -> None:
    """A missing approval is asked for again; a request for changes ends the wait."""
    github.has_reviews([])
    github.has_reviews([review("alice")], suffix=".next")
    waiting = f'{APPROVALS}\nwait = "10m"'
    assert github.run(waiting, gate="review").code == 0
    waits = [one for one in events_of(github.folder / "out") if one["event"] == "gate.waiting"]
    assert [one["problem"] for one in waits] == ["check_missing"]
    github.has_reviews([review("alice", CHANGES)])
    ended = github.run(waiting, gate="review")
    assert_refused(github.folder, ended, "check_failed", "changes_requested", "review")
