"""An artifact that an ended process could still write to is not accepted as whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.command import PASSING, orchestrate, report_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
ARTIFACT: Final = ("--manager-expected-artifact", "plan.json", "--kill-grace-ms", "50")
LEAVES: Final = """
import mmap, os, signal, sys, time
how = sys.argv[1]
with open("plan.json", "w") as file:
    file.write("{}      ")
if how == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if how == "linked":
    os.link("plan.json", "other name")
name = "other name" if how == "linked" else "plan.json"
reader, writer = os.pipe()
if os.fork():
    os.read(reader, 1)
    os._exit(0)
if how == "detached":
    os.setsid()
if how == "read":
    held = open(name)
else:
    held = open(name, "r+b")
if how == "mapped":
    mapping = mmap.mmap(held.fileno(), 8)
    held.close()
if how == "renamed":
    new = open("new", "w")
    new.write("{}")
    new.flush()
    def tidy(*_):
        os.rename("new", "plan.json")
        os._exit(0)
    signal.signal(signal.SIGTERM, tidy)
    held.close()
if how == "finished":
    held.write(b"[]      ")
    held.close()
if how == "late":
    held.close()
    def late(*_):
        global again
        again = open("plan.json", "a")
    signal.signal(signal.SIGTERM, late)
os.write(writer, b"!")
while True:
    time.sleep(1)
"""


def run(directory: Path, how: str) -> tuple[int, dict[str, object]]:
    """Run a stage that leaves a process behind; return the run's exit code and the execution."""
    words = ("-I", "-S", "-c", LEAVES, how)
    options = ("--manager-bin", sys.executable, *(f"--manager-arg={word}" for word in words))
    ended = orchestrate("out", *PASSING, *options, *ARTIFACT, cwd=directory)
    (execution, *_) = report_of(directory / "out")["stage_executions"]
    assert execution["leaked_count"] == 1
    return ended.code, execution


@pytest.mark.parametrize("how", ["open", "detached", "deaf", "linked", "mapped", "renamed", "late"])
def test_artifact_that_could_still_be_written_is_malformed(tmp_path: Path, how: str) -> None:
    """By any name, descriptor or mapping it may be incomplete, although it is valid JSON."""
    code, execution = run(tmp_path, how)
    assert (code, execution["status"]) == (1, "artifact_missing")
    assert execution["malformed_artifacts"] == [str(tmp_path / "plan.json")]
    assert "still open for writing" in str(execution["error"])
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 1


@pytest.mark.parametrize("how", ["read", "finished"])
def test_artifact_that_nobody_could_write_any_more_is_good(tmp_path: Path, how: str) -> None:
    """A process that only reads it, or has closed it, does not tear it."""
    code, execution = run(tmp_path, how)
    assert (code, execution["status"]) == (0, "success")
    assert execution["malformed_artifacts"] == []
