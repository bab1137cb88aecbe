"""Resumes after done or from an unusable checkpoint, and new runs beside an earlier one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command.resume_cases import MANAGER, PLAN, PLANNING, half_done, ran, refused
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    PASSING,
    REPORT,
    Ended,
    checkpoint_of,
    orchestrate,
    report_of,
    stages,
    statuses,
    tree_of,
)
from tests.support.copies import own_copy


def finished(directory: Path, *options: str) -> Path:
    """Make a run that reached done, with an artifact that its manager left."""
    given = (*PASSING, *stages(PLANNING, "echo executor >> trace"), *PLAN, *options)
    assert orchestrate("out", *given, cwd=directory).code == 0
    return directory / "out"


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a done run, for tests that run nothing: they copy its `out`."""
    directory = tmp_path_factory.mktemp("finished")
    finished(directory)
    return directory


# -- after done -----------------------------------------------------------------------------


def test_resuming_a_done_run_runs_nothing_and_keeps_all_evidence(tmp_path: Path) -> None:
    """Exit code 0, skips recorded, nothing spawned; the report of the run itself is kept whole."""
    output = finished(tmp_path)
    before = report_of(output)
    logs = tree_of(output / "logs")
    (output / REPORT).unlink()

    ended = orchestrate("out", "--resume", *PASSING, cwd=tmp_path)

    report = report_of(output)
    assert (ended.code, report["exit_code"], report["terminal_state"]) == (0, 0, "done")
    assert report["closure_ready"] is True
    assert ran(tmp_path) == ["manager", "executor"]
    assert statuses(report) == [("manager", "skipped"), ("executor", "skipped")]
    assert all("attempt 1" in one["reason"] for one in report["stage_executions"])
    assert report["gate_decisions"] == before["gate_decisions"]
    assert report["run_id"] == before["run_id"]
    (earlier,) = report["earlier_invocations"]
    for field in ("stage_executions", "transitions", "gate_decisions", "finished_at"):
        assert earlier[field] == before[field]
    assert tree_of(output / "logs") == logs
    assert not (output / "archive").exists()
    assert len(checkpoint_of(output)["invocations"]) == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--ci-status", "failure"),
        ("--manager-bin", "/bin/false"),
        ("--executor-arg", "other"),
        ("--manager-env", "ADDED=value"),
        ("--manager-cwd", "there"),
        ("--executor-expected-artifact", "other.json"),
        ("--rerun", "manager"),
        ("--on-changed-stage", "rerun"),
        ("--on-changed-stage", "keep", "--review-status", "changes_requested"),
        ("--on-changed-stage", "keep", "--rerun", "executor"),
    ],
    ids=" ".join,
)
def test_contradicting_a_done_run_is_refused(
    finished_run: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """A done run is final: another gate value, another command or a rerun is refused."""
    own_copy(finished_run / "out", tmp_path / "out")
    message = refused("out", "--resume", *options, cwd=tmp_path, untouched=finished_run)
    assert "done" in message


def test_keep_lifts_the_refusal_of_other_commands_after_done(tmp_path: Path) -> None:
    """With `keep` a done run stays unchanged, whatever commands were given."""
    output = finished(tmp_path)
    given = (*stages("echo new >> trace", "exit 1"), "--on-changed-stage", "keep")

    assert orchestrate("out", "--resume", *given, cwd=tmp_path).code == 0

    report = report_of(output)
    assert (ran(tmp_path), report["terminal_state"]) == (["manager", "executor"], "done")
    assert report["stage_executions"][0]["args"] == ["-c", PLANNING]
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


def test_a_done_run_whose_artifact_is_gone_stays_done_but_is_not_ready(tmp_path: Path) -> None:
    """The run stays done with exit code 1, not ready to close until the artifact is back."""
    output = finished(tmp_path)
    plan = (tmp_path / "plan.json").rename(tmp_path / "aside.json")

    ended = orchestrate("out", "--resume", cwd=tmp_path)

    report = report_of(output)
    assert (ended.code, report["exit_code"]) == (1, 1)
    assert (report["terminal_state"], report["closure_ready"]) == ("done", False)
    assert (report["current_state"], ran(tmp_path)) == ("done", ["manager", "executor"])
    assert str(tmp_path / "plan.json") in report["stage_executions"][-1]["error"]
    assert "plan.json" in ended.stdout
    plan.rename(tmp_path / "plan.json")
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert report_of(output)["closure_ready"] is True


def test_earlier_invocations_are_complete_after_many_resumes(tmp_path: Path) -> None:
    """Every report of an invocation is found again, field by field, in all later ones."""
    output = half_done(tmp_path)
    reports = [report_of(output)]
    last = (
        ("--ci-status", "missing"),
        ("--ci-status", "success", "--on-changed-stage", "keep", "--manager-arg", "x"),
        ("--rerun", "manager"),
        ("--executor-arg", "-c", "--executor-arg", "exit 0"),
        (),
    )
    codes = []
    for options in last:
        codes.append(orchestrate("out", "--resume", *options, cwd=tmp_path).code)
        reports.append(report_of(output))

    assert codes == [3, 1, 1, 0, 0]
    fields = (
        *("execution_mode", "version", "started_at", "finished_at", "exit_code"),
        *("gate_decisions", "transitions", "stage_executions", "warnings"),
    )
    earlier = reports[-1]["earlier_invocations"]
    assert [one["number"] for one in earlier] == [1, 2, 3, 4, 5]
    for found, report in zip(earlier, reports[:-1], strict=True):
        for field in fields:
            assert found[field] == report[field], field


# -- checkpoints that cannot be used --------------------------------------------------------


def assert_refused_as_failed(ended: Ended, output: Path, reason: str) -> None:
    """Check for exit code 1, a message and report with checkpoint and reason, and nothing run."""
    report = report_of(output)
    assert (ended.code, report["terminal_state"], report["closure_ready"]) == (1, "failed", False)
    assert (report["exit_code"], report["execution_mode"]) == (1, "resume")
    (execution,) = report["stage_executions"]
    assert (execution["command"], execution["exit_code"]) == ("checkpoint.load", None)
    for text in (execution["error"], ended.stderr):
        assert str(output / CHECKPOINT) in text
        assert reason in text


def test_a_resume_in_an_empty_directory_fails(tmp_path: Path) -> None:
    """With nothing to resume the exit code is 1, the report says so, and nothing runs."""
    (tmp_path / "out").mkdir()
    ended = orchestrate("out", "--resume", *PASSING, *stages(MANAGER), cwd=tmp_path)
    assert_refused_as_failed(ended, tmp_path / "out", "does not exist")
    assert ran(tmp_path) == []
    assert not (tmp_path / "out" / CHECKPOINT).exists()


def test_a_resume_in_a_missing_directory_does_not_make_it(tmp_path: Path) -> None:
    """The exit code is 1 and the path is named; a mistyped OUT is not made."""
    ended = orchestrate("typo/out", "--resume", *PASSING, *stages(MANAGER), cwd=tmp_path)
    assert ended.code == 1
    assert str(tmp_path / "typo" / "out" / CHECKPOINT) in ended.stderr
    assert list(tmp_path.iterdir()) == []


def forged_done(document: dict[str, Any]) -> bytes:
    """Return a checkpoint that claims a done which its history does not reach."""
    return json.dumps(document | {"current_state": "done"}).encode()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda _: b"", "empty"),
        (lambda document: json.dumps(document).encode()[:-200], "line 1"),
        (lambda _: b'{"terminal_state": "done"}', "not a checkpoint"),
        (lambda document: json.dumps(document | {"schema_version": 99}).encode(), "99"),
        (forged_done, "history ends in 'failed'"),
    ],
    ids=["empty", "cut", "foreign", "newer", "forged"],
)
def test_a_checkpoint_that_cannot_be_used_is_refused_and_left(
    half_done_run: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], bytes], reason: str
) -> None:
    """Exit code 1 with file and reason; the file stays, and the report it belied is archived.

    A checkpoint like after a power cut is refused where its events are not complete.
    """
    output = own_copy(half_done_run / "out", tmp_path / "out")
    if reason in {"empty", "line 1"}:
        (output / EVENTS).unlink()
    report = report_of(output) | {"terminal_state": "done", "closure_ready": True}
    (output / REPORT).write_text(json.dumps(report))
    before = (output / REPORT).read_bytes()
    spoilt = spoil(checkpoint_of(output))
    (output / CHECKPOINT).write_bytes(spoilt)
    untouched = tree_of(half_done_run)

    ended = orchestrate("out", "--resume", *PASSING, cwd=tmp_path)

    assert_refused_as_failed(ended, output, reason)
    assert (output / CHECKPOINT).read_bytes() == spoilt
    assert before in tree_of(output / "archive").values()
    assert tree_of(half_done_run) == untouched


