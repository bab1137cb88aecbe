"""A stage that needs another task queue does not begin: the run ends, and continues there."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import Interrupts, Report, RunConfig, StageGiven, resume, run
from fsm_orchestrator.record.checkpoint_reader import load_saved
from fsm_orchestrator.record.history_check import problem_of
from fsm_orchestrator.vocabulary import EventName, ExitCode, Gate, Outcome, StopReason
from tests.support.command import events_of, orchestrate, statuses
from tests.support.lifecycle_cases import edited

GATES = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
DONE = '[[state]]\nname = "done"'
TIDY = f'[[state]]\nname = "cleanup"\nkind = "stage"\nfinally = true\n\n{DONE}'
HANDED_OVER = (Outcome.FAILED, ExitCode.BUSY)


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a run's private state below the test's directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def sh(tmp_path: Path, words: str, queue: str | None = None, **settings: Any) -> StageGiven:
    """Return a stage that is a shell in the test's directory."""
    return StageGiven(
        bin="/bin/sh", args=("-c", words), cwd=str(tmp_path), task_queue=queue, **settings
    )


def config(
    tmp_path: Path, stages: Mapping[str, StageGiven], lifecycle: str | None = None, **settings: Any
) -> RunConfig:
    """Return a run of those stages."""
    if lifecycle is not None:
        (tmp_path / "lifecycle.toml").write_text(lifecycle)
        settings["lifecycle"] = str(tmp_path / "lifecycle.toml")
    given: dict[str, Any] = {"output_directory": tmp_path / "out", "gates": GATES, **settings}
    return RunConfig(stages=stages, **given)


def note(name: str, then: str = "true") -> str:
    """Return shell words that record the start of a stage, and then do something else."""
    return f"echo {name} >> began; {then}"


def began(tmp_path: Path) -> list[str]:
    """Return the stages that were started, in order."""
    path = tmp_path / "began"
    return path.read_text().split() if path.exists() else []


def how(report: Report) -> tuple[Outcome | None, int | None]:
    """Return the outcome and exit code of an invocation."""
    return report.terminal_state, report.exit_code


def two(tmp_path: Path, **settings: Any) -> RunConfig:
    """Return a run with a manager for any machine, and an executor that needs a GPU."""
    stages = {
        "manager": sh(tmp_path, note("manager")),
        "executor": sh(tmp_path, note("executor"), "gpu"),
    }
    return config(tmp_path, stages, **settings)


def test_run_ends_before_a_stage_of_another_queue_and_goes_on_there(tmp_path: Path) -> None:
    """No attempt begins before the handover; a resume there skips complete stages and enters it."""
    asked = two(tmp_path)
    first = run(asked, task_queue="general")
    assert how(first) == HANDED_OVER
    assert (first.stop_reason, first.next_task_queue) == (StopReason.HANDED_OVER, "gpu")
    assert not first.closure_ready
    assert statuses(json.loads(first.to_json())) == [("manager", "success")]
    last = first.transitions[-1]
    assert (last.source, last.dest) == ("executor", "failed")
    assert last.cause == "hands over to task queue gpu"
    assert began(tmp_path) == ["manager"]
    names = [one["event"] for one in events_of(tmp_path / "out")]
    assert names.count("attempt.begun") == 1
    second = resume(RunConfig(output_directory=tmp_path / "out"), task_queue="gpu")
    assert how(second) == (Outcome.DONE, ExitCode.DONE)
    assert second.closure_ready
    assert second.next_task_queue is None
    assert [one.status.value for one in second.stage_executions] == ["skipped", "success"]
    assert second.stage_executions[-1].attempt == 1
    assert began(tmp_path) == ["manager", "executor"]
    assert second.earlier_invocations[0].next_task_queue == "gpu"


def test_without_a_queue_of_the_caller_all_stages_are_run(tmp_path: Path) -> None:
    """A caller without a task queue runs all stages."""
    assert how(run(two(tmp_path))) == (Outcome.DONE, ExitCode.DONE)
    assert began(tmp_path) == ["manager", "executor"]


def test_resume_elsewhere_hands_over_again_and_runs_nothing(tmp_path: Path) -> None:
    """Resumes on the wrong machine hand over again, run nothing, and leave a valid record."""
    run(two(tmp_path), task_queue="general")
    again = RunConfig(output_directory=tmp_path / "out")
    for _ in range(2):
        report = resume(again, task_queue="other")
        assert how(report) == HANDED_OVER
        assert report.next_task_queue == "gpu"
    assert began(tmp_path) == ["manager"]
    assert problem_of(load_saved(tmp_path / "out").checkpoint) is None
    assert resume(again, task_queue="gpu").closure_ready


