"""Old invocations move to their own file and still count; without it, no run closes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import RunConfig, StageGiven, load_report, resume, run
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.record import checkpoint_reader, moving_out
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.earlier import MovedInvocation
from fsm_orchestrator.vocabulary import Gate, Outcome, StageStatus
from tests.support.command import (
    CHECKPOINT,
    INVOCATIONS,
    PASSING,
    REPORT,
    checkpoint_of,
    orchestrate,
    report_of,
    stages,
)
from tests.support.schema_checks import assert_output_valid

pytestmark = pytest.mark.one_in(2)

PASSED = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
KEPT_MAX, KEPT_MIN = 4, 2


@pytest.fixture(autouse=True)
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit a record to four invocations, of which two stay after a move."""
    monkeypatch.setattr(moving_out, "KEPT_MAX", KEPT_MAX)
    monkeypatch.setattr(moving_out, "KEPT_MIN", KEPT_MIN)


def shell(script: str) -> StageGiven:
    """Return a stage that is a shell."""
    return StageGiven(bin="/bin/sh", args=("-c", script))


def failed(output: Path, resumes: int, until: str = "content") -> None:
    """Begin a run whose executor fails until a file exists, and resume it several times."""
    both = {
        "manager": shell("echo '[1]' > $ORCHESTRATOR_OUTPUT_DIR/plan.json"),
        "executor": shell(f"test -e $ORCHESTRATOR_OUTPUT_DIR/{until}"),
    }
    plan = {"expected_artifacts": (str(output / "plan.json"),)}
    both["manager"] = both["manager"].model_copy(update=plan)
    run(RunConfig(output_directory=output, gates=PASSED, stages=both))
    for _ in range(resumes):
        resume(RunConfig(output_directory=output))


def moved_of(output: Path) -> list[MovedInvocation]:
    """Return the lines of the file."""
    lines = (output / INVOCATIONS).read_bytes().splitlines()
    return [MovedInvocation.model_validate_json(line) for line in lines]


def test_record_keeps_the_latest_and_counts_all(tmp_path: Path) -> None:
    """Each invocation is in one of two places, once and whole; the numbers and the run continue."""
    output = tmp_path / "out"
    failed(output, 0)
    told = [load_report(output).latest]
    for _ in range(10):
        resume(RunConfig(output_directory=output))
        told.append(load_report(output).latest)
    record = checkpoint_reader.load(output)
    moved = moved_of(output)
    kept = [one.number for one in record.invocations]
    assert [one.invocation.number for one in moved] + kept == list(range(1, 12))
    ran_again = {"passed_over": (), "rerun": ()}
    assert [one.invocation.model_copy(update=ran_again) for one in moved] == told[: len(moved)]
    assert record.earlier is not None
    assert record.earlier.totals == moved[-1].totals
    assert record.earlier.totals.last_number == len(moved) == load_report(output).invocations_moved
    assert [(one.stage, one.attempts) for one in record.earlier.totals.stages] == [
        ("executor", len(moved)),
        ("manager", 1),
    ]
    assert (record.attempts_made("executor"), record.next_attempt("executor")) == (11, 12)
    assert (output / INVOCATIONS).stat().st_mode & 0o777 == 0o600
    (output / "content").touch()
    report = resume(RunConfig(output_directory=output))
    skip, success = report.stage_executions
    assert (skip.status, skip.attempt, skip.reason) == (
        *(StageStatus.SKIPPED, 1),
        "completed by attempt 1 in invocation 1",
    )
    assert (success.status, success.attempt) == (StageStatus.SUCCESS, 12)
    assert (report.terminal_state, report.closure_ready) == (Outcome.DONE, True)
    assert report.transitions[-1].seq == checkpoint_reader.load(output).last_seq == 48
    assert_output_valid(output)
    (output / "plan.json").unlink()
    for _ in range(KEPT_MAX + 1):  # the invocation that closed the run moves as well
        resume(RunConfig(output_directory=output))
        (output / str(len(os.listdir(output)))).touch()
    (output / "plan.json").write_text("[1]\n")
    report = resume(RunConfig(output_directory=output))
    assert report.closure_ready
    assert len(report.gate_decisions) == 3
    assert not any(one.gate_decisions for one in report.earlier_invocations)


