"""Incomplete answers of GitHub: errors, limits, half a page, and a program that is not `gh`."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.gates.evidence_cases import config_with
from tests.gates.github_cases import CHECKS, SUBJECT, Answer, StandIn, check, status
from tests.support.command import start
from tests.support.patience import PATIENCE_SECONDS

Says = Callable[[StandIn], None]
WHAT: Final = "check-runs?filter=all"
URL: Final = (
    "https://api.github.com/repositories/1296269/commits/x/check-runs?filter=all&per_page=100"
)


@pytest.fixture(autouse=True)
def good_statuses(github: StandIn) -> None:
    """Set up good statuses; GitHub does not answer about check runs yet."""
    github.has_statuses([status("build"), status("test")])


def page(body: Any, **given: Any) -> Says:
    """Return a function that answers about check runs."""
    return lambda github: github.says(github.page(WHAT), Answer(body, **given))


def error(status: str, message: str, *names: str) -> Says:
    """Return a function that answers with an error with these fields."""
    number = status.split(" ", maxsplit=1)[0]
    fields = dict(one.split(": ") for one in names)
    body = {"message": message, "status": number}
    told = f"gh: {message} (HTTP {number})\n"
    return page(body, status=status, stderr=told, code=1, fields=fields)


def printed(text: str, code: int = 0, stderr: str = "") -> Says:
    """Return a function that makes `gh` print something else."""
    return lambda github: github.prints(github.page(WHAT), text, code=code, stderr=stderr)


def runs(total: int, *ids: int, commit: str = "", link: str = "") -> Says:
    """Return a function that answers with these check runs, and this total."""

    def say(github: StandIn) -> None:
        found = [{"head_sha": commit or github.commit, **check("build", id=one)} for one in ids]
        body = {"total_count": total, "check_runs": found}
        github.says(github.page(WHAT), Answer(body, fields={"Link": link} if link else {}))

    return say


def links(**pages: int) -> str:
    """Return the Link of a page: `next`, `last` and where they are."""
    return ", ".join(f'<{URL}&page={page}>; rel="{rel}"' for rel, page in pages.items())


BROKEN: Final = "<html><h1>Unicorn!</h1></html>"
LOG_IN: Final = "To get started with GitHub CLI, please run:  gh auth login\n"
OFFLINE: Final = "error connecting to api.github.com\ncheck your internet connection\n"


@pytest.mark.parametrize(
    ("say", "problem", "said"),
    [
        (error("404 Not Found", "Not Found"), "not_found", "answered 404: gh: Not Found"),
        (error("422 Unprocessable", "No commit found for SHA: x"), "not_found", "No commit found"),
        (error("401 Unauthorized", "Bad credentials"), "engine_error", "run gh auth login"),
        (error("403 Forbidden", "Not accessible"), "engine_error", "the login of gh may not see"),
        (
            error("403 F", "Limit", "X-Ratelimit-Remaining: 0", "X-Ratelimit-Reset: 1767323045"),
            *("engine_error", "the rate limit is reached until 2026-01-02T03:04:05.000Z"),
        ),
        (error("403 F", "Secondary", "Retry-After: 60"), "engine_error", "for 60 seconds more"),
        (error("429 Too Many Requests", "x"), "engine_error", "the rate limit is reached"),
        (error("502 Bad Gateway", "Server Error"), "engine_error", "answered 502"),
        (
            page(BROKEN, status="503 X", stderr="gh: HTTP 503\n", code=1),
            "engine_error",
            "try again",
        ),
        (page("<html>Sign in</html>"), "not_json", "it is not JSON"),
        (page(""), "not_json", "it is not JSON"),
        (page('{"total_count": 1, "check_runs": [{"id"'), "not_json", "it is not JSON"),
        (page('{"total_count": 0, "total_count": 0}'), "not_json", "it has a key twice"),
        (page([]), "not_a_statement", "not what its documentation shows"),
        (page({"total_count": 0}), "not_a_statement", "check_runs"),
        (runs(2, 1), "engine_error", "incomplete: it has 1 check run, and states a total of 2"),
        (runs(0, 1), "engine_error", "incomplete: it has 1 check run, and states a total of 0"),
        (runs(2, 1, 1), "engine_error", "it has a check run twice"),
        (runs(1, 1, commit="f" * 40), "wrong_subject", "answered about the commit ffff"),
        (runs(1, 1, link=links(next=7, last=9)), "engine_error", "1 is followed by page 7"),
        (runs(1, 1, link=links(last=3)), "engine_error", "1 is the last, and 3 were announced"),
        (runs(1, 1, link=links(next=2, last=2)), "not_found", "404"),
        (page({"total_count": 0}, code=1, stderr="EOF\n"), "engine_error", "an error, though"),
        (printed("", 4, LOG_IN), "engine_error", "gh is not logged in; run gh auth login"),
        (printed("", 1, OFFLINE), "engine_error", "exited with 1: error connecting to api"),
        (printed('{"total_count": 0}'), "engine_error", "another program of that name"),
        (page("{}", then="kill -KILL $$"), "killed", "gh: "),
        (page("{}", then="sleep 60"), "timed_out", "gh: "),
        (page("{}", then="yes"), "output_limit", "gh: "),
    ],
)
def test_half_an_answer_is_none(github: StandIn, say: Says, problem: str, said: str) -> None:
    """Each refuses, and the message describes the answer."""
    say(github)
    evidence = github.ask(f'{CHECKS}\ntimeout = "2s"')["evidence"]
    assert evidence["problem"] == problem, evidence["detail"]
    assert said in evidence["detail"]


def test_pages_are_all_read(github: StandIn) -> None:
    """A check on the second page fails the gate; an empty page is the last."""
    many = [{"head_sha": github.commit, **check(f"n{one}", id=one)} for one in range(1, 101)]
    late = {"head_sha": github.commit, **check("build", "failure", id=101)}
    first, last = {"Link": links(next=2, last=2)}, {"Link": links(prev=1, first=1)}
    github.says(github.page(WHAT), Answer({"total_count": 101, "check_runs": many}, fields=first))
    second = {"total_count": 101, "check_runs": [late]}
    github.says(github.page(WHAT, 2), Answer(second, fields=last))
    assert "failed: build (failure, github-actions)" in github.ask(CHECKS)["evidence"]["detail"]
    github.says(github.page(WHAT), Answer({"total_count": 100, "check_runs": many}, fields=first))
    empty: dict[str, Any] = {"total_count": 100, "check_runs": []}
    github.says(github.page(WHAT, 2), Answer(empty, fields=last))
    assert github.ask(CHECKS)["passed"]
    github.says(github.page(WHAT, 2), Answer({**empty, "total_count": 101}, fields=last))
    assert "its pages state totals of 100 and 101" in github.ask(CHECKS)["evidence"]["detail"]


def test_statuses_must_be_whole_too(github: StandIn) -> None:
    """A combined status of another commit, or with a higher total, refuses."""
    github.has_checks([check("build"), check("test")])
    body = {"state": "pending", "sha": github.commit, "total_count": 1, "statuses": []}
    github.says(github.page("status"), Answer(body))
    assert github.ask(CHECKS)["evidence"]["problem"] == "engine_error"
    github.says(github.page("status"), Answer({**body, "total_count": 0, "sha": "0" * 40}))
    assert github.ask(CHECKS)["evidence"]["problem"] == "wrong_subject"


def test_answer_that_refuses_is_kept(github: StandIn) -> None:
    """An auditor finds GitHub's answer in the record."""
    error("403 Forbidden", "Not accessible")(github)
    assert github.run(CHECKS).code == 3
    kept = json.loads((github.folder / "out" / "evidence" / "ci.1.json").read_text())
    (only,) = kept["answers"]
    assert (only["status"], json.loads(only["body"])["message"]) == (403, "Not accessible")


def test_interrupt_ends_gh(github: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it, with all processes it started."""
    pid = github.place / "pid"
    page("{}", then=f"echo $$ > {pid}; sleep 300")(github)
    config_with(github.folder, f'{CHECKS}\ntimeout = "10m"', more=SUBJECT)
    for name, value in github.env.items():
        monkeypatch.setenv(name, value)
    process = start("gates", "--config", "run.toml", cwd=github.folder)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert not Path("/proc", pid.read_text().strip()).exists()


def test_nothing_of_gh_survives_it(github: StandIn) -> None:
    """A process that it left running, in a session of its own, is ended with it."""
    pid = github.folder / "github" / "pid"
    then = f"setsid sh -c 'echo $$ > {pid}; exec sleep 300' > /dev/null 2>&1 &\n"
    then += f"while [ ! -s {pid} ]; do sleep 0.01; done\n"
    page({"total_count": 0, "check_runs": []}, then=then)(github)
    assert github.ask(CHECKS)["passed"]
    assert not Path("/proc", pid.read_text().strip()).exists()
