"""`stop`: real runs that are ended from outside."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.command.supervision_cases import working
from tests.support.command import (
    PASSING,
    orchestrate,
    report_of,
    stages,
    statuses,
    tree_of,
)
from tests.support.patience import PATIENCE_SECONDS

STUBBORN = "trap '' TERM INT; echo go; while :; do sleep 0.1; done"


def test_stop_ends_the_run_as_sigterm_would(tmp_path: Path) -> None:
    """The orchestrator exits with 143, its stage is gone, and `stop` says how the run continues."""
    with working(tmp_path, *stages("echo go; exec sleep 60")) as process:
        below = psutil.Process(process.pid).children(recursive=True)
        ended = orchestrate("stop", "out", cwd=tmp_path)
        assert process.wait(PATIENCE_SECONDS) == 143
    assert ended.code == 0
    assert f"stopped: process {process.pid} released out\n" in ended.stdout
    assert "fsm-orchestrator out --resume" in ended.stdout
    assert not [one for one in below if one.is_running() and one.status() != "zombie"]
    assert statuses(report_of(tmp_path / "out")) == [("manager", "interrupted")]


def test_stop_where_nobody_works_changes_nothing(tmp_path: Path) -> None:
    """A run that is over stays unchanged, and that is no error."""
    orchestrate("out", *PASSING, *stages(), cwd=tmp_path)
    before = tree_of(tmp_path)
    ended = orchestrate("stop", "out", cwd=tmp_path)
    assert ended.code == 0
    assert "no run was at work in out" in ended.stdout
    assert tree_of(tmp_path) == before


def test_stop_waits_no_longer_than_it_is_told(tmp_path: Path) -> None:
    """A stage that ignores SIGTERM is reported as still alive; `--now` ends it at once."""
    options = (*stages(STUBBORN), "--kill-grace-ms", "60000", "--timeout-ms", "100000")
    with working(tmp_path, *options) as process:
        ended = orchestrate("stop", "out", "--wait-ms", "300", cwd=tmp_path)
        assert ended.code == 1
        assert "has not ended yet" in ended.stderr
        assert "stop --now" in ended.stderr
        assert process.poll() is None
        now = orchestrate("stop", "out", "--now", cwd=tmp_path)
        assert now.code == 0, now.stderr
        assert process.wait(PATIENCE_SECONDS) == 143


def test_stop_as_json_is_the_state_afterwards(tmp_path: Path) -> None:
    """The JSON output of `stop` is that of a `status` after it."""
    with working(tmp_path, *stages("echo go; exec sleep 60")) as process:
        ended = orchestrate("stop", "out", "--json", cwd=tmp_path)
        process.wait(PATIENCE_SECONDS)
    document = json.loads(ended.stdout)
    assert document["is_running"] is False
    assert document["report"]["exit_code"] == 143


def test_lock_that_names_another_process_ends_nobody(tmp_path: Path) -> None:
    """A forged lock file under a held lock does not get another process killed."""
    bystander = subprocess.Popen([shutil.which("sleep") or "sleep", "60"])
    try:
        with working(tmp_path, *stages("echo go; exec sleep 60")) as process:
            lock = tmp_path / "out" / "orchestrator.lock"
            said = json.loads(lock.read_text())
            lock.write_text(json.dumps({**said, "host": "elsewhere", "pid": bystander.pid}))
            ended = orchestrate("stop", "out", cwd=tmp_path)
            assert ended.code == 1
            assert "on the machine where the run works" in ended.stderr
            lock.write_text(json.dumps({**said, "pid": bystander.pid}))
            ended = orchestrate("stop", "out", "--wait-ms", "300", cwd=tmp_path)
            assert ended.code == 1
            assert bystander.poll() is None
            assert process.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize(
    "words", [("stop", "nowhere"), ("stop",), ("logs", "nowhere"), ("status", "nowhere")]
)
def test_what_is_no_directory_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    """A typing error is a usage error."""
    assert orchestrate(*words, cwd=tmp_path).code == 2