def test_rework_is_counted_over_all(tmp_path: Path) -> None:
    """Bounds, cycles and counts of a loop are the same as if nothing had moved."""
    given = {
        "manager": shell("exit 0"),
        "executor": shell('test "$ORCHESTRATOR_REWORK_CYCLE" != 2 || test -e ' + f"{tmp_path}/go"),
        "reviewer": shell("exit 10"),
    }

    def counted(output: Path) -> tuple[Any, ...]:
        run(
            RunConfig(output_directory=output, lifecycle="reviewed_run", gates=PASSED, stages=given)
        )
        for _ in range(9):
            resume(RunConfig(output_directory=output))
        record = checkpoint_reader.load(output)
        (loop,) = record.lifecycle.loops
        return (
            *(record.times_taken(loop), record.cycle_of("executor"), record.last_seq),
            *(record.attempts_made(stage) for stage in record.lifecycle.stages),
            *(record.next_attempt(stage) for stage in record.lifecycle.stages),
            [one.stage for one in record.completions],
        )

    few = counted(tmp_path / "few")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving_out, "KEPT_MAX", 100)
        assert counted(tmp_path / "all") == few
    assert not (tmp_path / "all" / INVOCATIONS).exists()
    assert few[:2] == (2, 3)
    (tmp_path / "go").touch()
    ends = [resume(RunConfig(output_directory=tmp_path / name)) for name in ("few", "all")]
    assert [one.terminal_state for one in ends] == [Outcome.FAILED] * 2
    assert ends[0].transitions[-1].cause == ends[1].transitions[-1].cause
    assert "at_most" in ends[0].transitions[-1].cause
    told = [one.transitions[-1].seq for one in ends]
    assert told[0] == told[1]


def test_stage_with_new_settings_is_no_contradiction(tmp_path: Path) -> None:
    """The settings of a stage's earlier completion need not agree with its new settings."""
    failed(tmp_path, 3)
    manager = shell("echo '[2]' > $ORCHESTRATOR_OUTPUT_DIR/plan.json")
    again = RunConfig(output_directory=tmp_path, stages={"manager": manager}, rerun=("manager",))
    report = resume(again)
    assert checkpoint_of(tmp_path)["earlier"]["completions"]
    assert [one.status.value for one in report.stage_executions] == ["success", "failed"]
    for _ in range(6):
        report = resume(RunConfig(output_directory=tmp_path))
    assert report.stage_executions[0].reason == "completed by attempt 2 in invocation 5"


def delete(path: Path) -> None:
    """Delete the file."""
    path.unlink()


def cut(path: Path) -> None:
    """Cut off the last line."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def change(path: Path) -> None:
    """Change a letter of a line in the middle."""
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"exit_code":1', b'"exit_code":3', 1))


def lay_fifo(path: Path) -> None:
    """Put a FIFO in the file's place."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("harm", "said"),
    [(delete, "is gone"), (cut, "was cut to"), (change, "was changed"), (lay_fifo, "cannot read")],
)
def test_loss_is_said_and_closes_nothing(
    harm: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    """A loss is reported by every command, also for a done run, and its resume fails."""
    output = tmp_path / "out"
    failed(output, 5)
    (output / "content").touch()
    assert resume(RunConfig(output_directory=output)).closure_ready
    kept = (output / INVOCATIONS).read_bytes()
    harm(output / INVOCATIONS)
    for command in (("status", "out"), ("explain", "out"), ("plan", "out", "--resume")):
        ended = orchestrate(*command, cwd=tmp_path, timeout=60)
        words = " ".join((ended.stdout + ended.stderr).split())
        assert f"{INVOCATIONS} {said}" in words or f"{said} {output / INVOCATIONS}" in words, words
    told = json.loads(orchestrate("explain", "out", "--json", cwd=tmp_path).stdout)
    assert told["standing"] == "not_closable"
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert f"{INVOCATIONS}" in ended.stderr
    assert report_of(output)["closure_ready"] is False
    (output / INVOCATIONS).unlink(missing_ok=True)
    (output / INVOCATIONS).write_bytes(kept)
    assert resume(RunConfig(output_directory=output)).closure_ready


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("totals", "gate_decisions"), [], "is not what the last line"),
        (("totals", "stages", 0, "attempts"), 1, "executions: are not those"),
        (("totals", "current_state"), "nowhere", "no state 'nowhere'"),
        (("completions",), [], "completions: are not those"),
        (("executions", 1, "status"), "failed", "attempt 1 of 'manager' does not fit"),
        (("file", "lines"), 1, "was changed"),
        (("file", "size_bytes"), 2**50, "was cut to"),
    ],
)
def test_forged_totals_are_refused(
    place: tuple[str | int, ...], value: object, said: str, tmp_path: Path
) -> None:
    """The totals of old invocations must agree with each other and with the file."""
    failed(tmp_path, 5)
    document = checkpoint_of(tmp_path)
    holder: Any = document["earlier"]
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    (tmp_path / CHECKPOINT).write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=said):
        checkpoint_reader.load(tmp_path)


