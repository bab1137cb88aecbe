"""A gate that asks GitHub for the checks of the commit."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tests.gates.evidence_cases import assert_refused, config_with, evidence_of, git
from tests.gates.github_cases import APPROVALS, CHECKS, SUBJECT, StandIn, check, review, status
from tests.support.command import events_of, orchestrate, report_of, tree_of

pytestmark = pytest.mark.one_in(2)


def test_checks_that_succeeded_pass(github: StandIn) -> None:
    """Check runs and statuses count alike; GitHub's answers are kept, but no token."""
    github.has_checks([check("build"), check("other", "failure")], [status("test")])
    secret = "a-token-nobody-may-see"  # noqa: S105 - not one
    os.environ["GH_TOKEN"] = secret
    try:
        assert github.run(CHECKS).code == 0
    finally:
        del os.environ["GH_TOKEN"]
    evidence = evidence_of(github.folder)
    assert (evidence["source"], evidence["problem"]) == ("github", None)
    assert evidence["subject"][0]["digest"] == {"gitCommit": github.commit}
    assert evidence["checks"] == {"passed": 2, "failed": 0, "skipped": 0, "missing": 0}
    assert evidence["issuer"] == "github-actions and commit status (octocat/hello-world)"
    assert evidence["issued_at"] == "2026-01-02T03:04:05.000Z"
    assert evidence["detail"] == (
        "2 of 2 checks succeeded; succeeded: build (success, github-actions)"
        " and test (success, commit status)"
    )
    kept = json.loads((github.folder / "out" / evidence["file"]).read_text())
    assert [one["path"] for one in kept["answers"]] == [
        f"{github.base}/{github.page('check-runs?filter=all')}",
        f"{github.base}/{github.page('status')}",
    ]
    assert json.loads(kept["answers"][0]["body"])["check_runs"][0]["name"] == "build"
    assert (github.place / "token").read_text() == secret
    written = tree_of(github.folder / "out") | tree_of(github.folder / "state")
    assert not [name for name, content in written.items() if secret.encode() in content]


def test_gh_is_asked_without_what_makes_it_chatty(github: StandIn) -> None:
    """It gets the version of the API, and prints neither colors nor requests."""
    github.has_checks([check("build"), check("test")])
    script = (github.folder / "bin" / "gh").read_text()
    look = 'echo "${GH_DEBUG-none} ${GH_FORCE_TTY-none} $GH_PROMPT_DISABLED" > "$STAND_IN/seen"\n'
    (github.folder / "bin" / "gh").write_text(script.replace("for path", f"{look}for path", 1))
    assert github.ask(CHECKS, GH_DEBUG="api", GH_FORCE_TTY="80")["passed"]
    assert (github.place / "seen").read_text() == "none none 1\n"
    assert github.asked()[0].startswith(
        "api --include --method GET -H Accept: application/vnd.github+json"
    )
    assert "X-GitHub-Api-Version: 2022-11-28" in github.asked()[0]


OTHER_APP: Final[dict[str, Any]] = {"app": {"id": 2, "slug": "other"}, "check_suite": {"id": 6}}
FAILED: Final = ("check_failed", "failure", {"passed": 1, "failed": 1, "skipped": 0, "missing": 0})
UNTESTED: Final = (
    *("nothing_checked", "missing"),
    {"passed": 1, "failed": 0, "skipped": 1, "missing": 0},
)
PENDING: Final = (
    *("check_pending", "pending"),
    {"passed": 1, "failed": 0, "skipped": 0, "missing": 1},
)
ABSENT: Final = (
    *("check_missing", "missing"),
    {"passed": 1, "failed": 0, "skipped": 0, "missing": 1},
)
TWO_MISSING: Final = {"passed": 0, "failed": 0, "skipped": 0, "missing": 2}
ONE_PENDING: Final = {"passed": 0, "failed": 1, "skipped": 0, "missing": 1}


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("others", "refusal", "said"),
    [
        *(
            ([check("test", word)], FAILED, f"failed: test ({word}, github-actions)")
            for word in (
                *("failure", "timed_out", "cancelled", "stale", "action_required"),
                *("startup_failure", "unheard_of"),
            )
        ),
        ([check("test", None, status="completed")], FAILED, "test (no conclusion,"),
        ([check("test", None, status="unheard_of")], FAILED, "test (status unheard_of,"),
        ([check("test", "skipped")], UNTESTED, "skipped: test (skipped,"),
        ([check("test", "neutral")], UNTESTED, "skipped: test (neutral,"),
        *(
            ([check("test", None, status=word)], PENDING, f"pending: test ({word},")
            for word in ("queued", "in_progress", "waiting", "requested", "pending")
        ),
        ([], ABSENT, "missing: test"),
        ([check("Test")], ABSENT, "missing: test"),
        ([status("test", "pending")], PENDING, "test (pending, commit status)"),
        ([status("test", "error")], FAILED, "test (error, commit status)"),
        ([check("test"), status("test", "failure")], FAILED, "test (failure, commit status)"),
        (
            [check("test"), check("test", "failure", **OTHER_APP)],
            *(FAILED, "failed: test (failure, other)"),
        ),
        (
            [check("test", "failure", check_suite={"id": 9}), check("test")],
            *(FAILED, "test (failure, github-actions)"),
        ),
        ([check("test"), check("test", None)], PENDING, "test (in_progress,"),
        (
            [check("build", "failure"), check("test", None)],
            *(("check_failed", "failure", ONE_PENDING), "pending: test (in_progress,"),
        ),
        (
            None,
            *(("check_missing", "missing", TWO_MISSING), "missing: build and test; the commit"),
        ),
    ],
)
def test_every_named_check_must_be_there_and_succeed(
    github: StandIn,
    others: list[dict[str, Any]] | None,
    refusal: tuple[str, str, dict[str, int]],
    said: str,
) -> None:
    """Otherwise the gate refuses, and names the check and the number of others."""
    found = [] if others is None else [check("build"), *others]
    github.has_checks(
        [one for one in found if "name" in one], [one for one in found if "context" in one]
    )
    decision = github.ask(CHECKS)
    evidence = decision["evidence"]
    assert (evidence["problem"], decision["status"], evidence["checks"]) == refusal
    assert decision["reason_code"] == "GATE_CI_NOT_SUCCESS"
    assert said in evidence["detail"]


