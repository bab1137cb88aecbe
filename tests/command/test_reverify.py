"""A stage whose verification failed, was cut short or was killed: verified again, or run again."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.command import (
    PASSING,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    spawned,
    start,
    statuses,
    tree_of,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

WORKS = "echo ran >> runs; echo '{}' > made.json"
CHECK = "sh -c 'test -e ready || { echo not ready; exit 5; }'"
ARTIFACT = ("--executor-expected-artifact", "made.json")


def _begun(place: Path, *more: str, check: str = CHECK) -> dict[str, Any]:
    """Run a stage whose verification fails; return its record."""
    options = (*shell("manager", "exit 0"), *shell("executor", WORKS), *ARTIFACT, *more)
    ended = orchestrate("out", *PASSING, *options, "--executor-verify", check, cwd=place)
    assert ended.code == 1, ended.stderr
    return _last(place)


def _last(place: Path) -> dict[str, Any]:
    execution = report_of(place / "out")["stage_executions"][-1]
    assert isinstance(execution, dict)
    return execution


def _runs(place: Path) -> int:
    return len((place / "runs").read_text().splitlines())


def test_what_failed_only_in_its_verification_is_verified_again(tmp_path: Path) -> None:
    """The stage is not run; the record names the attempt that did the work, and the run is done."""
    failed = _begun(tmp_path)
    assert (failed["ending"], failed["exit_code"]) == ("verification_failed", 0)
    status = orchestrate("status", "out", cwd=tmp_path)
    assert "resume   fsm-orchestrator out --resume\n" in status.stdout
    assert "verify   fsm-orchestrator out --resume --reverify\n" in status.stdout
    assert "output   fsm-orchestrator logs out executor --verify 1\n" in status.stdout
    assert "not ready\n" in orchestrate("status", ".", cwd=tmp_path).stdout
    logs = orchestrate("logs", "out", "executor", "--verify", "1", cwd=tmp_path)
    assert logs.stdout == "executor.verify.1 | not ready\n"
    told = json.loads(orchestrate("explain", "out", "--json", cwd=tmp_path).stdout)
    assert told["next_step"]["reverify"] == ["fsm-orchestrator", "out", "--resume", "--reverify"]
    again = orchestrate("out", "--resume", "--reverify", cwd=tmp_path)
    assert (again.code, _last(tmp_path)["attempt"]) == (1, 2)
    (tmp_path / "ready").touch()
    planned = orchestrate("plan", "out", "--resume", "--reverify", "--json", cwd=tmp_path)
    actions = [one["action"] for one in json.loads(planned.stdout)["stages"]]
    assert actions == ["skip", "verify"]
    done = orchestrate("out", "--resume", "--reverify", cwd=tmp_path)
    assert done.code == 0, done.stderr
    report, executor = report_of(tmp_path / "out"), _last(tmp_path)
    assert (report["closure_ready"], _runs(tmp_path)) == (True, 1)
    assert (executor["attempt"], executor["verified_attempt"]) == (3, 1)
    assert [one["exit_code"] for one in executor["verifications"]] == [0]
    assert executor["reason"] == "the work of attempt 2 is verified again, as asked"
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert statuses(report_of(tmp_path / "out"))[-1] == ("executor", "skipped")


def test_plain_resume_and_rerun_run_the_stage_again(tmp_path: Path) -> None:
    """After a correction of the work alone, the stage runs again."""
    _begun(tmp_path)
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", "--rerun", "executor", cwd=tmp_path).code == 0
    assert (_runs(tmp_path), _last(tmp_path).get("verified_attempt")) == (2, None)
    assert [one["exit_code"] for one in _last(tmp_path)["verifications"]] == [0]


def test_corrected_verification_is_what_verifies_again(tmp_path: Path) -> None:
    """The commands given now replace the wrong ones."""
    _begun(tmp_path)
    done = orchestrate("out", "--resume", "--reverify", "--executor-verify", "true", cwd=tmp_path)
    assert (done.code, _runs(tmp_path)) == (0, 1)
    assert _last(tmp_path)["verifications"][0]["command"] == "true"
    assert checkpoint_of(tmp_path / "out")["stages"]["executor"]["verify"] == [["true"]]


def test_other_verification_of_a_completed_stage_is_a_change(tmp_path: Path) -> None:
    """A resume compares the commands like the stage's own."""
    (tmp_path / "ready").touch()
    options = (*shell("manager", "echo ran >> runs"), "--manager-verify", CHECK)
    orchestrate("out", *PASSING, *options, *shell("executor", "exit 1"), cwd=tmp_path)
    assert _runs(tmp_path) == 1
    other = ("out", "--resume", *shell("executor", "exit 0"), "--manager-verify", "true")
    refused = orchestrate(*other, cwd=tmp_path)
    assert refused.code == 2
    assert "verification: completed with ['sh', '-c'," in refused.stderr
    assert "now ['true']" in refused.stderr
    assert orchestrate(*other, "--on-changed-stage", "rerun", cwd=tmp_path).code == 0
    assert _runs(tmp_path) == 2


