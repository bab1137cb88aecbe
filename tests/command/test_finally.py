"""A stage that always runs: at every end of a run, with a fixed outcome, and once for each end."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import (
    ORCHESTRATOR_PID,
    PASSING,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    statuses,
)
from tests.support.lifecycle_cases import edited

pytestmark = pytest.mark.one_in(2)

DONE = '[[state]]\nname = "done"'
CLEANUP = '[[state]]\nname = "cleanup"\nkind = "stage"\nfinally = true\n'
TIDY = edited((DONE, f"{CLEANUP}\n{DONE}"))
WARNS = TIDY.replace("finally = true\n", 'finally = true\non_finally_failure = "warn"\n')
NOTE = 'echo "$ORCHESTRATOR_OUTCOME|$ORCHESTRATOR_CAUSE" >> tidied; '
KILL, INT = (f"kill -{name} {ORCHESTRATOR_PID}" for name in ("KILL", "INT"))
ONCE_KILLING = f"test -e once || {{ touch once; {KILL}; exec sleep 60; }}"


def tidied(tmp_path: Path) -> list[list[str]]:
    """Return the outcome and cause that each start of the cleanup got."""
    path = tmp_path / "tidied"
    return [one.split("|") for one in path.read_text().splitlines()] if path.exists() else []


def run(tmp_path: Path, executor: str, cleanup: str, *more: str, text: str = TIDY) -> Any:
    """Run manager and executor, and then the cleanup, which notes the outcome and cause it gets."""
    (tmp_path / "tidy.toml").write_text(text)
    told = (*shell("manager", "true"), *shell("executor", executor))
    given = ("./out", "--lifecycle", "./tidy.toml", *PASSING, *told)
    return orchestrate(*given, *shell("cleanup", NOTE + cleanup), *more, cwd=tmp_path)


def again(tmp_path: Path, *more: str) -> Any:
    """Resume the run and return how it ended."""
    return orchestrate("./out", "--resume", *more, cwd=tmp_path)


@pytest.mark.parametrize(
    ("executor", "more", "code", "outcome", "cause"),
    [
        ("true", (), 0, "done", "attempt 1 of executor: succeeded"),
        ("exit 3", (), 1, "failed", "attempt 1 of executor: exited with code 3"),
        (
            "exec sleep 60",
            ("--executor-timeout-ms", "80"),
            *(124, "timeout", "attempt 1 of executor: timed out after 80ms"),
        ),
        (
            f"{INT}; exec sleep 60",
            (),
            130,
            "failed",
            "attempt 1 of executor: interrupted: the run received SIGINT",
        ),
    ],
    ids=["done", "failed", "timeout", "interrupted"],
)
def test_it_runs_at_every_end_and_is_told_which(
    tmp_path: Path, executor: str, more: tuple[str, ...], code: int, outcome: str, cause: str
) -> None:
    """A successful cleanup changes neither the outcome nor the exit code."""
    ended = run(tmp_path, executor, "true", *more)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["exit_code"]) == (code, code), ended.stderr
    assert report["terminal_state"] == report["current_state"] == outcome
    assert report["closure_ready"] is (outcome == "done")
    (told,) = tidied(tmp_path)
    assert told[0] == outcome
    assert told[1].startswith(cause)
    last = report["stage_executions"][-1]
    assert (last["stage"], last["status"]) == ("cleanup", "success")
    assert last["reason"] == f"the run has ended: {outcome}"
    assert [one["dest"] for one in report["transitions"]][-1] == outcome


def test_it_does_not_run_where_no_stage_was_entered(tmp_path: Path) -> None:
    """A gate's refusal before any stage leaves nothing to tidy; a refusal after a stage does."""
    assert run(tmp_path, KILL, "true", "--ci-status", "failure").code == 2
    (tmp_path / "tidy.toml").write_text(TIDY)
    told = (*shell("manager", "true"), *shell("executor", f"{KILL}; exec sleep 60"))
    given = ("./out", "--lifecycle", "./tidy.toml", *told, *shell("cleanup", NOTE))
    assert orchestrate(*given, cwd=tmp_path).code == 3
    assert tidied(tmp_path) == []
    explained = orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout
    assert "cleanup: not reached: the gates refused" in explained
    assert again(tmp_path, *PASSING).code == -signal.SIGKILL
    assert tidied(tmp_path) == []
    assert again(tmp_path, "--ci-status", "failure").code == 3
    assert tidied(tmp_path) == [["blocked", "refused: GATE_CI_NOT_SUCCESS"]]


