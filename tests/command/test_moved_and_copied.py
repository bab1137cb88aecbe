"""An output directory that was copied, moved, removed or replaced: each run keeps to its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    PASSING,
    REPORT,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    stages,
    start,
    statuses,
    tree_of,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.timeout(300)

# A stage that waits for the last write, announces itself, and waits for permission to continue.
RECORDED = f"until grep -q '\"pid\": *[0-9]' out/{CHECKPOINT}; do :; done"
WAITS = "echo $$ > pid; mv pid ready; until test -e go; do sleep 0.02; done"


@contextlib.contextmanager
def working(cwd: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start an orchestrator in `out`, in a stage that runs `WAITS`, with its pid on record."""
    with start("out", *PASSING, *options, cwd=cwd) as process:
        try:
            wait_until((cwd / "ready").exists)
            wait_until(lambda: is_recorded(cwd / "out"))
            yield process
        finally:
            (cwd / "go").touch()
            process.communicate(timeout=PATIENCE_SECONDS)


def is_recorded(out: Path) -> bool:
    """Return whether the pid of the open attempt is in the checkpoint."""
    attempt = checkpoint_of(out)["open_attempts"][0]
    return attempt is not None and attempt["pid"] is not None


def is_alive(pid: int) -> bool:
    """Return whether a process runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def copied(source: Path, target: Path) -> None:
    """Copy with `cp -a`."""
    subprocess.run(["/bin/cp", "-a", source, target], check=True)


def copied_by_links(source: Path, target: Path) -> None:
    """Copy with `cp -al`: the files are the same, and the directory is another one."""
    subprocess.run(["/bin/cp", "-al", source, target], check=True)


def checked_out(source: Path, target: Path) -> None:
    """Copy the files alone, as a checkout does."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)


# Copies


@pytest.mark.parametrize("copy", [copied, copied_by_links, checked_out])
@pytest.mark.parametrize(
    "options",
    [
        ("--policy-status", "deny"),
        ("--resume", "--as-copy", *shell("manager", "true")),
        (*PASSING, *stages()),
        ("--resume", "--as-copy", "--rerun", "manager", *shell("manager", "true")),
    ],
    ids=["blocked run", "resume", "run", "rerun"],
)
def test_copy_leaves_the_run_alone(
    tmp_path: Path, copy: Callable[[Path, Path], None], options: tuple[str, ...]
) -> None:
    """Commands in a copy end no process and touch no file of the run at work."""
    with working(tmp_path, *stages(f"{WAITS}; echo worked > worked")) as process:
        before = tree_of(tmp_path / "out")
        copy(tmp_path / "out", tmp_path / "copy")
        ended = orchestrate("copy", *options, cwd=tmp_path)
        assert ended.code in {0, 3}, ended
        assert process.poll() is None
        assert is_alive(int((tmp_path / "ready").read_text()))
        assert tree_of(tmp_path / "out") == before
        (tmp_path / "go").touch()
        process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0
    assert (tmp_path / "worked").read_text() == "worked\n"
    assert statuses(report_of(tmp_path / "out")) == [
        ("manager", "success"),
        ("executor", "success"),
    ]


def test_copy_of_a_killed_run_leaves_its_processes_alone(tmp_path: Path) -> None:
    """The resume of a killed run's own directory ends its processes; that of a copy does not."""
    script = "setsid sleep 300 & echo $! > left; until test -e go; do sleep 0.02; done"
    # Only the run's own directory ends what has its token: no keeper is in the way.
    with working(tmp_path, *stages(f"{script} & {WAITS}")) as process:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
    token = checkpoint_of(tmp_path / "out")["open_attempts"][0]["token"]
    sleeper = subprocess.Popen(
        ["/bin/sleep", "300"], env={"ORCHESTRATOR_ATTEMPT_TOKEN": token}, start_new_session=True
    )
    try:
        copied(tmp_path / "out", tmp_path / "copy")
        ended = orchestrate("copy", "--resume", "--as-copy", *stages(), cwd=tmp_path)
        assert ended.code == 0, ended.stderr
        assert sleeper.poll() is None
        said = [one for one in report_of(tmp_path / "copy")["warnings"] if "copy" in one]
        assert len(said) == 1
        assert str(tmp_path / "out") in said[0]
        ended = orchestrate("out", "--resume", *stages(), cwd=tmp_path)
        assert ended.code == 0, ended.stderr
        assert sleeper.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        assert not [one for one in report_of(tmp_path / "out")["warnings"] if "copy" in one]
    finally:
        sleeper.kill()
        sleeper.wait()