def test_first_stage_may_be_handed_over_and_each_to_a_queue_of_its_own(tmp_path: Path) -> None:
    """A stage without a queue of its own has the run's, so the first stage can be handed over."""
    stages = {
        "manager": sh(tmp_path, note("manager")),
        "executor": sh(tmp_path, note("executor"), "gpu"),
    }
    asked = config(tmp_path, stages, task_queue="cpu")
    first = run(asked, task_queue="general")
    assert (how(first), first.next_task_queue) == (HANDED_OVER, "cpu")
    assert began(tmp_path) == []
    again = RunConfig(output_directory=tmp_path / "out")
    second = resume(again, task_queue="cpu")
    assert (how(second), second.next_task_queue) == (HANDED_OVER, "gpu")
    assert resume(again, task_queue="gpu").closure_ready
    assert began(tmp_path) == ["manager", "executor"]


def test_stage_that_names_none_stays_where_the_run_is(tmp_path: Path) -> None:
    """A stage without a queue runs anywhere, unless the run has a queue."""
    stages = {
        "manager": sh(tmp_path, note("manager"), "gpu"),
        "executor": sh(tmp_path, note("executor")),
    }
    assert run(config(tmp_path, stages), task_queue="gpu").closure_ready


def test_stage_without_a_binary_needs_no_machine(tmp_path: Path) -> None:
    """A stage without a binary is passed over where the run is."""
    stages = {"executor": sh(tmp_path, note("executor"))}
    asked = config(tmp_path, stages, task_queue="general", allow_empty=True)
    text = edited(
        (
            'name = "manager"\nkind = "stage"\n',
            'name = "manager"\nkind = "stage"\ntask_queue = "gpu"\n',
        )
    )
    asked = config(tmp_path, stages, text, task_queue="general", allow_empty=True)
    assert run(asked, task_queue="general").closure_ready


def test_queue_of_the_lifecycle_counts(tmp_path: Path) -> None:
    """A queue in the lifecycle counts like one in a setting."""
    executor = '[[state]]\nname = "executor"\nkind = "stage"\n'
    text = edited((executor, f'{executor}task_queue = "gpu"\n'))
    stages = {one: sh(tmp_path, note(one)) for one in ("manager", "executor")}
    report = run(config(tmp_path, stages, text, task_queue="general"), task_queue="general")
    assert report.next_task_queue == "gpu"


def test_retry_stays_on_the_machine(tmp_path: Path) -> None:
    """All attempts of a stage run on the machine of the first one."""
    words = note("executor", "test $(grep -c executor began) = 3")
    retry = {"max_attempts": 3, "exit_codes": (1,), "backoff_ms": 0}
    stages = {
        "manager": sh(tmp_path, note("manager")),
        "executor": sh(tmp_path, words, "gpu", retry=retry),
    }
    assert run(config(tmp_path, stages), task_queue="general").next_task_queue == "gpu"
    report = resume(RunConfig(output_directory=tmp_path / "out"), task_queue="gpu")
    assert report.closure_ready
    assert began(tmp_path) == ["manager", *["executor"] * 3]


def test_rework_goes_back_to_the_queue_of_the_stage(tmp_path: Path) -> None:
    """A rework loop counts once, whichever queue runs the stage that it leads back to."""
    stages = {
        "manager": sh(tmp_path, note("manager"), "general"),
        "executor": sh(tmp_path, note("executor"), "gpu"),
        "reviewer": sh(tmp_path, note("reviewer", "test -e once || { touch once; exit 10; }")),
    }
    asked = config(tmp_path, stages, lifecycle=None)
    asked = asked.model_copy(update={"lifecycle": "reviewed_run"})
    asked = asked.model_copy(update={"task_queue": "general"})
    again = RunConfig(output_directory=tmp_path / "out")
    assert run(asked, task_queue="general").next_task_queue == "gpu"
    assert resume(again, task_queue="gpu").next_task_queue == "general"
    sent_back = resume(again, task_queue="general")
    assert sent_back.next_task_queue == "gpu"
    assert resume(again, task_queue="gpu").next_task_queue == "general"
    last = resume(again, task_queue="general")
    assert last.closure_ready
    assert began(tmp_path) == ["manager", "executor", "reviewer", "executor", "reviewer"]


def test_stage_that_always_runs_waits_for_the_end_of_the_run(tmp_path: Path) -> None:
    """A stage that always runs does so once, at the run's end, and not at a handover."""
    stages = {
        "manager": sh(tmp_path, note("manager")),
        "executor": sh(tmp_path, note("executor"), "gpu"),
        "cleanup": sh(tmp_path, note("cleanup")),
    }
    asked = config(tmp_path, stages, edited((DONE, TIDY)), task_queue="general")
    first = run(asked, task_queue="general")
    assert (how(first), first.next_task_queue) == (HANDED_OVER, "gpu")
    assert began(tmp_path) == ["manager"]
    second = resume(RunConfig(output_directory=tmp_path / "out"), task_queue="gpu")
    assert second.closure_ready
    assert began(tmp_path) == ["manager", "executor", "cleanup"]