def test_each_end_of_a_run_that_is_resumed_has_its_own(tmp_path: Path) -> None:
    """After failed and then done it runs twice, although it had succeeded, and no third time."""
    assert run(tmp_path, "test -e once || { touch once; exit 3; }", "true").code == 1
    assert again(tmp_path).code == 0
    assert [one[0] for one in tidied(tmp_path)] == ["failed", "done"]
    assert again(tmp_path).code == 0
    assert [one[0] for one in tidied(tmp_path)] == ["failed", "done"]
    assert statuses(report_of(tmp_path / "out")) == [
        (stage, "skipped") for stage in ("manager", "executor", "cleanup")
    ]


def test_its_failure_keeps_a_done_run_from_closing_until_it_succeeds(tmp_path: Path) -> None:
    """The run is done with exit code 1; a resume runs the cleanup again and no other stage."""
    ended = run(tmp_path, "echo x >> executed", "test -e good || exit 4")
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"], report["closure_ready"]) == (1, "done", False)
    assert "cleanup: exited with code 4" in ended.stdout
    why = orchestrate("explain", "./out", cwd=tmp_path).stdout
    assert "a resume runs that stage again, and no other" in why
    assert "run cleanup (always, when the run has ended)" in " ".join(why.split())
    assert again(tmp_path).code == 1
    (tmp_path / "good").touch()
    assert again(tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"]
    assert (tmp_path / "executed").read_text() == "x\n"
    assert tidied(tmp_path) == [["done", "attempt 1 of executor: succeeded"]] * 3


def test_another_program_may_be_given_for_it_where_it_failed(tmp_path: Path) -> None:
    """The stage is to run again, so the new program counts; complete stages are not changed."""
    assert run(tmp_path, "true", "exit 4").code == 1
    assert again(tmp_path, *shell("manager", "false")).code == 2
    assert again(tmp_path, *shell("cleanup", "true")).code == 0
    assert report_of(tmp_path / "out")["closure_ready"]
    assert again(tmp_path, *shell("cleanup", "false")).code == 2


def test_its_failure_only_warns_where_the_lifecycle_says_so(tmp_path: Path) -> None:
    """A resume does not run it again then."""
    ended = run(tmp_path, "true", "exit 4", text=WARNS)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["closure_ready"]) == (0, True)
    (warning,) = report["warnings"]
    assert warning == (
        "stage 'cleanup', which always runs, did not succeed when the run had ended (done): exited"
        " with code 4"
    )
    assert again(tmp_path).code == 0
    assert len(tidied(tmp_path)) == 1


def test_its_failure_changes_no_other_end(tmp_path: Path) -> None:
    """The first failure comes first in the output, and is the one to fix."""
    ended = run(tmp_path, "exit 3", "exit 4")
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"]) == (1, "failed")
    assert ended.stdout.index("executor: exited with code 3") < ended.stdout.index("code 4")
    assert "fsm-orchestrator logs ./out executor" in ended.stdout


def test_artifacts_that_it_breaks_keep_the_run_from_closing(tmp_path: Path) -> None:
    """The artifacts are judged once more after the cleanup."""
    given = ("--executor-expected-artifact", "plan.json")
    ended = run(tmp_path, "echo 1 > plan.json", "rm plan.json", *given)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"], report["closure_ready"]) == (1, "done", False)
    assert report["stage_executions"][-1]["command"] == "closure.verify"


