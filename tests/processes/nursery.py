"""Helpers for the tests of snapshots: processes to look at, and ways to look at them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, Self

import pytest

from fsm_orchestrator.processes.snapshots import ProcessSnapshot, Reader, collect
from fsm_orchestrator.secrets.masking import Masker

AMPLE_SECONDS: Final = 60.0
"""More than enough: a collection that takes this long has failed anyway."""
PATIENCE_SECONDS: Final = 20.0
NO_SECRETS: Final = Masker(())
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Each prints one line of JSON once it is as the test wants it, and then waits to be ended.
WAIT: Final = "import signal; signal.pause()"
HOLDS_EVERYTHING: Final = f"""
import json, os, socket
def listening(family, address):
    one = socket.socket(family); one.bind(address); one.listen(); return one
server = listening(socket.AF_INET, ("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); datagrams.bind(("127.0.0.1", 0))
local = listening(socket.AF_UNIX, "a-socket")
pair = socket.socketpair()
other = socket.socket(socket.AF_INET)
opened = open("opened", "w")
reader, writer = os.pipe()
print(json.dumps(dict(
    server=[server.fileno(), server.getsockname()[1]],
    client=[client.fileno(), client.getsockname()[1]],
    datagrams=[datagrams.fileno(), datagrams.getsockname()[1]],
    local=local.fileno(), pair=pair[0].fileno(), other=other.fileno(),
    opened=opened.fileno(), reader=reader, writer=writer,
    pipe=os.readlink(f"/proc/self/fd/{{reader}}"),
)), flush=True)
{WAIT}
"""


class Nursery:
    """The processes of a test, all gone when it is over."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[subprocess.Popen[str]] = []
        self._others: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, *command: str, **settings: Any) -> tuple[int, Any]:
        """Start a process; return its pid and the decoded first line that it prints."""
        process = subprocess.Popen(
            command, cwd=self.directory, stdout=subprocess.PIPE, text=True, **settings
        )
        self._started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the process ended without a word"
        return process.pid, json.loads(line)

    def python(self, code: str, *args: str, **settings: Any) -> tuple[int, Any]:
        """Start Python code that prints a line."""
        return self.start(sys.executable, "-I", "-S", "-c", code, *args, **settings)

    def quiet(self, *args: str, **settings: Any) -> int:
        """Start a process that does nothing; return its pid."""
        return self.python(f"print('true', flush=True); {WAIT}", *args, **settings)[0]

    def also(self, pids: list[int]) -> None:
        """Add processes that a process of this nursery has started, to be ended too."""
        self._others.extend(pids)

    def close(self) -> None:
        """End all the processes."""
        for pid in self._others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._started:
            with process:
                process.kill()


def told_of(pid: int, masker: Masker = NO_SECRETS, read: Reader | None = None) -> ProcessSnapshot:
    """Return the snapshot of one process of which everything can be read."""
    (snapshot,), is_complete = collect([pid], masker, AMPLE_SECONDS, read)
    assert is_complete
    return snapshot


def collect_in_bounds(
    pids: list[int], seconds: float, read: Reader | None = None
) -> dict[int, ProcessSnapshot]:
    """Return what is collected although something hangs; fail if it is reported as complete."""
    began = time.monotonic()
    snapshots, is_complete = collect(pids, NO_SECRETS, seconds, read)
    assert time.monotonic() - began < 5
    assert not is_complete
    return {one.pid: one for one in snapshots}
