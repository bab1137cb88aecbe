"""The exit codes of stages: nothing to do, blocked, rework, as the lifecycle declares them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, StageGiven, resume
from fsm_orchestrator import run as orchestrator_run
from fsm_orchestrator.record import moving_out
from tests.support.command import PASSING, events_of, orchestrate, report_of, shell, statuses
from tests.support.lifecycle_cases import edge, edited

STAGE = 'name = "executor"\nkind = "stage"'
SAYS = '{ 78 = "nothing_to_do", 10 = "rework", 77 = "blocked" }'
BACK = edge("rework_requested", '["executor"]', "manager", "at_most = 1")
NO_MORE = edge("rework_requested", '["executor"]', "failed")
CODED = edited((STAGE, f"{STAGE}\nexit_codes = {SAYS}")) + BACK + NO_MORE
REPORTS_BLOCKED = """echo '{"final_state": "Blocked"}' > state.json; exit $(cat code)"""


@pytest.fixture
def run(tmp_path: Path) -> tuple[str | Path, ...]:
    """Return options of a run whose executor reports blocked and exits with the code in `code`."""
    (tmp_path / "coded.toml").write_text(CODED)
    return (
        *("./out", "--lifecycle", "./coded.toml", *PASSING),
        *(*shell("manager", "echo m >> managed"), *shell("executor", REPORTS_BLOCKED)),
        *("--executor-expected-artifact", "state.json"),
    )


def coded(tmp_path: Path, code: int) -> None:
    """Make the executor exit with this code from now on."""
    (tmp_path / "code").write_text(str(code))


def test_blocked_executor_blocks_the_run_until_it_is_resumed(
    tmp_path: Path, run: tuple[str, ...]
) -> None:
    """Exit code 77 blocks the run, for a reason of its own; a resume runs the executor again."""
    coded(tmp_path, 77)
    ended = orchestrate(*run, cwd=tmp_path)
    report = report_of(tmp_path / "out")
    assert ended.code == 3
    assert (report["terminal_state"], report["closure_ready"]) == ("blocked", False)
    assert report["blocked_reason_codes"] == ["STAGE_EXECUTOR_BLOCKED"]
    assert (report["waiting_for"], report.get("nothing_to_do", False)) == ([], False)
    executed = report["stage_executions"][-1]
    assert (executed["status"], executed["ending"]) == ("failed", "blocked")
    assert executed["error"] == "said that it is blocked, by exit code 77"
    assert [one["path"] for one in executed["artifacts"]] == [str(tmp_path / "state.json")]
    assert "blocked: run " in ended.stdout
    assert ", by STAGE_EXECUTOR_BLOCKED" in ended.stdout
    why = orchestrate("explain", "./out", cwd=tmp_path).stdout
    assert "stage executor, attempt 1: said that it is blocked, by exit code 77" in why
    assert "anyone who can clear what blocks stage executor" in why
    assert "./out --resume\n" in why
    assert "gate" not in why
    level = [one["level"] for one in events_of(tmp_path / "out") if one["event"] == "stage.ended"]
    assert level == ["info", "warning"]
    coded(tmp_path, 0)
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    assert statuses(report_of(tmp_path / "out")) == [
        ("manager", "skipped"),
        ("executor", "success"),
    ]
    assert report_of(tmp_path / "out")["closure_ready"]


def test_executor_with_nothing_to_do_ends_the_run_that_is_not_to_be_closed(
    tmp_path: Path, run: tuple[str, ...]
) -> None:
    """Exit code 78 ends the run as done: no artifacts, nothing to close and nothing to resume."""
    coded(tmp_path, 78)
    without = ("--executor-expected-artifact", "never.json")
    ended = orchestrate(*run, *without, cwd=tmp_path)
    report = report_of(tmp_path / "out")
    assert ended.code == 0, ended.stderr
    assert (report["terminal_state"], report["exit_code"]) == ("done", 0)
    assert (report.get("nothing_to_do", False), report["closure_ready"]) == (True, False)
    last = report["transitions"][-1]
    assert (last["trigger"], last["dest"]) == ("stage_declined", "done")
    executed = report["stage_executions"][-1]
    assert (executed["ending"], executed["error"]) == (
        "declined",
        "had nothing to do, by exit code 78",
    )
    assert "nothing to do" in ended.stdout.splitlines()[0]
    why = orchestrate("explain", "./out", cwd=tmp_path).stdout
    assert "there was nothing to do, so there is nothing to close" in why
    assert "resume" not in why
    again = orchestrate("./out", "--resume", cwd=tmp_path)
    visited = report_of(tmp_path / "out")
    assert (again.code, visited.get("nothing_to_do", False), visited["closure_ready"]) == (
        0,
        True,
        False,
    )
    assert statuses(visited) == [("manager", "skipped")]
    plan = json.loads(orchestrate("plan", "./out", "--resume", "--json", cwd=tmp_path).stdout)
    said = [(one["stage"], one["action"], one["reason"]) for one in plan["stages"]]
    assert said[-1] == ("executor", "not_reached", "the run is done")


def test_nothing_to_do_is_remembered_when_its_invocation_was_moved(tmp_path: Path) -> None:
    """Every resume gives the same outcome, even if that invocation's file was moved."""
    (tmp_path / "coded.toml").write_text(CODED)
    coded(tmp_path, 1)
    script = f"exit $(cat {tmp_path}/code)"
    executor = StageGiven(bin="/bin/sh", args=("-c", script))
    config = RunConfig(
        output_directory=tmp_path / "out",
        lifecycle=str(tmp_path / "coded.toml"),
        gates={"policy": "allow", "ci": "success", "review": "approved"},
        stages={"executor": executor},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving_out, "KEPT_MAX", 2)
        patch.setattr(moving_out, "KEPT_MIN", 1)
        orchestrator_run(config)
        coded(tmp_path, 78)
        for _ in range(3):
            report = resume(RunConfig(output_directory=tmp_path / "out"))
            assert (report.nothing_to_do, report.closure_ready) == (True, False)
    assert report.invocations_moved >= 2
    assert all(not one.transitions for one in (report.latest, *report.earlier_invocations))