def test_run_that_is_archived_takes_its_file_along(tmp_path: Path) -> None:
    """A new run begins without old invocations, and an archived run keeps its own."""
    output = tmp_path / "out"
    failed(output, 6)
    run_id, count = report_of(output)["run_id"], len(moved_of(output))
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    assert not (output / INVOCATIONS).exists()
    assert len(moved_of(output / "archive" / run_id)) == count
    ended = orchestrate("explain", "--all", "out", "--run-id", run_id, cwd=tmp_path)
    assert f"what invocations 1 to {count} did is in {INVOCATIONS}" in ended.stdout
    page = orchestrate("report", "out", "--run-id", run_id, "--html", "-", cwd=tmp_path).stdout
    assert f"Invocations 1 to {count} are in {INVOCATIONS}" in page


def test_run_is_resumed_where_it_was_moved_to(tmp_path: Path) -> None:
    """The paths that the record has of old invocations move along with the run."""
    failed(tmp_path / "out", 6)
    (tmp_path / "out").rename(tmp_path / "away")
    (tmp_path / "away" / "content").touch()
    report = resume(RunConfig(output_directory=tmp_path / "away"))
    assert report.closure_ready, report.stage_executions
    for _ in range(KEPT_MAX):
        resume(RunConfig(output_directory=tmp_path / "away"))
        (tmp_path / "away" / str(len(os.listdir(tmp_path / "away")))).touch()
    assert checkpoint_reader.load(tmp_path / "away").is_done


def killed_at(number: int, output: Path) -> bool:
    """Resume in a process that dies before its n-th operation; return True if it did."""
    child = os.fork()
    if child == 0:
        count = 0
        real = files.perform

        def perform(operation: Any, call: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                if operation is files.SystemCall.WRITE:  # half of the data is written
                    call(args[0], args[1][: len(args[1]) // 2])
                os._exit(9)
            return real(operation, call, *args, **kwargs)

        files.perform = perform
        try:
            resume(RunConfig(output_directory=output))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def moments() -> Iterator[int]:
    """Yield, in steps, each operation of a resume that can be the last one."""
    return iter(range(1, 400))


def test_kill_while_they_are_moved_loses_and_doubles_none(tmp_path: Path) -> None:
    """After a kill of the resume that moves them, the next one has each invocation exactly once."""
    output, private = tmp_path / "out", tmp_path / "state"
    failed(output, KEPT_MAX - 1, until="../content")
    shutil.copytree(output, tmp_path / "before", symlinks=True)
    shutil.copytree(private, tmp_path / "state-before")
    seen = set()
    for number in moments():
        for one in output.iterdir():  # the directory stays: it is the run's
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        shutil.copytree(tmp_path / "before", output, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(private)
        shutil.copytree(tmp_path / "state-before", private)
        if not killed_at(number, output):
            break
        state = (
            (output / CHECKPOINT).read_bytes().count(b'"number":'),
            (output / INVOCATIONS).stat().st_size if (output / INVOCATIONS).exists() else -1,
        )
        if state in seen:
            continue
        seen.add(state)
        resume(RunConfig(output_directory=output))
        record = checkpoint_reader.load(output)
        numbers = [one.invocation.number for one in moved_of(output)]
        numbers += [one.number for one in record.invocations]
        assert numbers in (list(range(1, 6)), list(range(1, 7))), (number, numbers)
    else:
        pytest.fail("the resume has no end")
    assert len({size for _, size in seen}) == 3  # none, half of it, all of it


def test_somebody_else_s_file_is_not_cut(tmp_path: Path) -> None:
    """A file of that name that the run did not make fails the run and stays unchanged."""
    failed(tmp_path, KEPT_MAX - 1)
    (tmp_path / INVOCATIONS).write_text("mine\n")
    report = resume(RunConfig(output_directory=tmp_path))
    assert report.terminal_state is Outcome.FAILED
    assert "somebody else has written into it" in (report.stage_executions[-1].error or "")
    assert (tmp_path / INVOCATIONS).read_text() == "mine\n"
    (tmp_path / INVOCATIONS).unlink()
    resumed = resume(RunConfig(output_directory=tmp_path))
    assert "1 step behind the events" in " ".join(resumed.warnings)
    assert len(moved_of(tmp_path)) == 4  # including that one, which the events have


def test_late_resume_of_a_failing_run_has_its_size(tmp_path: Path) -> None:
    """After forty resumes that each ran a stage, the records no longer grow."""
    failed(tmp_path, 10)
    sizes = []
    for _ in range(30):
        resume(RunConfig(output_directory=tmp_path))
        sizes.append(sum((tmp_path / name).stat().st_size for name in (CHECKPOINT, REPORT)))
    assert max(sizes[-6:]) - max(sizes[:6]) < 200
    record: Checkpoint = checkpoint_reader.load(tmp_path)
    assert len(record.invocations) <= KEPT_MAX