def test_newest_run_of_a_suite_counts(github: StandIn) -> None:
    """A check that was run again has a larger id in the same suite, at any place in the list."""
    github.has_checks([check("build", id=9), check("build", "failure", id=7), check("test", id=8)])
    assert github.ask(CHECKS)["passed"]


def test_two_apps_with_one_name_must_both_succeed(github: StandIn) -> None:
    """Both apps are named."""
    github.has_checks([check("build"), check("test"), check("test", **OTHER_APP)])
    decision = github.ask(CHECKS)
    assert decision["passed"]
    assert "test (success, github-actions; success, other)" in decision["evidence"]["detail"]


def test_without_gh_the_gate_says_what_to_install(github: StandIn) -> None:
    """A missing `gh` leaves the gate closed, and the message names the command."""
    (github.folder / "bin" / "gh").unlink()
    for tool in ("sh", "git", "cat"):
        (github.folder / "bin" / tool).symlink_to(f"/usr/bin/{tool}")
    evidence = github.ask(CHECKS, PATH=str(github.folder / "bin"))["evidence"]
    assert evidence["problem"] == "engine_error"
    assert "no executable 'gh' on PATH; install it with `apt install gh`" in evidence["detail"]
    assert "gh auth login" in evidence["detail"]


@pytest.mark.parametrize(
    ("more", "problem", "said"),
    [
        ("", "unbound", "the run is about no commit"),
        ('[subject]\nfiles = ["file.txt"]', "unbound", "the run is about no commit"),
        ('[subject]\ngit = "."\nfiles = ["file.txt"]', "wrong_subject", "and not on"),
    ],
)
def test_run_must_be_about_the_commit(github: StandIn, more: str, problem: str, said: str) -> None:
    """Without a commit GitHub is not asked, since it knows about nothing else."""
    evidence = github.ask(CHECKS, more=more)["evidence"]
    assert (evidence["problem"], said in evidence["detail"]) == (problem, True)
    assert not (github.place / "asked").exists()


def test_dirty_tree_is_no_commit(github: StandIn) -> None:
    """A dirty tree is refused: GitHub knows only commits."""
    (github.folder / "file.txt").write_text("changed")
    evidence = github.ask(CHECKS)["evidence"]
    assert evidence["problem"] == "unbound"
    assert "is not what was committed" in evidence["detail"]
    git(github.folder, "checkout", "--quiet", "file.txt")


def test_work_of_the_stages_is_not_what_github_speaks_of(github: StandIn) -> None:
    """The commit alone is the wrong subject in a gate state after a stage."""
    github.has_checks([check("build"), check("test")])
    more = f'lifecycle = "closure_gated"\n{SUBJECT}'
    config = github.folder / "run.toml"
    assert github.run(CHECKS, more=more).code == 0
    made = '\nexpected_artifacts = ["out/made.txt"]'
    text = config.read_text().replace(
        'bin = "true"', 'bin = "touch"\nargs = ["out/made.txt"]' + made, 1
    )
    config.write_text(text)
    words = ("run", "./out", "--config", "run.toml")
    ended = orchestrate(*words, cwd=github.folder, env=github.env)
    assert_refused(github.folder, ended, "wrong_subject", "missing")
    assert "made.txt" in evidence_of(github.folder)["detail"]


