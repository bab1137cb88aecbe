"""The task queue of a run and its stages: where it is set, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.lifecycle import reading
from tests.support.command import PASSING, checkpoint_of, orchestrate, report_of, shell, statuses
from tests.support.lifecycle_cases import edited

EXECUTOR = '[[state]]\nname = "executor"\nkind = "stage"\n'
ON_GPU = edited((EXECUTOR, f'{EXECUTOR}task_queue = "gpu"\n'))
DONE = '[[state]]\nname = "done"'
STAGES = (*shell("manager", "true"), *shell("executor", "true"))


def shown(tmp_path: Path, text: str) -> dict[str, tuple[Any, str]]:
    """Return value and source of the task queues in a file, from `config show`."""
    (tmp_path / "run.toml").write_text(text)
    asked = orchestrate("config", "show", "run.toml", "--json", cwd=tmp_path)
    assert asked.code == 0, asked.stderr
    rows = json.loads(asked.stdout)
    return {
        one["key"]: (one["value"], one["source"])
        for one in rows
        if one["key"].endswith("task_queue")
    }


BINARIES = """
[stage.manager]
bin = "true"
[stage.executor]
bin = "true"
"""


def test_stage_comes_before_lifecycle_and_lifecycle_before_run(tmp_path: Path) -> None:
    """The queue of the stage counts, else the lifecycle's, else the run's, else none is needed."""
    assert shown(tmp_path, BINARIES) == {
        "task_queue": (None, "default"),
        "stage.manager.task_queue": (None, "default"),
        "stage.executor.task_queue": (None, "default"),
    }
    (tmp_path / "gpu.toml").write_text(ON_GPU)
    given = f'task_queue = "general"\nlifecycle = "./gpu.toml"\n{BINARIES}'
    assert shown(tmp_path, given) == {
        "task_queue": ("general", "run.toml:1"),
        "stage.manager.task_queue": ("general", "as task_queue"),
        "stage.executor.task_queue": ("gpu", "lifecycle"),
    }
    of_stage = shown(tmp_path, f'{given}task_queue = "eu/gpu:big"\n')
    assert of_stage["stage.executor.task_queue"] == ("eu/gpu:big", "run.toml:8")


def test_options_come_before_the_keys_of_a_file(tmp_path: Path) -> None:
    """An option for the run or a stage replaces the file's key."""
    (tmp_path / "run.toml").write_text(
        f'task_queue = "general"\n{BINARIES}task_queue = "gpu"\n[gates]\npolicy = "deny"\n'
    )
    run = ("./out", "--config", "run.toml")
    assert orchestrate(*run, cwd=tmp_path).code == 3
    kept = checkpoint_of(tmp_path / "out")
    assert (kept["task_queue"], kept["stages"]["executor"]["task_queue"]) == ("general", "gpu")
    given = ("--task-queue", "other", "--executor-task-queue", "big")
    printed = orchestrate("run", *run, *given, "--print-config", cwd=tmp_path).stdout
    assert 'task_queue = "other"' in printed
    assert 'task_queue = "big"' in printed
    assert orchestrate(*run, *given, cwd=tmp_path).code == 3
    kept = checkpoint_of(tmp_path / "out")
    assert (kept["task_queue"], kept["stages"]["executor"]["task_queue"]) == ("other", "big")


