"""A real Temporal server for tests: the development server, on the loopback.

`own_server` is one test's, to be ended and restarted; `shared_address` is that of the server which
all processes of a test session share. Both are gone when the session is, however it ends. `python
-m tests.support.temporal_server FOLDER` starts the shared one and watches over it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.patience import PATIENCE_SECONDS
from tests.support.tethered import tethered

if TYPE_CHECKING:
    from temporalio.client import Client

BINARY: Final = Path(sys.executable).with_name("temporal")
SEARCH_ATTRIBUTES: Final = {
    "FsmState": "Keyword",
    "FsmOutcome": "Keyword",
    "FsmWaitingGates": "KeywordList",
}
NAMESPACE: Final = "default"
_HOST: Final = "127.0.0.1"
_PORTS: Final = range(20_000, 32_000)
"""Below the ports that a kernel assigns: a port is free again after a restart."""
_USERS, _STARTING, _ADDRESS, _LOG = "users.lock", "starting.lock", "address", "server.log"
_NAP_SECONDS: Final = 0.02


def why_not() -> str:
    """Return why there can be no server here; empty if there can be one."""
    if sys.platform != "linux":
        return "runs are held by leases on Linux only"
    if not os.access(BINARY, os.X_OK):
        return f"no Temporal server: {BINARY} is missing (extra `dev` installs it where it exists)"
    try:
        import temporalio.client  # noqa: F401, PLC0415 - heavy, and may be missing
    except ImportError as error:
        return f"no Temporal client: {error} (extra `temporal`)"
    return ""


class TemporalServer:
    """A server of one process, which ends with the thread that started it.

    Attributes:
        folder: the directory of its log and its database.
        address: host and port; the same after a restart.
    """

    def __init__(self, folder: Path, *, in_file: bool = False) -> None:
        """Start nothing yet. With `in_file` the server keeps its workflows over a restart."""
        self.folder = folder
        self.address = ""
        self._database = ("--db-filename", str(folder / "temporal.db")) if in_file else ()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of its process."""
        assert self._process is not None, "it is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, at its earlier address if it had one; return when it answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            address = self.address or f"{_HOST}:{free_port()}"
            self._process = self._started(address)
            if asyncio.run(self._answers(address, deadline)):
                self.address = address
                return
            self.end()
            assert time.monotonic() < deadline, (self.folder / _LOG).read_text()

    def end(self, signum: signal.Signals = signal.SIGKILL) -> None:
        """End it: by default as a power cut would."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signum)
            process.send_signal(signal.SIGCONT)
            process.wait(PATIENCE_SECONDS)

    def freeze(self) -> None:
        """Stop its process: it exists, and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue its process."""
        os.kill(self.pid, signal.SIGCONT)

    async def client(self) -> Client:
        """Return a client that is connected to it."""
        return await connected(self.address)

    def _started(self, address: str) -> subprocess.Popen[bytes]:
        host, _, port = address.rpartition(":")
        words = ["server", "start-dev", "--headless", "--log-level", "error", *self._database]
        words += ["--ip", host, "--port", port]
        for name, kind in SEARCH_ATTRIBUTES.items():
            words += ["--search-attribute", f"{name}={kind}"]
        with (self.folder / _LOG).open("ab") as log:
            return subprocess.Popen(
                tethered(str(BINARY), *words),
                cwd=self.folder,
                # The operator's settings for other servers must not reach this one.
                env={key: value for key, value in os.environ.items() if "TEMPORAL" not in key},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _answers(self, address: str, deadline: float) -> bool:
        """Wait until it knows namespace and search attributes; return False if it has ended."""
        from temporalio.api.operatorservice.v1 import (  # noqa: PLC0415 - heavy, and may be missing
            ListSearchAttributesRequest,
        )
        from temporalio.service import RPCError  # noqa: PLC0415 - as above

        while self._process is not None and self._process.poll() is None:
            with contextlib.suppress(RPCError, RuntimeError):
                client = await connected(address)
                asked = ListSearchAttributesRequest(namespace=NAMESPACE)
                known = await client.operator_service.list_search_attributes(
                    asked, timeout=timedelta(seconds=5)
                )
                if SEARCH_ATTRIBUTES.keys() <= set(known.custom_attributes):
                    return True
            assert time.monotonic() < deadline, f"no server answers at {address}"
            await asyncio.sleep(_NAP_SECONDS)
        return False


async def connected(address: str) -> Client:
    """Return a client of the server at an address."""
    from temporalio.client import Client  # noqa: PLC0415 - heavy, and may be missing

    return await Client.connect(address, namespace=NAMESPACE)


@contextlib.contextmanager
def own_server(folder: Path, *, in_file: bool = False) -> Iterator[TemporalServer]:
    """Run a server until the end of the block, in a folder that is made."""
    folder.mkdir()
    server = TemporalServer(folder, in_file=in_file)
    server.start()
    try:
        yield server
    finally:
        server.end()


@contextlib.contextmanager
def shared_address(folder: Path) -> Iterator[str]:
    """Hold the server of a folder, started by its first holder; yield its address.

    It is ended when nobody holds it any more. Each holder has a lock, which the kernel takes back
    from a process that is gone.
    """
    folder.mkdir(exist_ok=True)
    with (folder / _STARTING).open("wb") as starting, (folder / _USERS).open("wb") as users:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        if not (folder / _ADDRESS).exists():
            words = (sys.executable, "-m", "tests.support.temporal_server", str(folder))
            subprocess.run(words, cwd=Path(__file__).parents[2], check=True)
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield (folder / _ADDRESS).read_text()


def main(folder: Path) -> None:
    """Start a process that keeps a server while it has holders; wait until the server is up.

    Raises:
        SystemExit: it did not come up; its log is in the folder.
    """
    told, telling = os.pipe()
    if os.fork():
        os.close(telling)
        sys.exit(0 if os.read(told, 1) else f"no server came up: see {folder / _LOG}")
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    with (folder / _LOG).open("ab") as log, (folder / _USERS).open("wb") as users:
        for descriptor, replaced in ((null, 0), (log.fileno(), 1), (log.fileno(), 2)):
            os.dup2(descriptor, replaced)
        server = TemporalServer(folder)
        server.start()
        try:
            (folder / _ADDRESS).write_text(server.address)
            os.write(telling, b"1")
            os.close(telling)
            fcntl.flock(users, fcntl.LOCK_EX)
            (folder / _ADDRESS).unlink()
        finally:
            server.end()


def free_port() -> int:
    """Return a free port of the loopback that the kernel does not assign on its own."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind((_HOST, port))
            return port


if __name__ == "__main__":
    main(Path(sys.argv[1]))
