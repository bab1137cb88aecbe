"""Stages that run side by side: all must succeed, and the first failure ends the others."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from fsm_orchestrator import Interrupts, Report, RunConfig, StageGiven, UsageError, resume, run
from fsm_orchestrator.constants import GROUP_STAGES_MAX
from fsm_orchestrator.engine.enter_gate import EnterGate
from fsm_orchestrator.engine.enter_stage import EnterStage
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import checkpoint_of, events_of
from tests.support.patience import wait_until

EXAMPLE = Path(__file__).parents[2] / "states" / "checked_run.toml"
CHECKS = ("lint", "unit_tests", "scan")
GATES = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
ALL_HERE = "test -e lint.here -a -e unit_tests.here -a -e scan.here"
MEETS = f"touch $0.here; until {ALL_HERE}; do sleep 0.01; done"
"""A script that continues once all three stages are running; in sequence they would hang."""
STAYS = f"{MEETS}; sleep 60"


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a run's private state below the test's directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def sh(directory: Path, stage: str, words: str, **settings: Any) -> StageGiven:
    """Return a stage that is a shell with its name as $0."""
    return StageGiven(bin="/bin/sh", args=("-c", words, stage), cwd=str(directory), **settings)


def config(
    directory: Path, words: Mapping[str, str], *, lifecycle: str | None = None, **settings: Any
) -> RunConfig:
    """Return a run of the example: the executor does nothing, the other stages run these words."""
    path = EXAMPLE
    if lifecycle is not None:
        path = directory / "group.toml"
        path.write_text(lifecycle)
    stages = {one: sh(directory, one, said, **settings.get(one, {})) for one, said in words.items()}
    return RunConfig(
        output_directory=directory / "out",
        lifecycle=str(path),
        gates=GATES,
        stages={"executor": sh(directory, "executor", "exit 0"), **stages},
        kill_grace_ms=settings.get("kill_grace_ms"),
    )


PATIENT = EXAMPLE.read_text().replace('kind = "group"\n', 'kind = "group"\nfail_fast = false\n')


def once_recorded(pattern: str, name: str = "checkpoint.json") -> str:
    """Return shell words that wait until a file of the record has a pattern."""
    return f"until grep -q '{pattern}' out/orchestrator_{name}; do sleep 0.01; done"


def once_complete(stage: str) -> str:
    """Return shell words that wait until a stage is complete in the record."""
    return once_recorded(f'"stage":"{stage}","cycle":1,"attempt":1,"invocation"')


def alive_in(directory: Path) -> list[int]:
    """Return the processes that work in a directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()) == directory:
                found.append(process.pid)
    return found


def ends(report: Report) -> dict[str, tuple[str, str | None]]:
    """Return the last status and ending of each stage."""
    return {
        one.stage: (one.status.value, one.ending and one.ending.value)
        for one in report.stage_executions
    }


def test_stages_of_a_group_run_at_once_and_all_must_succeed(tmp_path: Path) -> None:
    """Each stage waits for the others, and all attempts are recorded before any of them starts."""
    report = run(config(tmp_path, dict.fromkeys(CHECKS, MEETS)))
    assert (report.exit_code, report.closure_ready) == (0, True)
    assert [one.dest for one in report.transitions] == ["gating", "executor", "checks", "done"]
    assert report.transitions[-1].cause == "all 3 stages of checks succeeded or had no work"
    events = [one for one in events_of(tmp_path / "out") if one.get("state") == "checks"]
    names = [one["event"] for one in events]
    assert names[:4] == ["transition", *["attempt.begun"] * 3]
    assert names.index("stage.ended") > max(
        index for index, name in enumerate(names) if name == "stage.started"
    )


