"""The holder of an output directory: the command, a program that uses the library, or unknown."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import (
    PASSING,
    environment,
    orchestrate,
    read_json,
    report_of,
    stages,
    start,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.timeout(300)
LOCK = "orchestrator.lock"
WAITS = "touch ready; until test -e go; do sleep 0.02; done"
HOST = f"""
import sys
from fsm_orchestrator import RunConfig, StageGiven, run
config = RunConfig(
    output_directory="out",
    gates={{"policy": "allow", "ci": "success", "review": "approved"}},
    stages={{"manager": StageGiven(bin="/bin/sh", args=("-c", {WAITS!r}))}},
)
report = run(config)
print(report.terminal_state, "and the host works on")
"""


@contextlib.contextmanager
def let_go(cwd: Path, process: subprocess.Popen[str]) -> Iterator[None]:
    """Wait until a stage runs; end it at exit."""
    with process:
        try:
            wait_until((cwd / "ready").exists)
            yield
        finally:
            (cwd / "go").touch()
            process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a program that runs something in `out` through the library, and is in a stage."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOST],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with let_go(tmp_path, process):
        yield process


def test_program_that_uses_the_library_says_what_it_hears(
    tmp_path: Path, host: subprocess.Popen[str]
) -> None:
    """`stop` ends its run and not the program, as `status` announces."""
    said = read_json(tmp_path / "out" / LOCK)
    assert (said["held_by"], len(said["hears"])) == ("library", 32)
    shown = orchestrate("status", "out", cwd=tmp_path)
    assert f"process {host.pid}" in shown.stdout
    assert "fsm-orchestrator stop out" in shown.stdout
    ended = orchestrate("stop", "out", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    printed, _ = host.communicate(timeout=PATIENCE_SECONDS)
    assert (host.returncode, printed) == (0, "failed and the host works on\n")


def test_worker_of_an_engine_is_called_one(tmp_path: Path) -> None:
    """`status` and refused commands call it a worker of an engine; `stop` ends only its run."""
    epoch = "from fsm_orchestrator import claim_epoch\n"
    given = 'run(config, epoch=claim_epoch("out", 1, 1))'
    words = [sys.executable, "-c", epoch + HOST.replace("run(config)", given)]
    env = environment(XDG_STATE_HOME=str(tmp_path / "state"))
    process = subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
    with let_go(tmp_path, process):
        shown = orchestrate("status", "out", cwd=tmp_path).stdout
        host = os.uname().nodename
        assert f"process {process.pid} on {host}, a worker of an engine, since" in shown
        ended = orchestrate("stop", "out", cwd=tmp_path)
        assert (ended.code, "and continues with its other work" in ended.stdout) == (0, True)


def test_program_that_is_suspended_is_not_let_go_on(
    tmp_path: Path, host: subprocess.Popen[str]
) -> None:
    """`stop` does not continue it but says how; once continued, it receives the request."""
    host.send_signal(signal.SIGSTOP)
    ended = orchestrate("stop", "out", "--wait-ms", "300", cwd=tmp_path)
    assert ended.code == 1
    assert "which is suspended" in ended.stderr
    assert f"kill -CONT {host.pid}" in ended.stderr
    host.send_signal(signal.SIGCONT)
    assert orchestrate("stop", "out", cwd=tmp_path).code == 0
    host.communicate(timeout=PATIENCE_SECONDS)


def test_command_says_that_it_is_one_and_is_stopped(tmp_path: Path) -> None:
    """`status` offers to stop a run of the command, and `stop` does so."""
    process = start("out", *PASSING, *stages(WAITS), cwd=tmp_path)
    with let_go(tmp_path, process):
        assert read_json(tmp_path / "out" / LOCK)["held_by"] == "command"
        assert "fsm-orchestrator stop out" in orchestrate("status", "out", cwd=tmp_path).stdout
        assert orchestrate("stop", "out", cwd=tmp_path).code == 0
        process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 143


POISON = {
    "gone": b"",
    "no JSON": b"{",
    "deep": b"[" * 4000,
    "infinite": b'{"pid": 1e999, "host": "h", "since": "s", "run_id": "r", "held_by": "command"}',
    "negative": b'{"pid": -1, "host": "h", "since": "s", "run_id": "r", "held_by": "command"}',
    "not UTF-8": b"\xff\xfe",
    "long": b"9" * 5000,
}


@pytest.mark.parametrize("text", POISON.values(), ids=POISON)
def test_lock_file_whose_text_is_gone(tmp_path: Path, text: bytes) -> None:
    """With any content in it the run works on; commands report what is known and signal nobody."""
    process = start("out", *PASSING, *stages(WAITS), cwd=tmp_path)
    with let_go(tmp_path, process):
        (tmp_path / "out" / LOCK).write_bytes(text)
        ended = orchestrate("stop", "out", "--wait-ms", "100", cwd=tmp_path)
        assert ended.code == 1, ended
        assert "does not say who holds it" in ended.stderr
        if Path("/proc/locks").exists():
            assert f"kill -TERM {process.pid}" in ended.stderr
        for command in (("status", "out"), ("status", "."), ("out", "--resume")):
            ended = orchestrate(*command, cwd=tmp_path)
            assert ended.code in {0, 75}, ended
            assert "Traceback" not in ended.stderr
        assert process.poll() is None
    assert process.returncode == 0
    assert report_of(tmp_path / "out")["terminal_state"] == "done"


def test_copied_text_names_nobody(tmp_path: Path) -> None:
    """A lock file from another directory does not name the holder of this one."""
    process = start("out", *PASSING, *stages(WAITS), cwd=tmp_path)
    with let_go(tmp_path, process):
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / LOCK).write_bytes((tmp_path / "out" / LOCK).read_bytes())
        assert json.loads((copy / LOCK).read_bytes())["pid"] == process.pid
        descriptor = os.open(copy, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            ended = orchestrate("copy", *PASSING, *stages(), cwd=tmp_path)
            assert ended.code == 75
            assert str(process.pid) not in ended.stderr
            ended = orchestrate("stop", "copy", "--wait-ms", "100", cwd=tmp_path)
            assert ended.code == 1
            assert str(process.pid) not in ended.stderr
        finally:
            os.close(descriptor)
        assert process.poll() is None
