"""Nothing is lost, and nothing is claimed that is not on disk: real failures of real files.

A path that is taken, a disk that is full (a limit on the size of files), a missing directory.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.disk import files
from tests.support import forked
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    EVENTS,
    PASSING,
    REPORT,
    Ended,
    checkpoint_of,
    environment,
    events_of,
    orchestrate,
    read_json,
    report_of,
    stages,
    start,
    statuses,
)

pytestmark = pytest.mark.one_in(2)

LOCK = "orchestrator.lock"


def marking(manager: str = "true", executor: str = "true") -> tuple[str, ...]:
    """Return options of a run whose stages note outside OUT that they ran, then do their script."""
    return (
        *PASSING,
        *stages(f"echo x >> manager.ran; {manager}", f"echo x >> executor.ran; {executor}"),
    )


def ran(cwd: Path) -> tuple[int, int]:
    """Return how often manager and executor ran."""
    manager, executor = (
        len(path.read_text().split()) if path.exists() else 0
        for path in (cwd / "manager.ran", cwd / "executor.ran")
    )
    return manager, executor


def temporaries(directory: Path) -> list[Path]:
    """Return the temporary files left behind."""
    return [path for path in directory.rglob("*") if path.name.endswith(files.TEMPORARY_SUFFIX)]


def own_failures(report: dict[str, Any]) -> dict[str, str]:
    """Return the program's own failures in a report: operation and error."""
    return {
        one["command"]: one["error"] for one in report["stage_executions"] if "." in one["command"]
    }


# An obstacle in a file's place before the run begins


@dataclass(frozen=True, slots=True)
class Obstacle:
    """An obstacle at a path, and the operation that then fails."""

    name: str
    operation: str
    is_directory: bool = True

    def put(self, out: Path) -> Path:
        """Put the obstacle there and return its path."""
        path = out / self.name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        if self.is_directory:
            (path / "full").mkdir(parents=True)
        else:
            out.mkdir(exist_ok=True)
            path.touch()
        return path

    def remove(self, out: Path) -> None:
        """Remove the obstacle."""
        path = out / self.name
        if self.is_directory:
            shutil.rmtree(path)
        else:
            path.unlink()


OBSTACLES = {
    "checkpoint": Obstacle(CHECKPOINT, "checkpoint.persist"),
    "report": Obstacle(REPORT, "report.persist"),
    "events": Obstacle(EVENTS, "events.persist"),
    "lock": Obstacle(LOCK, "lock.acquire"),
    "logs": Obstacle("logs", "logs.persist", is_directory=False),
    "archive": Obstacle("archive", "archive.move", is_directory=False),
}


@pytest.mark.parametrize("name", ["checkpoint", "report", "events", "lock"])
def test_obstacle_fails_the_run_before_anything_starts(tmp_path: Path, name: str) -> None:
    """An obstacle prevents every start: exit code 1, and the report says failed with the path."""
    obstacle, out = OBSTACLES[name], tmp_path / "out"
    path = obstacle.put(out)
    ended = orchestrate("./out", *marking(), cwd=tmp_path)
    assert ended.code == 1
    assert str(path) in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert ran(tmp_path) == (0, 0)
    assert temporaries(out) == []
    assert path.is_dir() is obstacle.is_directory
    if name != "report":
        report = report_of(out)
        assert (report["terminal_state"], report["exit_code"]) == ("failed", 1)
        assert report["closure_ready"] is False
        assert str(path) in own_failures(report)[obstacle.operation]
        obstacle.remove(out)
        assert report_of(out) == report
    else:
        assert checkpoint_of(out)["current_state"] == "failed"
        obstacle.remove(out)
    assert orchestrate("./out", *marking(), cwd=tmp_path).code == 0
    assert ran(tmp_path) == (1, 1)


def test_foreign_logs_refuse_a_first_run(tmp_path: Path) -> None:
    """Foreign files in the place of the logs stay untouched; once they are gone the run works."""
    obstacle, out = OBSTACLES["logs"], tmp_path / "out"
    path = obstacle.put(out)
    path.write_text("precious")
    for options, code in (((), 2), (("--resume",), 1)):
        ended = orchestrate("./out", *marking(), *options, cwd=tmp_path)
        assert ended.code == code
        assert str(out) in ended.stderr
        assert "Traceback" not in ended.stderr
        assert list(out.iterdir()) == [path]
        assert path.read_text() == "precious"
    assert str(path) in orchestrate("./out", *marking(), cwd=tmp_path).stderr
    assert ran(tmp_path) == (0, 0)
    obstacle.remove(out)
    assert orchestrate("./out", *marking(), cwd=tmp_path).code == 0
    assert ran(tmp_path) == (1, 1)