def test_first_failure_ends_the_others_gently(tmp_path: Path) -> None:
    """The others get SIGTERM and a grace, and are interrupted with an ending of their own."""
    polite = f"trap 'echo $0 >>tidied; exit 0' TERM; {MEETS}; sleep 60 & wait $!"
    words = {"lint": polite, "unit_tests": polite, "scan": f"{MEETS}; exit 7"}
    report = run(config(tmp_path, words))
    assert (report.exit_code, report.terminal_state) == (1, "failed")
    assert ends(report) == {
        "executor": ("success", "exited"),
        "scan": ("failed", "exited"),
        "lint": ("interrupted", "sibling_failed"),
        "unit_tests": ("interrupted", "sibling_failed"),
    }
    lint = next(one for one in report.stage_executions if one.stage == "lint")
    assert lint.error == "interrupted: scan, which ran alongside it, did not succeed"
    assert sorted((tmp_path / "tidied").read_text().split()) == ["lint", "unit_tests"]
    assert report.transitions[-1].trigger == "stage_failed"
    assert report.transitions[-1].cause == "attempt 1 of scan: exited with code 7"
    assert [one.stage for one in report.failures] == ["scan"]
    assert not alive_in(tmp_path)


def test_stage_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    """A sibling that ignores SIGTERM is killed after its grace."""
    stubborn = f"trap '' TERM; {MEETS}; while :; do sleep 1; done"
    words = {"lint": stubborn, "unit_tests": MEETS, "scan": f"{MEETS}; exit 1"}
    report = run(config(tmp_path, words, kill_grace_ms=50))
    assert ends(report)["lint"] == ("interrupted", "sibling_failed")
    assert not alive_in(tmp_path)


def test_group_that_is_patient_lets_the_others_finish(tmp_path: Path) -> None:
    """With fail_fast = false the others finish after a failure, and complete ones stay complete."""
    words = {
        "lint": "exit 1",
        "unit_tests": once_complete("scan"),
        "scan": once_recorded('"error":"exited with code 1"'),
    }
    report = run(config(tmp_path, words, lifecycle=PATIENT))
    assert report.exit_code == 1
    assert ends(report) == {
        "executor": ("success", "exited"),
        "lint": ("failed", "exited"),
        "scan": ("success", "exited"),
        "unit_tests": ("success", "exited"),
    }
    again = resume(
        RunConfig(
            output_directory=tmp_path / "out", stages={"lint": sh(tmp_path, "lint", "exit 0")}
        )
    )
    assert (again.exit_code, ends(again)) == (
        0,
        {
            **dict.fromkeys(("executor", "unit_tests", "scan"), ("skipped", None)),
            "lint": ("success", "exited"),
        },
    )


