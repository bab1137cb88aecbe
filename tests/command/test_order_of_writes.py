"""The order of writes that the kernel sees: first the events, then both files, then the spawn."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.disk import files
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    EVENTS,
    PASSING,
    REPORT,
    environment,
    orchestrate,
)

TRACED = "execve,rename,renameat,renameat2,fsync,fdatasync,write"


@dataclass(frozen=True, slots=True)
class Call:
    """A system call of a traced run that matters for the order.

    `data` is what was written, `source` the earlier name of what was renamed.
    """

    name: str
    path: str
    data: bytes = b""
    source: str = ""


def traced(arguments: Sequence[str], cwd: Path) -> list[Call]:
    """Run the command under strace; return spawns by their start, other calls by their end."""
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
    """Yield the successful calls in a trace."""
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
        if re.match(r"(execve|rename\w*|fsync|fdatasync|write)\(.*\) += \d+$", text):
            yield call_in(text)


def call_in(text: str) -> Call:
    """Return the call in a line of a trace: what was started, synced or written, or renamed."""
    name = text.partition("(")[0]
    if name in {"fsync", "fdatasync", "write"}:
        path, data = re.findall(r"^\w+\(\d+<([^>]*)>(?:, \"(.*)\", \d+)?\)", text)[0]
        name = name.replace("fdatasync", "fsync")
        return Call(name, path, data.encode().decode("unicode_escape").encode("latin-1"))
    quoted = re.findall(r"\"([^\"]*)\"", text)
    if name == "execve":
        return Call("execve", quoted[0])
    # Either name may be relative to a directory that is given by its descriptor.
    named = re.findall(r"(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?\"([^\"]*)\"", text)
    source, path = (os.path.join(directory, entry) for directory, entry in named)
    return Call("rename", path, source=source)


def is_temporary_of(path: str, source: str) -> bool:
    """Return whether `source` is a temporary name for `path`, beside it."""
    directory, name = os.path.split(path)
    pattern = rf"\.{re.escape(name)}\.[0-9a-f]{{16}}{re.escape(files.TEMPORARY_SUFFIX)}"
    beside, temporary = os.path.split(source)
    return beside == directory and re.fullmatch(pattern, temporary) is not None


def can_trace() -> bool:
    """Return whether strace exists and may trace."""
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
    """Return options of a run whose stages are programs that a trace can distinguish."""
    options: list[str] = [*PASSING]
    for stage in ("manager", "executor"):
        tool = cwd / f"{stage}-tool"
        tool.write_text("#!/bin/sh\nexit 0\n")
        tool.chmod(0o755)
        options += [f"--{stage}-bin", str(tool)]
    return tuple(options)


def events_in(call: Call) -> list[dict[str, Any]]:
    """Return the events in the written data."""
    return [json.loads(line) for line in call.data.splitlines()]


@pytest.mark.usefixtures("tracing")
def test_persist_comes_before_spawn(tmp_path: Path) -> None:
    """A stage is spawned once its transition and attempt are appended together and synced."""
    out = tmp_path / "out"
    calls = traced(["./out", *make_tools(tmp_path)], tmp_path)
    names = [(call.name, call.path) for call in calls]
    events, begin = str(out / EVENTS), 0
    for stage in ("manager", "executor"):
        spawned = names.index(("execve", str(tmp_path / f"{stage}-tool")))
        [step] = [
            begin + index
            for index, call in enumerate(calls[begin:spawned])
            if (call.name, call.path) == ("write", events) and b"attempt.begun" in call.data
        ]
        transition, attempt = events_in(calls[step])
        assert transition["transition"]["dest"] == attempt["record"]["stage"] == stage
        synced = names.index(("fsync", events), step, spawned)
        assert ("rename", str(out / CHECKPOINT)) in names[synced:spawned]
        assert ("fsync", str(out)) in names[:spawned]  # the events' own name
        begin = spawned
    assert ("fsync", str(tmp_path)) in names[
        : names.index(("execve", str(tmp_path / "manager-tool")))
    ]


@pytest.mark.usefixtures("tracing")
def test_checkpoint_says_nothing_that_is_not_synced(tmp_path: Path) -> None:
    """Each new checkpoint names only steps whose events are on disk.

    The first is an exception: a run that only begins to judge its gates has done nothing.
    """
    checkpoint, events = (str(tmp_path / "out" / name) for name in (CHECKPOINT, EVENTS))
    content: dict[str, bytes] = {}
    written, durable, renamed = 0, 0, 0
    for call in traced(["./out", *make_tools(tmp_path)], tmp_path):
        match call.name, call.path:
            case "write", path if path == events:
                written = events_in(call)[-1]["seq"]
            case "fsync", path if path == events:
                durable = written
            case "write", path:
                content[path] = call.data
            case "rename", path if path == checkpoint:
                kept = json.loads(content[call.source])
                steps = kept["invocations"][-1]["transitions"]
                is_step = not kept["open_attempts"] or kept["open_attempts"][0]["pid"] is None
                assert durable == kept["last_event_seq"] or len(steps) == 1 or not is_step
                renamed += 1
    assert renamed == 6  # four transitions, two pids


@pytest.mark.usefixtures("tracing")
def test_both_files_are_durable_at_the_end(tmp_path: Path) -> None:
    """Each file is synced before its last rename, and the directory after it."""
    assert orchestrate("first", *PASSING, cwd=tmp_path).code == 0  # makes the user's key
    out = tmp_path / "out"
    calls = traced(["./out", *make_tools(tmp_path)], tmp_path)
    names = [(call.name, call.path) for call in calls]
    for name in (CHECKPOINT, REPORT):
        last = max(index for index, one in enumerate(names) if one == ("rename", str(out / name)))
        assert is_temporary_of(calls[last].path, calls[last].source)
        assert ("fsync", calls[last].source) in names[:last]
        assert ("fsync", str(out)) in names[last:]
    synced = [name for name, _ in names if name == "fsync"]
    assert len(synced) == 8  # docs/durability.md gives the purpose of each