def test_resume_goes_on_when_nothing_is_in_the_place_of_the_logs(tmp_path: Path) -> None:
    """An obstacle in the place of its logs fails a run, and nothing starts until it is gone."""
    obstacle, out = OBSTACLES["logs"], tmp_path / "out"
    failing_once = marking("exit $((ORCHESTRATOR_ATTEMPT == 1))")
    assert orchestrate("./out", *failing_once, cwd=tmp_path).code == 1
    path = obstacle.put(out)
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 1
    assert ran(tmp_path) == (1, 0)
    report = report_of(out)
    assert (report["terminal_state"], report["exit_code"]) == ("failed", 1)
    assert report["closure_ready"] is False
    assert str(path) in own_failures(report)[obstacle.operation]
    assert temporaries(out) == []
    obstacle.remove(out)
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    assert ran(tmp_path) == (2, 1)
    assert report_of(out)["terminal_state"] == "done"
    assert checkpoint_of(out)["current_state"] == "done"


@pytest.mark.parametrize("name", ["checkpoint", "report", "events"])
def test_resume_goes_on_when_the_obstacle_is_gone(tmp_path: Path, name: str) -> None:
    """Once the obstacle is removed, the same command with `--resume` reaches done."""
    obstacle, out = OBSTACLES[name], tmp_path / "out"
    obstacle.put(out)
    assert orchestrate("./out", *marking(), cwd=tmp_path).code == 1
    assert orchestrate("./out", *marking(), "--resume", cwd=tmp_path).code == 1
    assert ran(tmp_path) == (0, 0)
    obstacle.remove(out)
    assert orchestrate("./out", *marking(), "--resume", cwd=tmp_path).code == 0
    assert ran(tmp_path) == (1, 1)
    assert report_of(out)["terminal_state"] == "done"
    assert checkpoint_of(out)["current_state"] == "done"


@pytest.mark.parametrize("name", ["checkpoint", "events", "lock", "archive"])
def test_report_of_an_earlier_run_does_not_stand_for_a_failed_one(
    tmp_path: Path, name: str
) -> None:
    """The earlier run's done cannot be read as the result of a run that could not be recorded."""
    out = tmp_path / "out"
    assert orchestrate("./out", *marking(), "--run-id", "earlier", cwd=tmp_path).code == 0
    path = OBSTACLES[name].put(out)
    assert orchestrate("./out", *marking("exit 1"), cwd=tmp_path).code == 1
    report = report_of(out)
    assert report["terminal_state"] == "failed"
    assert report["closure_ready"] is False
    assert str(path) in own_failures(report)[OBSTACLES[name].operation]
    assert orchestrate("status", "./out", cwd=tmp_path).stdout.startswith("✗ failed: ")


def test_what_is_in_the_place_of_an_earlier_runs_logs_is_archived(tmp_path: Path) -> None:
    """The obstacle is archived unchanged with the earlier run, and the new run has its own logs."""
    out = tmp_path / "out"
    assert orchestrate("./out", *marking(), "--run-id", "earlier", cwd=tmp_path).code == 0
    OBSTACLES["logs"].put(out).write_text("precious")
    assert orchestrate("./out", *marking("exit 1"), cwd=tmp_path).code == 1
    report = report_of(out)
    assert report["terminal_state"] == "failed"
    assert report["closure_ready"] is False
    assert report["run_id"] != "earlier"
    assert own_failures(report) == {}
    assert statuses(report) == [("manager", "failed")]
    assert (out / "archive/earlier/logs").read_text() == "precious"
    assert (out / "logs/manager.1.stderr.log").is_file()
    assert orchestrate("status", "./out", cwd=tmp_path).stdout.startswith("✗ failed: ")


# Damage to a file while a stage runs


def sabotage(script: str) -> str:
    """Return a stage's script that does harm in its first attempt only.

    It waits until its own pid is recorded: from then on the orchestrator writes nothing.
    """
    settled = f"until grep -q '\"pid\": *[0-9]' out/{CHECKPOINT}; do :; done"
    return f'[ "$ORCHESTRATOR_ATTEMPT" -gt 1 ] || {{ {settled}; {script}; }}'