def test_copy_works_in_its_own_directory_and_keeps_its_own_values(tmp_path: Path) -> None:
    """The copy of a stopped run writes in its own directory, and the original can be resumed."""
    script = 'cd "$ORCHESTRATOR_OUTPUT_DIR" && test "$ORCHESTRATOR_ATTEMPT" -gt 1 && echo "$A" > a'
    options = (*shell("manager", script), "--manager-env", "A=a-kept-value")
    artifact = ("--manager-expected-artifact", "out/a", "--manager-cwd", "out")
    (tmp_path / "out").mkdir()
    ended = orchestrate("out", *PASSING, *options, *artifact, cwd=tmp_path)
    assert ended.code == 1, ended.stderr
    copied(tmp_path / "out", tmp_path / "copy")
    before = tree_of(tmp_path / "out")
    ended = orchestrate("copy", "--resume", "--as-copy", cwd=tmp_path)
    assert (ended.code, "--manager-env A=VALUE" in ended.stderr) == (2, True), ended.stderr
    given = ("--manager-env", "A=a-value-of-the-copy")
    ended = orchestrate("copy", "--resume", "--as-copy", *given, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert (tmp_path / "copy" / "a").read_text() == "a-value-of-the-copy\n"
    attempt = report_of(tmp_path / "copy")["stage_executions"][0]
    assert attempt["cwd"] == str(tmp_path / "copy")
    assert [one["path"] for one in attempt["artifacts"]] == [str(tmp_path / "copy" / "a")]
    assert tree_of(tmp_path / "out") == before
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert (tmp_path / "out" / "a").read_text() == "a-kept-value\n"


def test_copy_of_a_whole_project_works_in_the_copy(tmp_path: Path) -> None:
    """Stages work on the copied surroundings of the output directory, not on the original's."""
    project = tmp_path / "project"
    project.mkdir()
    script = 'pwd > where; test "$ORCHESTRATOR_ATTEMPT" -gt 1'
    ended = orchestrate("out", *PASSING, *shell("manager", script), cwd=project)
    assert ended.code == 1
    copied(project, tmp_path / "other")
    assert orchestrate("out", "--resume", "--as-copy", cwd=tmp_path / "other").code == 0
    assert (tmp_path / "other" / "where").read_text() == f"{tmp_path / 'other'}\n"
    assert (project / "where").read_text() == f"{project}\n"


# Moves


def done_run(cwd: Path) -> None:
    """Make a done run with an artifact in its directory and one beside it."""
    script = "mkdir -p out/plan && echo {} > out/plan/plan.json && echo {} > beside.json"
    artifacts = [
        word
        for path in ("out/plan/plan.json", "beside.json")
        for word in ("--manager-expected-artifact", path)
    ]
    options = (*shell("manager", script), *artifacts, "--skip-stage", "executor")
    ended = orchestrate("out", *PASSING, *options, cwd=cwd)
    assert ended.code == 0, ended.stderr


def test_moved_run_is_still_ready_to_close(tmp_path: Path) -> None:
    """Every command finds the artifacts in the moved directory and reports the move."""
    done_run(tmp_path)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    for command in (("explain",), ("status",), ("plan", "--resume")):
        ended = orchestrate(command[0], "elsewhere", *command[1:], cwd=tmp_path)
        assert ended.code == 0, ended.stderr
        assert f"moved here from {tmp_path / 'out'}" in " ".join(ended.stdout.split())
    explained = orchestrate("explain", "elsewhere", "--json", cwd=tmp_path)
    assert json.loads(explained.stdout)["standing"] == "done"
    ended = orchestrate("elsewhere", "--resume", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    report = report_of(tmp_path / "elsewhere")
    assert report["closure_ready"] is True
    assert [one for one in report["warnings"] if "moved" in one] != []
    paths = [one["path"] for one in report["stage_executions"][0]["artifacts"]]
    assert paths == [str(tmp_path / "elsewhere/plan/plan.json"), str(tmp_path / "beside.json")]
    assert orchestrate("elsewhere", "--resume", cwd=tmp_path).code == 0
    assert report_of(tmp_path / "elsewhere")["warnings"] == report["warnings"][:-1]


def test_moved_project_is_still_ready_to_close(tmp_path: Path) -> None:
    """Artifacts beside a directory that moved with its project are found beside it."""
    (tmp_path / "project").mkdir()
    done_run(tmp_path / "project")
    (tmp_path / "project").rename(tmp_path / "renamed")
    ended = orchestrate("out", "--resume", cwd=tmp_path / "renamed")
    assert ended.code == 0, ended.stderr
    report = report_of(tmp_path / "renamed" / "out")
    assert report["closure_ready"] is True
    paths = [one["path"] for one in report["stage_executions"][0]["artifacts"]]
    assert paths[1] == str(tmp_path / "renamed" / "beside.json")


def test_move_never_replaces_a_good_report(tmp_path: Path) -> None:
    """A done run stays ready to close when its artifacts did not move along."""
    done_run(tmp_path)
    (tmp_path / "far").mkdir()
    (tmp_path / "out").rename(tmp_path / "far" / "elsewhere")
    (tmp_path / "beside.json").unlink()
    before = tree_of(tmp_path / "far" / "elsewhere")
    ended = orchestrate("elsewhere", "--resume", cwd=tmp_path / "far")
    assert ended.code == 2
    assert str(tmp_path / "out") in ended.stderr
    assert "beside.json" in ended.stderr
    after = tree_of(tmp_path / "far" / "elsewhere")
    assert after[REPORT] == before[REPORT]
    assert after[CHECKPOINT] == before[CHECKPOINT]


# Directories that are removed, replaced or moved while the run works


@pytest.mark.parametrize("way", ["rm -rf out", "mv out gone"])
def test_last_report_of_a_vanished_directory(tmp_path: Path, way: str) -> None:
    """A directory that is gone is made again for the last report, which names the failure."""
    ended = orchestrate("out", *PASSING, *stages(f"{RECORDED}; {way}; echo on"), cwd=tmp_path)
    assert ended.code == 1, ended
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    own = [one for one in report["stage_executions"] if one["attempt"] == 0]
    assert {one["command"] for one in own} <= {"checkpoint.persist", "events.persist"}
    assert str(tmp_path / "out") in own[0]["error"]
    assert sorted(tree_of(tmp_path / "out")) == ["orchestrator.lock", REPORT]
    assert (tmp_path / "out" / "orchestrator.lock").read_bytes() == b""
    assert "internal error" not in ended.stderr


def test_replaced_directory_is_the_next_run_s(tmp_path: Path) -> None:
    """A run whose directory was replaced writes nothing into the new one, which has another run."""
    script = f"{RECORDED}; rm -rf out; {WAITS}"
    with start("out", *PASSING, *stages(script), cwd=tmp_path) as first:
        wait_until((tmp_path / "ready").exists)
        second_script = "touch second; until test -e end; do sleep 0.02; done"
        options = ("--run-id", "second", *PASSING, *shell("manager", second_script))
        with start("out", *options, cwd=tmp_path) as second:
            wait_until((tmp_path / "second").exists)
            wait_until(lambda: is_recorded(tmp_path / "out"))
            before = tree_of(tmp_path / "out")
            (tmp_path / "go").touch()
            _, said = first.communicate(timeout=PATIENCE_SECONDS)
            assert first.returncode == 1, said
            assert tree_of(tmp_path / "out") == before
            second.kill()
            second.communicate(timeout=PATIENCE_SECONDS)
    kept = checkpoint_of(tmp_path / "out")
    assert (kept["run_id"], kept["open_attempts"][0]["stage"]) == ("second", "manager")
    assert report_of(tmp_path / "out")["run_id"] == "second"
    assert b'"run_id": "second"' in (tmp_path / "out" / EVENTS).read_bytes()


@pytest.mark.parametrize("place", ["file", "link", "directory"])
def test_taken_name_is_not_touched(tmp_path: Path, place: str) -> None:
    """A file in the directory's place stays unchanged; the run fails and reports it."""
    (tmp_path / "victim").mkdir()
    put = {"file": "echo mine > out", "link": "ln -s victim out", "directory": "mkdir out"}
    ended = orchestrate(
        "out", *PASSING, *stages(f"{RECORDED}; rm -rf out; {put[place]}"), cwd=tmp_path
    )
    assert ended.code == 1, ended
    assert list((tmp_path / "victim").iterdir()) == []
    if place == "file":
        assert (tmp_path / "out").read_text() == "mine\n"
    else:
        assert list((tmp_path / "out").iterdir()) == []
    assert "internal error" not in ended.stderr


def test_stage_of_a_vanished_directory_is_still_ended_in_time(tmp_path: Path) -> None:
    """Without a directory to write to, the timeout of a stage still holds."""
    began = time.monotonic()
    script = f"{RECORDED}; rm -rf out; echo $$ > pid; exec sleep 300"
    limit = ("--manager-timeout-ms", "300")
    ended = orchestrate("out", *PASSING, *shell("manager", script), *limit, cwd=tmp_path)
    assert ended.code == 1, ended
    assert not is_alive(int((tmp_path / "pid").read_text()))
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert report_of(tmp_path / "out")["terminal_state"] == "failed"
    assert not os.path.lexists(tmp_path / "out" / CHECKPOINT)