def test_verification_is_done_where_the_stage_was_run(tmp_path: Path) -> None:
    """A verification runs on the machine of its attempt."""
    verified = ("/bin/sh", "-c", f"cd {tmp_path}; {note('verified')}")
    stages = {
        "manager": sh(tmp_path, note("manager")),
        "executor": sh(tmp_path, note("executor"), "gpu", verify=(verified,)),
    }
    assert run(config(tmp_path, stages), task_queue="general").next_task_queue == "gpu"
    assert resume(RunConfig(output_directory=tmp_path / "out"), task_queue="gpu").closure_ready
    assert began(tmp_path) == ["manager", "executor", "verified"]


def test_gates_are_judged_where_the_invocation_is(tmp_path: Path) -> None:
    """Each invocation judges the gates again, and a refusal ends it before any queue counts."""
    asked = two(tmp_path).model_copy(update={"gates": {**GATES, Gate.CI: "failure"}})
    blocked = run(asked, task_queue="elsewhere")
    assert how(blocked) == (Outcome.BLOCKED, ExitCode.BLOCKED)
    again = RunConfig(output_directory=tmp_path / "out", gates={Gate.CI: "success"})
    assert resume(again, task_queue="general").next_task_queue == "gpu"
    refusing = RunConfig(output_directory=tmp_path / "out", gates={Gate.CI: "failure"})
    assert how(resume(refusing, task_queue="gpu")) == (Outcome.BLOCKED, ExitCode.BLOCKED)
    assert began(tmp_path) == ["manager"]


GROUP = ("lint", "unit_tests", "scan")


def test_group_is_handed_over_as_a_whole(tmp_path: Path) -> None:
    """A group with a stage that needs a queue is handed over whole, before any of it begins."""
    stages = {one: sh(tmp_path, note(one)) for one in ("executor", *GROUP)}
    stages["scan"] = sh(tmp_path, note("scan"), "net")
    asked = config(tmp_path, stages).model_copy(update={"lifecycle": "checked_run"})
    first = run(asked, task_queue="general")
    assert first.next_task_queue == "net"
    assert first.transitions[-1].source == "checks"
    assert not set(began(tmp_path)).intersection(GROUP)
    assert resume(RunConfig(output_directory=tmp_path / "out"), task_queue="net").closure_ready


def test_request_to_end_goes_before(tmp_path: Path) -> None:
    """A run that is asked to end is not handed over."""
    interrupts = Interrupts()

    def ask(event: Mapping[str, Any]) -> None:
        if event["event"] == EventName.STAGE_ENDED:
            interrupts.deliver(signal.SIGTERM)

    report = run(two(tmp_path), task_queue="general", interrupts=interrupts, listener=ask)
    assert report.next_task_queue is None
    assert report.exit_code == ExitCode.TERMINATED


def test_people_see_an_interruption_that_says_where_it_goes_on(tmp_path: Path) -> None:
    """A handover is no failure in status, explain or the list of runs, and sends no notice."""
    told = tmp_path / "told"
    tell = {"on": ("failed", "interrupted"), "command": ("/bin/sh", "-c", f"touch {told}")}
    run(two(tmp_path, notify=(tell,)), task_queue="general")
    status = orchestrate("status", "./out", cwd=tmp_path)
    assert "interrupted: run" in status.stdout
    assert "hands over to task queue gpu" in status.stdout
    listed = json.loads(orchestrate("status", ".", "--json", cwd=tmp_path).stdout)
    assert "failed" not in json.dumps(listed).replace('"current_state": "failed"', "")
    explained = orchestrate("explain", "./out", cwd=tmp_path).stdout
    assert "the run hands over to task queue gpu, which executor needs" in explained
    assert "nothing is broken" in explained
    assert not told.exists()
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0


def test_record_is_made_again_from_the_events(tmp_path: Path) -> None:
    """The events restore where a run with a torn checkpoint continues."""
    run(two(tmp_path), task_queue="general")
    checkpoint = tmp_path / "out" / "orchestrator_checkpoint.json"
    before = load_saved(tmp_path / "out").checkpoint
    checkpoint.write_bytes(b"")
    saved = load_saved(tmp_path / "out")
    assert saved.rebuilt is not None
    assert saved.checkpoint.invocation.next_task_queue == "gpu"
    assert saved.checkpoint.invocation == before.invocation