def test_killed_orchestrator_leaves_it_to_the_next_resume(tmp_path: Path) -> None:
    """An outcome that was durable before the kill is kept, and the cleanup runs again for it."""
    assert run(tmp_path, "echo x >> executed", ONCE_KILLING).code == -signal.SIGKILL
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == (None, False)
    assert checkpoint_of(tmp_path / "out")["current_state"] == "done"
    assert "interrupted: run " in orchestrate("status", "./out", cwd=tmp_path).stdout
    assert again(tmp_path).code == 0
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("done", True)
    attempts = [
        (one["attempt"], one["status"])
        for visit in (*report["earlier_invocations"], report)
        for one in visit["stage_executions"]
        if one["stage"] == "cleanup"
    ]
    assert attempts == [(1, "interrupted"), (2, "success")]
    assert [one[0] for one in tidied(tmp_path)] == ["done", "done"]
    assert (tmp_path / "executed").read_text() == "x\n"


def test_killed_in_the_cleanup_of_a_failure_the_run_goes_on(tmp_path: Path) -> None:
    """The resume begins at the gates, and the cleanup runs after its own end."""
    failing = "test -e fixed || exit 3"
    assert run(tmp_path, failing, ONCE_KILLING).code == -signal.SIGKILL
    assert checkpoint_of(tmp_path / "out")["current_state"] == "failed"
    (tmp_path / "fixed").touch()
    assert again(tmp_path).code == 0
    assert [one[0] for one in tidied(tmp_path)] == ["failed", "done"]