def test_old_checks_are_refused(github: StandIn) -> None:
    """The oldest of the named ones counts; one from the future is not valid yet."""
    now = datetime.now(UTC)
    young, old = (f"{now - timedelta(hours=one):%Y-%m-%dT%H:%M:%SZ}" for one in (1, 3))
    runs = [check("build", completed_at=young), check("test", completed_at=old), check("other")]
    github.has_checks(runs)
    assert github.ask(f'{CHECKS}\nmax_age = "2h"')["evidence"]["problem"] == "too_old"
    found = github.ask(f'{CHECKS}\nmax_age = "4h"')
    assert found["passed"]
    assert found["evidence"]["issued_at"] == old.replace("Z", ".000Z")
    github.has_checks(
        [check(name, completed_at="2199-01-01T00:00:00Z") for name in ("build", "test")]
    )
    assert github.ask(CHECKS)["evidence"]["problem"] == "not_yet_valid"
    github.has_checks([check(name, completed_at="yesterday") for name in ("build", "test")])
    assert github.ask(CHECKS)["evidence"]["problem"] == "not_a_statement"


def test_pending_checks_are_waited_for(github: StandIn) -> None:
    """A missing, then pending, then finished check is asked for again; the last answer is kept."""
    github.has_checks([check("build"), check("test", None)])
    github.has_checks([check("build"), check("test")], suffix=".next")
    assert github.run(f'{CHECKS}\nwait = "10m"').code == 0
    waits = [one for one in events_of(github.folder / "out") if one["event"] == "gate.waiting"]
    assert [one["problem"] for one in waits] == ["check_pending"]
    assert "pending: test (in_progress, github-actions)" in waits[0]["detail"]
    kept = (github.folder / "out" / "evidence" / "ci.1.json").read_text()
    assert "in_progress" not in kept


def test_gate_of_ones_own_asks_for_either(github: StandIn) -> None:
    """A lifecycle's own gate asks for a named check, or for people who approve."""
    text = orchestrate("lifecycle", "governed_run", cwd=github.folder).stdout
    own = '[[gate]]\nname = "scan"\ntitle = "Scan"\nvalues = ["clean", "dirty", "unknown"]\n'
    code = 'reason_code = "GATE_SCAN_NOT_CLEAN"\n\n[[state]]'
    text = text.replace('gates = ["policy"', 'gates = ["scan", "policy"')
    (github.folder / "own.toml").write_text(text.replace("[[state]]", own + code, 1))
    github.has_checks([check("build", "failure"), check("test")])
    github.has_reviews([review("alice")])
    more = f'lifecycle = "own.toml"\n{SUBJECT}'
    decision = github.ask(CHECKS, gate="scan", more=more)
    assert (decision["status"], decision["evidence"]["problem"]) == ("unknown", "check_failed")
    assert github.ask(APPROVALS, gate="scan", more=more)["status"] == "clean"


def test_github_is_asked_again_before_the_run_closes(github: StandIn) -> None:
    """A check that failed while the stages ran blocks the run."""
    github.has_checks([check("build"), check("test")])
    github.has_checks([check("build", "failure"), check("test")], suffix=".next")
    assert_refused(github.folder, github.run(CHECKS), "check_failed", "failure")
    assert evidence_of(github.folder)["file"] == "evidence/ci.2.json"
    stages = report_of(github.folder / "out")["stage_executions"]
    assert [one["status"] for one in stages] == ["success", "success"]


def test_plan_names_github_and_asks_nothing(github: StandIn) -> None:
    """The plan names the question and whom it would be asked."""
    config_with(github.folder, CHECKS, more=SUBJECT)
    words = ("plan", "./out", "--config", "run.toml", "--all")
    said = " ".join(orchestrate(*words, cwd=github.folder, env=github.env).stdout.split())
    assert "GitHub octocat/hello-world, checks build and test would be asked" in said
    assert not (github.place / "asked").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ('repository = "a/b"', "either checks or approvals"),
        ('repository = "a/b", checks = ["a"], approvals = 1', "either checks or approvals"),
        ('repository = "a/b", checks = ["a"], pull_request = 1', "goes with approvals"),
        ('repository = "a/b", checks = ["a", "a"]', "names a check twice"),
        ('repository = "a", checks = ["a"]', "should be a repository, written owner/name, not 'a'"),
        ('repository = "a/../x", checks = ["a"]', "written owner/name"),
        ('repository = "a/..", checks = ["a"]', "written owner/name"),
        ('repository = "a/.", checks = ["a"]', "written owner/name"),
        ('repository = "a/x?y", checks = ["a"]', "written owner/name"),
        ('repositry = "a/b", checks = ["a"]', "repositry"),
    ],
)
def test_settings_that_make_no_question_are_refused(tmp_path: Path, asked: str, said: str) -> None:
    """They are refused before anything runs, with the place in the file."""
    (tmp_path / "run.toml").write_text(f"[gate.ci]\ngithub = {{ {asked} }}\n")
    ended = orchestrate("gates", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.stderr


def test_ci_asks_for_checks_only(github: StandIn) -> None:
    """Approvals are no test, and checks no review."""
    approvals = 'github = { repository = "octocat/hello-world", approvals = 1 }'
    evidence = github.ask(approvals)["evidence"]
    assert evidence["problem"] == "wrong_predicate"
    assert github.ask(CHECKS, gate="review")["evidence"]["problem"] == "wrong_predicate"