def test_executor_that_asks_for_rework_is_sent_back(tmp_path: Path, run: tuple[str, ...]) -> None:
    """Exit code 10 makes the manager plan again; the second request fails the run."""
    coded(tmp_path, 10)
    assert orchestrate(*run, cwd=tmp_path).code == 1
    report = report_of(tmp_path / "out")
    endings = [one["ending"] for one in report["stage_executions"] if one["stage"] == "executor"]
    assert endings == ["rework_requested", "rework_requested"]
    assert (tmp_path / "managed").read_text() == "m\nm\n"


def test_declined_stage_leads_on_where_the_lifecycle_says_so(tmp_path: Path) -> None:
    """If the lifecycle leads on, the run may be closed: the stage was declared dispensable."""
    manager = 'name = "manager"\nkind = "stage"'
    on = edge("stage_declined", '["manager"]', "executor")
    text = edited((manager, f'{manager}\nexit_codes = {{ 78 = "nothing_to_do" }}')) + on
    (tmp_path / "on.toml").write_text(text)
    told = (*shell("manager", "exit 78"), *shell("executor", "true"))
    ended = orchestrate("./out", "--lifecycle", "./on.toml", *PASSING, *told, cwd=tmp_path)
    report = report_of(tmp_path / "out")
    assert ended.code == 0
    assert (report.get("nothing_to_do", False), report["closure_ready"]) == (False, True)
    assert [one["ending"] for one in report["stage_executions"]] == ["declined", "exited"]
    assert "manager: had nothing to do, by exit code 78" in ended.stdout


def test_nothing_to_do_closes_no_run_in_which_another_stage_has_failed(tmp_path: Path) -> None:
    """A manager that runs again after the executor failed has already done something."""
    manager = 'name = "manager"\nkind = "stage"'
    text = edited((manager, f'{manager}\nexit_codes = {{ 78 = "nothing_to_do" }}'))
    (tmp_path / "early.toml").write_text(text)
    coded(tmp_path, 0)
    told = (*shell("manager", "exit $(cat code)"), *shell("executor", "exit 1"))
    given = ("./out", "--lifecycle", "./early.toml", *PASSING, *told)
    assert orchestrate(*given, cwd=tmp_path).code == 1
    coded(tmp_path, 78)
    refused = orchestrate("./out", "--resume", "--rerun", "manager", cwd=tmp_path)
    assert refused.code == 1
    assert "\n  closing refused: executor did not succeed\n" in refused.stdout
    last = report_of(tmp_path / "out")["transitions"][-1]
    assert (last["trigger"], last["dest"]) == ("stage_declined", "failed")
    assert last["cause"] == "closing refused: executor did not succeed"
    assert orchestrate(*given, cwd=tmp_path).code == 0
    report = report_of(tmp_path / "out")
    assert (report.get("nothing_to_do", False), statuses(report)) == (True, [("manager", "failed")])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (126, "a shell exits with this code when it finds a command and cannot execute it"),
        (127, "a shell exits with this code when it does not find a command"),
        (137, "a shell exits with this code when SIGKILL killed its last command"),
    ],
)
def test_exit_codes_of_shells_are_said_in_words(
    tmp_path: Path, run: tuple[str, ...], code: int, words: str
) -> None:
    """A shell's exit code is explained in the report, on the terminal and by `explain`."""
    coded(tmp_path, code)
    ended = orchestrate(*run, cwd=tmp_path)
    executed = report_of(tmp_path / "out")["stage_executions"][-1]
    assert executed["problem"]["cause"] == f"exited with code {code}"
    assert executed["problem"]["details"][0] == words
    assert words in executed["error"]
    assert words in ended.stdout
    explained = orchestrate("explain", "./out", "--json", cwd=tmp_path).stdout
    assert words in json.loads(explained)["causes"][0]["details"]