def put_back(out: Path, kept: Path, name: str) -> None:
    """Undo what a stage did to a file of the run."""
    obstacle = out / name
    if obstacle.is_dir():
        obstacle.rmdir()
    else:
        obstacle.unlink(missing_ok=True)
    kept.rename(obstacle)


@pytest.mark.parametrize(
    ("name", "operation", "make", "times_manager_ran"),
    [
        (CHECKPOINT, "control.verify", "mkdir", 2),
        (REPORT, "control.verify", "mkdir", 1),
        (EVENTS, "events.persist", "mkdir", 1),
        ("logs", "logs.persist", "touch", 2),  # it is unknown what the stage printed
    ],
)
def test_path_is_taken_while_the_manager_runs(
    tmp_path: Path, name: str, operation: str, make: str, times_manager_ran: int
) -> None:
    """If a path of the run is taken during a stage, no other starts; a resume after repair works.

    Only a success that could not be made durable, output included, is repeated.
    """
    out, kept = tmp_path / "out", tmp_path / "kept"
    block = "touch out/tampered; " if name == CHECKPOINT else ""  # the text has no place either
    script = sabotage(f"{block}mv out/{name} kept && {make} out/{name}")
    ended = orchestrate("./out", *marking(script), cwd=tmp_path)
    assert ended.code == 1
    assert "failed: " in ended.stdout.splitlines()[0]
    assert str(out / name) in ended.stdout
    assert ran(tmp_path) == (1, 0)
    assert temporaries(tmp_path) == []
    if name != REPORT:
        report = report_of(out)
        assert (report["terminal_state"], report["exit_code"]) == ("failed", 1)
        assert str(out / name) in own_failures(report)[operation]
        durable = kept if name == CHECKPOINT else out / CHECKPOINT
        assert report["current_state"] == read_json(durable)["current_state"]

    put_back(out, kept, name)
    ended = orchestrate("./out", "--resume", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert ran(tmp_path) == (times_manager_ran, 1)
    assert report_of(out)["terminal_state"] == "done"
    assert temporaries(tmp_path) == []


def test_success_that_is_not_durable_is_not_done(tmp_path: Path) -> None:
    """When the last stage succeeds but its success cannot be written, the run is not done."""
    out = tmp_path / "out"
    script = sabotage(f"touch out/tampered; mv out/{CHECKPOINT} kept && mkdir out/{CHECKPOINT}")
    ended = orchestrate("./out", *marking("true", script), cwd=tmp_path)
    assert ended.code == 1
    report = report_of(out)
    assert report["terminal_state"] == "failed"
    assert report["current_state"] == "executor"
    put_back(out, tmp_path / "kept", CHECKPOINT)
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    assert statuses(report_of(out)) == [("manager", "skipped"), ("executor", "success")]
    assert ran(tmp_path) == (1, 2)


@pytest.mark.parametrize("stage", ["manager", "executor"])
def test_output_directory_is_deleted_by_a_stage(tmp_path: Path, stage: str) -> None:
    """Once OUT is gone no stage starts; OUT is made again for the report, which says failed."""
    ended = orchestrate("./out", *marking(**{stage: sabotage("rm -rf out")}), cwd=tmp_path)
    assert ended.code == 1
    assert "failed: " in ended.stdout.splitlines()[0]
    assert str(tmp_path / "out" / CHECKPOINT) in ended.stdout
    assert "Traceback" not in ended.stderr
    assert ran(tmp_path) == ((1, 0) if stage == "manager" else (1, 1))
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [LOCK, REPORT]
    assert (out / LOCK).read_bytes() == b""  # held while the report was written, then released
    report = report_of(out)
    assert (report["terminal_state"], report["exit_code"]) == ("failed", 1)
    assert report["closure_ready"] is False
    assert str(out / CHECKPOINT) in own_failures(report)["checkpoint.persist"]
    assert orchestrate("./out", *marking(), cwd=tmp_path).code == 0


def test_output_directory_is_replaced_by_a_stage(tmp_path: Path) -> None:
    """A directory in OUT's place has neither lock nor log of the run, so the run is not done."""
    script = sabotage("rm -rf out && mkdir out")
    ended = orchestrate("./out", *marking(script), cwd=tmp_path)
    assert ended.code == 1
    assert ran(tmp_path) == (1, 0)


# A full disk


def limited(blocks: int, *arguments: str, cwd: Path) -> Ended:
    """Run the command where no file may grow beyond this number of 512-byte blocks."""
    env, base = environment(XDG_STATE_HOME=str(cwd / "state")), environment()
    if forked.can_fork(arguments, cwd=cwd, env=env, base=base):
        limits = {resource.RLIMIT_FSIZE: blocks * 512}
        done = forked.run(arguments, cwd=cwd, env=env, base=base, limits=limits, timeout=60)
    else:
        done = subprocess.run(
            ["/bin/sh", "-c", 'ulimit -f "$0"; exec "$@"', str(blocks), *COMMAND, *arguments],
            cwd=cwd,
            env={**env, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return Ended(done.returncode, done.stdout, done.stderr)


def assert_truthful(ended: Ended, cwd: Path) -> None:
    """Check that files on disk parse, none is temporary, and done comes only with exit code 0."""
    out = cwd / "out"
    assert "Traceback" not in ended.stdout + ended.stderr
    assert temporaries(cwd) == []
    if (out / EVENTS).exists():
        events_of(out)
    report = report_of(out) if (out / REPORT).exists() else None
    checkpoint = checkpoint_of(out) if (out / CHECKPOINT).exists() else None
    if ended.code == 0:
        assert report is not None
        assert checkpoint is not None
        assert (report["terminal_state"], checkpoint["current_state"]) == ("done", "done")
        assert ran(cwd) == (1, 1)
        return
    assert ended.code == 1
    assert report is None or report["terminal_state"] in {None, "failed"}
    assert report is None or report["closure_ready"] is False
    assert checkpoint is None or checkpoint["current_state"] != "done"


def finish(cwd: Path) -> None:
    """Continue without the limit, as the files allow, and reach done."""
    out = cwd / "out"
    if (out / CHECKPOINT).exists():
        again = orchestrate("./out", "--resume", cwd=cwd)
    elif (out / REPORT).exists():
        again = orchestrate("./out", *marking(), "--resume", cwd=cwd)
    else:
        assert ran(cwd) == (0, 0)
        again = orchestrate("./out", *marking(), cwd=cwd)
    assert again.code == 0, again.stderr
    assert report_of(out)["terminal_state"] == "done"


@pytest.mark.parametrize("first", [0, 1])
def test_full_disk_at_every_size(tmp_path: Path, first: int) -> None:
    """However early the disk is full, the record is true, and a resume repeats no success."""
    for blocks in itertools.count(first, 2):
        cwd = tmp_path / str(blocks)
        cwd.mkdir()
        ended = limited(blocks, "./out", *marking(), cwd=cwd)
        assert_truthful(ended, cwd)
        if ended.code == 0:
            break
        path = cwd / "out" / CHECKPOINT
        complete = [one["stage"] for one in read_json(path)["completions"]] if path.exists() else []
        before = dict(zip(("manager", "executor"), ran(cwd), strict=True))
        finish(cwd)
        after = dict(zip(("manager", "executor"), ran(cwd), strict=True))
        assert all(after[stage] == before[stage] == 1 for stage in complete), blocks
        assert all(1 <= count <= 2 for count in after.values()), blocks
    assert blocks > 2


# Atomicity and order


def test_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """A reader of checkpoint or report gets a complete file at every moment of a run."""
    os.mkfifo(tmp_path / "go")
    out = tmp_path / "out"
    padding = [word for _ in range(20) for word in ("--manager-arg", "p" * 10_000)]
    options = (*PASSING, *stages("read word < go", "exit 0"), *padding)
    process = start("./out", *options, "--log-format", "text", cwd=tmp_path)
    seen: dict[str, set[bytes]] = {CHECKPOINT: set(), REPORT: set()}
    is_released = False
    try:
        while process.poll() is None:
            for name, contents in seen.items():
                if contents or (out / name).exists():
                    data = (out / name).read_bytes()
                    state = json.loads(data)["current_state"]
                    contents.add(data)
            if not is_released and seen[REPORT] and state == "manager":
                (tmp_path / "go").write_text("on\n")
                is_released = True
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert all(len(contents) > 1 for contents in seen.values())