@pytest.mark.parametrize("name", ["", " gpu", "-gpu", "gpu\n", "a b", "x" * 101, "größe"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    """Invalid names are refused as option and in a file, before anything is made."""
    (tmp_path / "run.toml").write_text(f"task_queue = {json.dumps(name)}\n")
    for given in (
        (f"--task-queue={name}",),
        (f"--executor-task-queue={name}",),
        ("--config", "run.toml"),
    ):
        ended = orchestrate("./out", *PASSING, *STAGES, *given, cwd=tmp_path)
        assert ended.code == 2
        assert "task" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_without_an_engine_it_has_no_effect_and_is_kept(tmp_path: Path) -> None:
    """Without an engine the stages run as usual without a warning, and a resume keeps the queue."""
    given = ("--task-queue", "general", "--executor-task-queue", "gpu")
    words = (*shell("manager", "true"), *shell("executor", "test -e ready"))
    assert orchestrate("./out", *PASSING, *words, *given, cwd=tmp_path).code == 1
    first = checkpoint_of(tmp_path / "out")
    assert first["task_queue"] == "general"
    assert first["stages"]["executor"]["task_queue"] == "gpu"
    assert "task_queue" not in first["stages"]["manager"]
    assert report_of(tmp_path / "out")["warnings"] == []
    (tmp_path / "ready").touch()
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    last = checkpoint_of(tmp_path / "out")
    assert (last["task_queue"], last["stages"]["executor"]["task_queue"]) == ("general", "gpu")


def test_another_queue_makes_no_completed_stage_stale(tmp_path: Path) -> None:
    """A resume can change the queue of a completed stage, which says where it runs, not what."""
    words = (*shell("manager", "true"), *shell("executor", "test -e ready"))
    assert orchestrate("./out", *PASSING, *words, cwd=tmp_path).code == 1
    (tmp_path / "ready").touch()
    others = ("--task-queue", "cpu", "--manager-task-queue", "gpu", "--executor-task-queue", "gpu")
    assert orchestrate("./out", "--resume", *others, cwd=tmp_path).code == 0
    assert statuses(report_of(tmp_path / "out")) == [
        ("manager", "skipped"),
        ("executor", "success"),
    ]
    kept = checkpoint_of(tmp_path / "out")
    assert (kept["task_queue"], kept["stages"]["executor"]["task_queue"]) == ("cpu", "gpu")
    again = orchestrate("./out", "--resume", "--executor-task-queue", "x", cwd=tmp_path)
    assert again.code == 0, again.stderr


def test_record_does_not_speak_of_it_where_nothing_was_said(tmp_path: Path) -> None:
    """The record of a run without a queue does not mention any."""
    assert orchestrate("./out", *PASSING, *STAGES, cwd=tmp_path).code == 0
    for name in ("orchestrator_checkpoint.json", "orchestrator_run_report.json"):
        assert "task_queue" not in (tmp_path / "out" / name).read_text()


def test_lifecycle_with_another_queue_is_the_same_relation(tmp_path: Path) -> None:
    """Another queue does not change the relation, so a resume may use another one."""
    plain, on_gpu = (reading.parse(text.encode(), "test") for text in (edited(), ON_GPU))
    assert plain.relation_sha256 == on_gpu.relation_sha256
    assert plain.sha256 != on_gpu.sha256
    (tmp_path / "gpu.toml").write_text(ON_GPU)
    words = (*shell("manager", "true"), *shell("executor", "test -e ready"))
    assert orchestrate("./out", *PASSING, *words, cwd=tmp_path).code == 1
    (tmp_path / "ready").touch()
    ended = orchestrate("./out", "--resume", "--lifecycle", "./gpu.toml", cwd=tmp_path)
    assert ended.code == 0, ended.stderr


def test_group_on_two_queues_is_refused(tmp_path: Path) -> None:
    """A group needs one queue; stages without one join it, unless the run has a queue."""
    words = [word for one in ("lint", "unit_tests", "scan") for word in named(one)]
    run = ("./out", "--lifecycle", "checked_run", *PASSING, *words, *shell("executor", "true"))
    two = ("--lint-task-queue", "gpu", "--scan-task-queue", "net")
    ended = orchestrate(*run, *two, cwd=tmp_path)
    assert ended.code == 2
    assert "'lint' on 'gpu' and 'scan' on 'net'" in ended.stderr
    assert orchestrate(*run, *two[:2], "--task-queue", "cpu", cwd=tmp_path).code == 2
    assert not (tmp_path / "out").exists()
    assert orchestrate(*run, *two[:2], cwd=tmp_path).code == 0
    (tmp_path / "out2").mkdir()
    failing = ("./out2", *run[1:-1], "exit 3")
    assert orchestrate(*failing, *two[:2], cwd=tmp_path).code == 1
    again = orchestrate("./out2", "--resume", *two[2:], cwd=tmp_path)
    assert again.code == 2
    assert "side by side, and need different task queues" in again.stderr


def named(stage: str) -> tuple[str, ...]:
    """Return the options of a stage in the group that does nothing."""
    return shell(stage.replace("_", "-"), "true")


def test_stage_that_always_runs_has_none_of_its_own(tmp_path: Path) -> None:
    """A stage that always runs takes no queue, because it runs where the run has ended."""
    last = '[[state]]\nname = "cleanup"\nkind = "stage"\nfinally = true\n'
    (tmp_path / "tidy.toml").write_text(edited((DONE, f"{last}\n{DONE}")))
    run = ("./out", "--lifecycle", "./tidy.toml", *PASSING, *STAGES, *shell("cleanup", "true"))
    ended = orchestrate(*run, "--cleanup-task-queue", "gpu", cwd=tmp_path)
    assert ended.code == 2
    assert "leave --cleanup-task-queue out" in ended.stderr
    assert orchestrate(*run, "--task-queue", "gpu", cwd=tmp_path).code == 0
    wrong = edited((DONE, f'{last}task_queue = "gpu"\n\n{DONE}'))
    (tmp_path / "wrong.toml").write_text(wrong)
    ended = orchestrate("verify", "./wrong.toml", cwd=tmp_path)
    assert "has finally = true, so it runs where the run has ended" in ended.stdout


def test_only_a_stage_has_one_in_a_lifecycle(tmp_path: Path) -> None:
    """Only a stage can have a queue in a lifecycle."""
    wrong = edited((f"{DONE}\n", f'{DONE}\ntask_queue = "gpu"\n'))
    (tmp_path / "wrong.toml").write_text(wrong)
    ended = orchestrate("verify", "./wrong.toml", cwd=tmp_path)
    assert "key 'task_queue' is for states of kind stage" in ended.stdout


def test_secret_is_not_shown_in_one(tmp_path: Path) -> None:
    """A secret in the name of a queue is refused, and not shown."""
    ended = orchestrate(
        "./out",
        *PASSING,
        *STAGES,
        *("--executor-secret", "TOKEN", "--executor-task-queue", "hunter2hunter2"),
        cwd=tmp_path,
        env={"TOKEN": "hunter2hunter2"},
    )
    assert ended.code == 2
    assert "hunter2" not in ended.stderr


def test_run_that_is_to_begin_again_is_told_with_its_queues(tmp_path: Path) -> None:
    """The command for a new run has the same queues."""
    words = (*shell("manager", "true"), *shell("executor", "echo 1 > plan"))
    given = ("--task-queue", "general", "--executor-task-queue", "gpu")
    expects = ("--executor-expected-artifact", "plan")
    assert orchestrate("./out", *PASSING, *words, *given, *expects, cwd=tmp_path).code == 0
    (tmp_path / "plan").unlink()
    explained = " ".join(orchestrate("explain", "./out", cwd=tmp_path).stdout.split())
    assert "--task-queue general" in explained
    assert "--executor-task-queue gpu" in explained


def test_picture_of_a_lifecycle_names_it(tmp_path: Path) -> None:
    """The picture of a lifecycle has the queue of each stage."""
    (tmp_path / "gpu.toml").write_text(ON_GPU)
    picture = orchestrate("diagram", "gpu.toml", "--format", "mermaid", cwd=tmp_path)
    assert "task queue gpu" in picture.stdout