def test_a_run_whose_checkpoint_could_never_be_written_resumes_from_the_beginning(
    tmp_path: Path,
) -> None:
    """The report proves that nothing was spawned: once the path is free, a resume starts."""
    blocked = tmp_path / "out" / CHECKPOINT
    blocked.mkdir(parents=True)
    given = (*PASSING, *stages(MANAGER, "echo executor >> trace"))

    ended = orchestrate("out", *given, cwd=tmp_path)

    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"], ran(tmp_path)) == (1, "failed", [])
    (execution,) = report["stage_executions"]
    assert execution["command"] == "checkpoint.persist"
    assert str(blocked) in execution["error"]

    blocked.rmdir()
    assert orchestrate("out", "--resume", *given, cwd=tmp_path).code == 0
    report = report_of(tmp_path / "out")
    assert (report["execution_mode"], report["terminal_state"]) == ("resume", "done")
    assert statuses(report) == [("manager", "success"), ("executor", "success")]
    assert ran(tmp_path) == ["manager", "executor"]


def test_a_lost_checkpoint_of_a_run_that_did_run_is_not_started_anew(
    half_done_run: Path, tmp_path: Path
) -> None:
    """If the report has a spawned stage, a missing checkpoint is never taken for the beginning."""
    output = own_copy(half_done_run / "out", tmp_path / "out")
    (output / CHECKPOINT).unlink()
    ended = orchestrate("out", "--resume", *PASSING, *stages(MANAGER), cwd=tmp_path)
    assert_refused_as_failed(ended, output, "does not exist")
    assert ran(tmp_path) == []