@pytest.mark.parametrize(
    ("before", "options", "why"),
    [
        ("echo '[]' > made.json", (), "made.json had the sha256"),
        ("rm made.json", (), "missing: "),
        ("true", ("--executor-arg", "x"), "args: completed with"),
        ("true", ("--executor-env", "A=1"), "A was not set when it completed"),
        ("true", ("--rerun", "executor"), "--reverify runs no stage again, and --rerun does"),
        ("true", ("--rerun", "manager"), "--reverify runs no stage again, and --rerun does"),
    ],
    ids=["changed", "gone", "args", "env", "rerun", "rerun-before"],
)
def test_other_work_is_not_verified_in_its_place(
    tmp_path: Path, before: str, options: tuple[str, ...], why: str
) -> None:
    """With other artifacts or settings the exit code is 2, and nothing is written."""
    _begun(tmp_path)
    subprocess.run(["/bin/sh", "-c", before], cwd=tmp_path, check=True)
    tree = tree_of(tmp_path)
    refused = orchestrate("out", "--resume", "--reverify", *options, cwd=tmp_path)
    assert refused.code == 2
    assert why in refused.stderr
    assert tree_of(tmp_path) == tree


def test_nothing_is_verified_again_where_nothing_lacks_that_alone(tmp_path: Path) -> None:
    """It is refused for a new run, a stage that failed on its own, and a done run."""
    stages = (*shell("manager", "exit 0"), *shell("executor", "exit 4"))
    fresh = orchestrate("new", *PASSING, *stages, "--reverify", cwd=tmp_path)
    assert (fresh.code, "a new run has done nothing" in fresh.stderr) == (2, True)
    assert not (tmp_path / "new").exists()
    orchestrate("out", *PASSING, *stages, "--executor-verify", "true", cwd=tmp_path)
    failed = orchestrate("out", "--resume", "--reverify", cwd=tmp_path)
    assert "there is no work that lacks only its verification" in failed.stderr
    assert "--reverify" not in orchestrate("status", "out", cwd=tmp_path).stdout
    orchestrate("out", "--resume", *shell("executor", "exit 0"), cwd=tmp_path)
    done = orchestrate("out", "--resume", "--reverify", cwd=tmp_path)
    assert (done.code, "nothing of it is left to verify" in done.stderr) == (2, True)


def test_work_that_moved_with_its_project_is_verified_again(tmp_path: Path) -> None:
    """The verifying program and the artifacts are found at their new place."""
    (tmp_path / "old").mkdir()
    check = tmp_path / "old" / "check.sh"
    check.write_text("#!/bin/sh\ntest -e ready\n")
    check.chmod(0o755)
    _begun(tmp_path / "old", check="./check.sh")
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "new" / "ready").touch()
    done = orchestrate("out", "--resume", "--reverify", cwd=tmp_path / "new")
    assert (done.code, _runs(tmp_path / "new")) == (0, 1), done.stderr
    assert _last(tmp_path / "new")["verifications"][0]["command"] == str(
        tmp_path / "new" / "check.sh"
    )


@contextmanager
def _verifying(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run whose executor has done its work and is being verified."""
    check = "sh -c 'test -e ready || { echo $$ > pid; exec sleep 60; }'"
    options = (*shell("manager", "exit 0"), *shell("executor", WORKS), *ARTIFACT)
    process = start("out", *PASSING, *options, "--executor-verify", check, cwd=place)
    pid = place / "pid"
    try:
        wait_until(lambda: pid.exists() and pid.read_text().strip(), "nothing is verified")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("how", ["--reverify", ""])
def test_kill_in_the_middle_of_a_verification_leaves_work_that_can_be_verified(
    tmp_path: Path, how: str
) -> None:
    """A plain resume runs the stage again, --reverify does not; leftover processes are ended."""
    with _verifying(tmp_path) as process:
        process.kill()
        process.wait(PATIENCE_SECONDS)
    left = int((tmp_path / "pid").read_text())
    shown = orchestrate("status", "out", cwd=tmp_path).stdout
    assert "verify   fsm-orchestrator out --resume --reverify\n" in shown
    (tmp_path / "ready").touch()
    done = orchestrate("out", "--resume", *filter(None, [how]), cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert not psutil.pid_exists(left)
    assert _runs(tmp_path) == (1 if how else 2)
    earlier = report_of(tmp_path / "out")["earlier_invocations"][0]["stage_executions"][-1]
    assert (earlier["status"], earlier["ending"], earlier["exit_code"]) == (
        "interrupted",
        "interrupted",
        0,
    )
    assert [one["ending"] for one in earlier["verifications"]] == [None]
    assert [one["sha256"] for one in earlier["artifacts"]]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_request_to_end_ends_a_verification_as_it_does_a_stage(
    tmp_path: Path, signum: signal.Signals
) -> None:
    """The run is interrupted, its work can be verified again, and no process is left."""
    with _verifying(tmp_path) as process:
        process.send_signal(signum)
        assert process.wait(PATIENCE_SECONDS) == 128 + signum
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    cut = _last(tmp_path)
    assert (cut["status"], cut["ending"], cut["exit_code"]) == ("interrupted", "interrupted", 0)
    assert cut["verifications"][-1]["ending"] == "interrupted"
    assert cut["error"].startswith(f"interrupted: the run received {signum.name}; its verification")
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", "--reverify", cwd=tmp_path).code == 0
    assert (spawned(report_of(tmp_path / "out")), _runs(tmp_path)) == (["executor"], 1)
