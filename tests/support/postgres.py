"""A PostgreSQL server of one test, on the loopback, whose data is gone with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.temporal_server import free_port

_SOMEBODY: Final = 65534
"""The user of the server, which does not run as root."""


def tool(name: str) -> str | None:
    """Return where a program of PostgreSQL is, on PATH or in Debian's directory, or None."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(versions[-1]) if versions else None)


@contextlib.contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """Run a server until the end of the block; yield the variables by which clients find it."""
    with tempfile.TemporaryDirectory() as folder, _postgres(Path(folder)) as env:
        yield env


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[dict[str, str]]:
    initdb, server = tool("initdb"), tool("postgres")
    assert initdb is not None
    assert server is not None
    user = None
    if os.geteuid() == 0:
        user = _SOMEBODY
        os.chown(folder, user, user)
    data, port = folder / "data", free_port()
    words = (initdb, "-D", data, "-A", "trust", "-U", "runs", "--no-sync")
    subprocess.run(words, cwd=folder, user=user, check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(
        [
            *(server, "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"),
            *("-c", "unix_socket_directories=", "-c", "fsync=off"),
        ],
        cwd=folder,
        user=user,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": "runs",
            "PGDATABASE": "postgres",
        }
    finally:
        process.send_signal(signal.SIGINT)  # by SIGTERM it would wait for its clients
        process.wait()