# -- an earlier run in the same directory ---------------------------------------------------


def run_files(directory: Path) -> dict[str, bytes]:
    """Return a run's own files, without lock and archive."""
    return {
        name: content
        for name, content in tree_of(directory).items()
        if name in {CHECKPOINT, REPORT, EVENTS} or name.startswith("logs/")
    }


def test_a_new_run_archives_the_earlier_one_whole(tmp_path: Path) -> None:
    """All files of the earlier run are moved byte for byte; the new report is the new run's."""
    output = finished(tmp_path, "--run-id", "first")
    first = run_files(output)
    assert len(first) == 7

    assert orchestrate("./out", "--run-id", "second", cwd=tmp_path).code == 3

    assert run_files(output / "archive" / "first") == first
    report = report_of(output)
    assert (report["run_id"], report["terminal_state"]) == ("second", "blocked")
    assert (report["earlier_invocations"], report["closure_ready"]) == ([], False)
    assert not (output / "logs").exists()
    second = run_files(output)
    assert orchestrate("./out", "--run-id", "third", cwd=tmp_path).code == 3
    assert run_files(output / "archive" / "second") == second
    assert run_files(output / "archive" / "first") == first


def test_a_run_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    """Neither the current run's id nor an archived one's can be used again."""
    orchestrate("./out", "--run-id", "first", cwd=tmp_path)
    assert "first" in refused("out", "--run-id", "first", *PASSING, *stages(), cwd=tmp_path)
    orchestrate("./out", "--run-id", "second", cwd=tmp_path)
    assert "first" in refused("out", "--run-id", "first", *PASSING, *stages(), cwd=tmp_path)
    assert orchestrate("./out", "--run-id", "third", cwd=tmp_path).code == 3


def test_a_refused_new_run_leaves_the_earlier_one_where_it_is(tmp_path: Path) -> None:
    """Only a run that starts archives the earlier one: a usage error moves nothing."""
    half_done(tmp_path)
    refused("out", *PASSING, "--manager-arg", "without a binary", cwd=tmp_path)
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