OUTCOMES: dict[str, tuple[dict[str, str], str, int, list[str]]] = {
    "a failure is worse than a timeout": (
        {"lint": "sleep 60", "unit_tests": "exit 3", "scan": "exit 0"},
        "failed",
        1,
        ["attempt 1 of unit_tests: exited with code 3", "attempt 1 of lint: timed out after 200ms"],
    ),
    "a timeout is worse than success": (
        {"lint": "sleep 60", "unit_tests": "exit 0", "scan": "exit 0"},
        "timeout",
        124,
        ["attempt 1 of lint: timed out after 200ms"],
    ),
    "two failures": (
        {"lint": "exit 4", "unit_tests": "exit 3", "scan": "exit 0"},
        "failed",
        1,
        ["attempt 1 of lint: exited with code 4", "attempt 1 of unit_tests: exited with code 3"],
    ),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_group_comes_to_the_worst_and_names_each(tmp_path: Path, case: str) -> None:
    """A group has the worst result in a fixed order; its cause names each unsuccessful stage."""
    words, outcome, code, causes = OUTCOMES[case]
    report = run(config(tmp_path, words, lifecycle=PATIENT, lint={"timeout_ms": 200}))
    assert (report.terminal_state, report.exit_code) == (outcome, code)
    last = report.transitions[-1]
    told = f"{last.cause} {' '.join(last.details)}"
    assert all(one in told for one in causes)


def test_stage_of_a_group_is_tried_again_before_it_counts_as_failed(tmp_path: Path) -> None:
    """The others continue while a stage is tried again."""
    once = 'test "$ORCHESTRATOR_ATTEMPT" = 2 || exit 75; touch retried'
    waits = "until test -e retried; do sleep 0.01; done"
    retry = RetryPolicy(max_attempts=2, exit_codes=(75,), backoff_ms=1)
    words = {"lint": once, "unit_tests": waits, "scan": waits}
    report = run(config(tmp_path, words, lint={"retry": retry}))
    assert report.exit_code == 0
    assert [(one.attempt, one.flaky) for one in report.stage_executions if one.stage == "lint"] == [
        (1, False),
        (2, True),
    ]


def test_retry_is_not_waited_for_once_another_has_failed(tmp_path: Path) -> None:
    """A stage that waits for its retry stays failed once another has failed."""
    retry = RetryPolicy(max_attempts=2, exit_codes=(75,), backoff_ms=60_000)
    fails = once_recorded('"event": "stage.retrying"', "events.jsonl") + "; exit 1"
    words = {"lint": "exit 75", "unit_tests": "exit 0", "scan": fails}
    report = run(config(tmp_path, words, lint={"retry": retry}))
    assert report.exit_code == 1
    assert ends(report)["lint"] == ("failed", "exited")
    assert len([one for one in report.stage_executions if one.stage == "lint"]) == 1


def test_resume_runs_only_what_is_incomplete(tmp_path: Path) -> None:
    """A stage that succeeded before another failed is durable, and a resume skips it."""
    fails = once_complete("lint") + "; exit 1"
    words = {"lint": "exit 0", "unit_tests": "sleep 60", "scan": fails}
    assert ends(run(config(tmp_path, words)))["lint"] == ("success", "exited")
    fixed = {one: sh(tmp_path, one, "echo $0 >>ran") for one in ("unit_tests", "scan")}
    report = resume(RunConfig(output_directory=tmp_path / "out", stages=fixed))
    assert (report.exit_code, report.closure_ready) == (0, True)
    assert ends(report)["lint"] == ("skipped", None)
    assert sorted((tmp_path / "ran").read_text().split()) == ["scan", "unit_tests"]


def test_stage_without_a_binary_is_passed_over_and_the_others_run(tmp_path: Path) -> None:
    """A stage of a group without a binary is passed over like a single one."""
    report = run(config(tmp_path, {"lint": "exit 0"}))
    assert report.exit_code == 0
    assert [one for one in report.warnings if "no binary" in one] == [
        f"stage {one!r} has no binary and was passed over" for one in ("unit_tests", "scan")
    ]
    assert set(ends(report)) == {"executor", "lint"}


def test_all_are_ended_together_when_the_run_is_asked_to_end(tmp_path: Path) -> None:
    """A request interrupts each stage by itself, and a resume runs all of them again."""
    interrupts = Interrupts()
    here = [tmp_path / f"{one}.here" for one in CHECKS]

    def ask() -> None:
        wait_until(lambda: all(one.exists() for one in here))
        interrupts.deliver(signal.SIGINT)

    asker = threading.Thread(target=ask)
    asker.start()
    report = run(config(tmp_path, dict.fromkeys(CHECKS, STAYS)), interrupts=interrupts)
    asker.join()
    interrupts.close()
    assert (report.exit_code, report.terminal_state) == (130, "failed")
    assert {ends(report)[one] for one in CHECKS} == {("interrupted", "interrupted")}
    assert report.transitions[-1].trigger == "run_aborted"
    assert not alive_in(tmp_path)


def test_artifacts_of_two_stages_of_a_group_may_not_overlap(tmp_path: Path) -> None:
    """Overlapping artifacts in a group are refused, in a new run and in a resume."""
    report = {"expected_artifacts": (str(tmp_path / "report.json"),)}
    asked = config(tmp_path, dict.fromkeys(CHECKS, "exit 0"), lint=report, scan=report)
    with pytest.raises(UsageError, match=r"stages 'lint' and 'scan' run side by side"):
        run(asked)
    assert not (tmp_path / "out").exists()
    run(config(tmp_path, dict.fromkeys(CHECKS, "exit 1"), lint=report))
    given = sh(tmp_path, "scan", "exit 0", **report)
    with pytest.raises(UsageError, match=r"stages 'lint' and 'scan' run side by side"):
        resume(RunConfig(output_directory=tmp_path / "out", stages={"scan": given}))


def test_record_that_cannot_be_kept_ends_all(tmp_path: Path) -> None:
    """If the record can no longer be written, the run fails and all stages are ended."""
    path = "out/orchestrator_checkpoint.json"
    breaks = f"{MEETS}; until rm -f {path}; mkdir {path} 2>/dev/null; do :; done; exit 0"
    words = {"lint": breaks, "unit_tests": STAYS, "scan": STAYS}
    report = run(config(tmp_path, words))
    assert (report.exit_code, report.terminal_state) == (1, "failed")
    assert not alive_in(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_raised_through_the_run_ends_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """An exception through the run ends all three stages, and a resume runs all of them."""
    told, started = EnterStage._on_started, []

    def on_started(entry: EnterStage, stage: str, pid: int) -> None:
        told(entry, stage, pid)
        started.append(pid)
        if len(started) == len(CHECKS) + 1:
            raise error

    with monkeypatch.context() as patched:
        patched.setattr(EnterStage, "_on_started", on_started)
        with pytest.raises(error):
            run(config(tmp_path, dict.fromkeys(CHECKS, "sleep 60")))
    assert not alive_in(tmp_path)
    document = checkpoint_of(tmp_path / "out")
    assert (document["current_state"], document["open_attempts"]) == ("failed", [])
    again = {one: sh(tmp_path, one, "exit 0") for one in CHECKS}
    report = resume(RunConfig(output_directory=tmp_path / "out", stages=again))
    assert report.exit_code == 0


def test_listener_is_called_by_the_thread_that_called_run(tmp_path: Path) -> None:
    """The listener is called by the thread that called `run`, so that it needs no lock."""
    threads, told = set(), []

    def listener(event: Mapping[str, Any]) -> None:
        threads.add(threading.get_ident())
        told.append(event["event"])

    words = dict.fromkeys(CHECKS, f"echo $0; {MEETS}")
    asked = config(tmp_path, words).model_copy(update={"log_output": True})
    assert run(asked, listener=listener).exit_code == 0
    assert threads == {threading.get_ident()}
    assert told.count("stage.output") == len(CHECKS)


def test_stage_that_is_released_no_more_keeps_the_whole_group_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one stage's approval no longer holds, no stage of the group starts."""

    def why_not(_: EnterGate, stage: str) -> str | None:
        return "the approval of review no longer counts" if stage == "scan" else None

    monkeypatch.setattr(EnterGate, "why_not", why_not)
    report = run(config(tmp_path, dict.fromkeys(CHECKS, "touch ran")))
    assert (report.exit_code, report.terminal_state) == (1, "failed")
    assert report.transitions[-1].cause == "the approval of review no longer counts"
    assert set(ends(report)) == {"executor"}
    assert not (tmp_path / "ran").exists()


def test_limits_hold_for_each_by_itself(tmp_path: Path) -> None:
    """Output limit, idle timeout and wrong artifacts count for each stage as for a single one."""
    words = {
        "lint": f"{MEETS}; yes",
        "unit_tests": f"{MEETS}; echo here; sleep 60",
        "scan": f"{MEETS}; echo '[1,]' >report.json",
    }
    report = run(
        config(
            tmp_path,
            words,
            lifecycle=PATIENT,
            lint={"output_limit_bytes": 10_000},
            unit_tests={"idle_timeout_ms": 300},
            scan={"expected_artifacts": (str(tmp_path / "report.json"),)},
        )
    )
    assert {one: ends(report)[one] for one in CHECKS} == {
        "lint": ("failed", "output_limit"),
        "unit_tests": ("timeout", "went_quiet"),
        "scan": ("artifact_missing", "artifacts_wrong"),
    }
    assert report.terminal_state == "failed"


def test_group_of_many_stages(tmp_path: Path) -> None:
    """A group of the maximum size runs all its stages at once."""
    names = [f"check_{number:02}" for number in range(GROUP_STAGES_MAX)]
    states = "".join(f'[[state]]\nname = "{one}"\nkind = "stage"\n\n' for one in names)
    text = EXAMPLE.read_text()
    begin, end = text.index('[[state]]\nname = "checks"'), text.index('[[state]]\nname = "done"')
    group = f'[[state]]\nname = "checks"\nkind = "group"\nstages = {json.dumps(names)}\n\n'
    meets = f"touch $0.here; until [ $(ls *.here | wc -l) = {len(names)} ]; do sleep 0.05; done"
    asked = config(
        tmp_path,
        dict.fromkeys(names, meets),
        lifecycle=f"{text[:begin]}{group}{states}{text[end:]}",
    )
    report = run(asked)
    assert (report.exit_code, report.closure_ready) == (0, True)
    assert len(report.stage_executions) == 1 + len(names)