def test_interrupted_cleanup_of_a_done_run_is_not_over(tmp_path: Path) -> None:
    """The run stays done, the command exits as interrupted, and a resume runs the cleanup again."""
    once = f"test -e once || {{ touch once; {INT}; exec sleep 60; }}"
    ended = run(tmp_path, "true", once)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"], report["closure_ready"]) == (130, "done", False)
    assert report["stage_executions"][-1]["status"] == "interrupted"
    assert again(tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"]


def test_cleanup_of_an_interrupted_run_has_the_grace_and_no_more(tmp_path: Path) -> None:
    """The cleanup is ended after its grace, whatever its timeout, and the outcome is unchanged."""
    grace = ("--cleanup-kill-grace-ms", "150")
    ended = run(tmp_path, f"{INT}; exec sleep 60", "trap '' TERM; sleep 60", *grace)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"]) == (130, "failed")
    last = report["stage_executions"][-1]
    assert (last["stage"], last["status"]) == ("cleanup", "timeout")
    assert last["problem"]["cause"] == "timed out after 150ms"


def test_second_request_ends_the_cleanup_at_once(tmp_path: Path) -> None:
    """In an interrupted run the cleanup is not waited for, even if it ignores SIGTERM."""
    grace = ("--cleanup-kill-grace-ms", "60000", "--cleanup-timeout-ms", "60000")
    ended = run(tmp_path, f"{INT}; exec sleep 60", f"trap '' TERM; {INT}; sleep 60", *grace)
    assert ended.code == 130
    last = report_of(tmp_path / "out")["stage_executions"][-1]
    assert (last["stage"], last["status"]) == ("cleanup", "interrupted")
    assert last["duration_ms"] < 30_000


def test_without_a_binary_it_is_passed_over(tmp_path: Path) -> None:
    """The cleanup is passed over with a warning, like any stage."""
    (tmp_path / "tidy.toml").write_text(TIDY)
    told = (*shell("manager", "true"), *shell("executor", "true"))
    given = ("./out", "--lifecycle", "./tidy.toml", *PASSING, *told)
    assert orchestrate(*given, cwd=tmp_path).code == 0
    warning = "stage 'cleanup' has no binary and was passed over"
    assert warning in report_of(tmp_path / "out")["warnings"]
    assert again(tmp_path).code == 0


def test_plan_and_page_tell_of_it(tmp_path: Path) -> None:
    """The plan says that it always runs, and the page shows its end."""
    (tmp_path / "tidy.toml").write_text(TIDY)
    told = (*shell("manager", "true"), *shell("executor", "exit 3"), *shell("cleanup", "true"))
    given = ("./out", "--lifecycle", "./tidy.toml", *PASSING, *told)
    planned = orchestrate("plan", *given, cwd=tmp_path).stdout
    assert "cleanup   would run: always, when the run has ended" in planned
    assert orchestrate("run", *given, cwd=tmp_path).code == 1
    assert orchestrate("report", "./out", "--html", "page.html", cwd=tmp_path).code == 0
    page = (tmp_path / "page.html").read_text()
    assert "the run has ended: failed" in page
    drawn = orchestrate("diagram", "--run", "./out", "--format", "mermaid", cwd=tmp_path).stdout
    assert "always, at every end" in drawn


def test_it_runs_after_stages_side_by_side(tmp_path: Path) -> None:
    """It runs whichever member failed, for the group was entered."""
    both = 'name = "checks"\nkind = "group"\nstages = ["lint", "unit"]'
    members = "".join(f'[[state]]\nname = "{one}"\nkind = "stage"\n\n' for one in ("lint", "unit"))
    executor = 'name = "executor"\nkind = "stage"'
    text = TIDY.replace(executor, both).replace("executor", "checks")
    (tmp_path / "tidy.toml").write_text(text.replace(DONE, members + DONE))
    told = (*shell("manager", "true"), *shell("lint", "true"), *shell("unit", "exit 3"))
    given = ("./out", "--lifecycle", "./tidy.toml", *PASSING, *told, *shell("cleanup", NOTE))
    ended = orchestrate(*given, cwd=tmp_path)
    assert ended.code == 1, ended.stderr
    report = report_of(tmp_path / "out")
    assert [one["stage"] for one in report["stage_executions"]][-1] == "cleanup"
    assert [one[0] for one in tidied(tmp_path)] == ["failed"]


@pytest.mark.parametrize(
    ("cleanup", "status"),
    [("true", "success"), ("exec sleep 600", "timeout")],
    ids=["quick", "slow"],
)
def test_it_has_its_grace_where_the_time_of_the_run_is_up(
    tmp_path: Path, cleanup: str, status: str
) -> None:
    """It always runs, but gets no more than its grace."""
    graces = ("--cleanup-kill-grace", "4s", "--run-timeout", "3s")
    ended = run(tmp_path, "exec sleep 600", cleanup, *graces)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"]) == (124, "timeout")
    last = report["stage_executions"][-1]
    assert (last["stage"], last["status"]) == ("cleanup", status)
    assert [told[0] for told in tidied(tmp_path)] == ["timeout"]


@pytest.mark.parametrize("spent", ["5", "6"], ids=["nothing left", "exceeded"])
def test_it_runs_where_the_budget_is_spent(tmp_path: Path, spent: str) -> None:
    """No other stage is started when the budget is spent."""
    meter = f"""printf '{{"unit": "usd", "amount": {spent}}}\\n' >> "$ORCHESTRATOR_METER"; exit 3"""
    more = ("--executor-max-attempts", "2", "--executor-retry-exit-code", "3")
    ended = run(tmp_path, meter, "true", "--budget", "usd=5", *more)
    assert ended.code == 1
    assert statuses(report_of(tmp_path / "out"))[-1] == ("cleanup", "success")
    assert [told[0] for told in tidied(tmp_path)] == ["failed"]


@pytest.mark.parametrize("cleanup", ["true", "exit 4"])
def test_it_owes_nothing_to_a_run_that_has_nothing_to_do(tmp_path: Path, cleanup: str) -> None:
    """A cleanup that ran for an earlier failure does not keep the resumed run from its end."""
    stage = 'name = "executor"\nkind = "stage"\n'
    text = WARNS.replace(stage, f'{stage}exit_codes = {{ 78 = "nothing_to_do" }}\n')
    executor = "test -e once && exit 78; touch once; exit 3"
    assert run(tmp_path, executor, cleanup, text=text).code == 1
    assert again(tmp_path).code == 0
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["nothing_to_do"]) == ("done", True)
    assert [outcome for outcome, _ in tidied(tmp_path)] == ["failed", "done"]
