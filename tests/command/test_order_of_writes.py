"""The order of writes as the kernel sees it: persist before spawn, sync before rename."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from fsm_orchestrator.disk import files
from tests.support.command import CHECKPOINT, COMMAND, PASSING, environment

TRACED = "execve,rename,renameat,renameat2,fsync,write"


@dataclass(frozen=True, slots=True)
class Call:
    """A system call of a traced run that matters for order.

    `data` is what was written, `source` what had been the name of what was renamed.
    """

    name: str
    path: str
    data: bytes = b""
    source: str = ""


def traced(arguments: Sequence[str], cwd: Path) -> list[Call]:
    """Run the command under strace: spawns by when they began, the rest by when it was over."""
    trace = cwd / "trace"
    tracer = ("strace", "-f", "-y", "-s", "1000000", "-e", f"trace={TRACED}", "-o", str(trace))
    done = subprocess.run(
        [*tracer, *COMMAND, *arguments],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(calls_in(trace.read_text()))


def calls_in(trace: str) -> Iterator[Call]:
    """The calls in a trace, less those that failed."""
    unfinished: dict[str, str] = {}
    for line in trace.splitlines():
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = text.removesuffix("<unfinished ...>").strip()
            if text.startswith("execve("):
                yield call_in(text)
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
            text = unfinished.pop(pid) + resumed[1]
            if text.startswith("execve("):
                continue
        if re.match(r"(execve|rename\w*|fsync|write)\(.*\) += \d+$", text):
            yield call_in(text)


def call_in(text: str) -> Call:
    """The call in a line of a trace: what was started, synced or written, where it was renamed."""
    name = text.partition("(")[0]
    if name in {"fsync", "write"}:
        path, data = re.findall(r"^\w+\(\d+<([^>]*)>(?:, \"(.*)\", \d+)?\)", text)[0]
        return Call(name, path, data.encode().decode("unicode_escape").encode("latin-1"))
    quoted = re.findall(r"\"([^\"]*)\"", text)
    if name == "execve":
        return Call("execve", quoted[0])
    # Either name may be relative to a directory that is given by its descriptor.
    named = re.findall(r"(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?\"([^\"]*)\"", text)
    source, path = (os.path.join(directory, entry) for directory, entry in named)
    return Call("rename", path, source=source)


def is_temporary_of(path: str, source: str) -> bool:
    """Whether `source` is a temporary name, beside it, for what is to be `path`."""
    directory, name = os.path.split(path)
    pattern = rf"\.{re.escape(name)}\.[0-9a-f]{{16}}{re.escape(files.TEMPORARY_SUFFIX)}"
    beside, temporary = os.path.split(source)
    return beside == directory and re.fullmatch(pattern, temporary) is not None


def can_trace() -> bool:
    """Whether strace is there and may trace."""
    if shutil.which("strace") is None:
        return False
    probe = ["strace", "-f", "-y", "-o", os.devnull, "/bin/sh", "-c", "exit 0"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.fixture
def tracing() -> None:
    """Skip where system calls cannot be traced."""
    if not can_trace():
        pytest.skip("needs strace, allowed to trace, to see the order of system calls")


def make_tools(cwd: Path) -> tuple[str, ...]:
    """Options of a run whose stages are programs that a trace can tell apart."""
    options: list[str] = [*PASSING]
    for stage in ("manager", "executor"):
        tool = cwd / f"{stage}-tool"
        tool.write_text("#!/bin/sh\nexit 0\n")
        tool.chmod(0o755)
        options += [f"--{stage}-bin", str(tool)]
    return tuple(options)


@pytest.mark.usefixtures("tracing")
def test_persist_comes_before_spawn(tmp_path: Path) -> None:
    """A stage is spawned once its attempt is written, synced, renamed and its directory synced."""
    out = tmp_path / "out"
    checkpoint_path = str(out / CHECKPOINT)
    calls = traced(["./out", *make_tools(tmp_path)], tmp_path)
    names = [(call.name, call.path) for call in calls]
    begin = 0
    for stage in ("manager", "executor"):
        spawned = names.index(("execve", str(tmp_path / f"{stage}-tool")))
        before = names[begin:spawned]
        written, temporary = [
            (index, path)
            for index, (name, path) in enumerate(before)
            if name == "write" and is_temporary_of(checkpoint_path, path)
        ][-1]
        checkpoint = json.loads(calls[begin + written].data)
        assert checkpoint["current_state"] == stage
        assert checkpoint["open_attempt"]["stage"] == stage
        synced = before.index(("fsync", temporary), written)
        renamed = before.index(("rename", checkpoint_path), synced)
        assert calls[begin + renamed].source == temporary
        assert ("fsync", str(out)) in before[renamed:]
        begin = spawned


@pytest.mark.usefixtures("tracing")
def test_every_rename_is_between_two_syncs(tmp_path: Path) -> None:
    """Before each rename the new file was synced, and after it, before any spawn, its directory."""
    out = tmp_path / "out"
    synced: set[str] = set()
    renamed = 0
    is_directory_synced = True
    for call in traced(["./out", *make_tools(tmp_path)], tmp_path):
        path = Path(call.path)
        if call.name == "fsync":
            synced.add(call.path)
            is_directory_synced |= path == out
        elif call.name == "rename" and path.parent == out:
            assert is_temporary_of(call.path, call.source)
            assert call.source in synced
            synced.remove(call.source)
            is_directory_synced = False
            renamed += 1
        elif path.name.endswith("-tool"):
            assert is_directory_synced
    assert is_directory_synced
    assert renamed > 8
