"""Workers for tests: real commands, each as on a separate host: killed, frozen and thawed."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psutil

from tests.support import own_host
from tests.support.command import COMMAND, environment
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.tethered import tethered

READY: Final = "server.connected"
"""The event of a worker that is ready for runs."""

OWN_HOST: Final = (sys.executable, "-I", "-S", own_host.__file__)


@functools.cache
def _has_hosts() -> bool:
    """Return True if workers get separate hosts: an ordinary user's share this machine."""
    words = (*OWN_HOST, "probe", "/proc/sys/kernel/random/uuid", "true")
    return subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0


class Worker:
    """A worker, started again after each end if a test wants that.

    Everything that it starts is below it until it is gone: keepers, and stages below them.
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        queue: str,
        *options: str,
        command: Sequence[str] = COMMAND,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start nothing yet; `folder` is for its host alone: private state and log."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._given = (address, options, command, env)
        given = ("--address", address, "--task-queue", queue, "--log-format", "json")
        self._words = (*command, "temporal", "worker", *given, *options)
        boot = folder / "boot_id"
        boot.write_text(f"{uuid.uuid4()}\n")
        if _has_hosts():
            self._words = (*OWN_HOST, folder.name, str(boot), *self._words)
        self._env = environment(**{"XDG_STATE_HOME": str(folder / "state"), **env})
        self._process: subprocess.Popen[bytes] | None = None
        self._logged_before = 0
        self._pid = 0

    def of_queue(self, queue: str) -> Worker:
        """Return the same worker of another queue."""
        address, options, command, env = self._given
        return Worker(self.folder, address, queue, *options, command=command, env=env)

    @property
    def pid(self) -> int:
        """The worker's process; on a separate host, the first one of that host."""
        assert self._process is not None, "it is not running"
        if not self._pid:
            wait_until(self._find, "no worker was started")
        assert self._pid, "it has ended"
        return self._pid

    def _find(self) -> bool:
        """Look for the worker's process once; return True if it is known."""
        assert self._process is not None
        found = psutil.Process(self._process.pid)
        if _has_hosts():
            below = [one for host in found.children() for one in host.children()]
            if not below:
                return not self.is_there
            found = below[0]
        self._pid = found.pid
        return True

    @property
    def is_there(self) -> bool:
        """True if its process has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """The log of all its processes."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "worker.log").read_text()
        return ""

    def start(self) -> None:
        """Start it; return at once."""
        assert not self.is_there
        self._logged_before = len(self.log)
        self._pid = 0
        with (self.folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                tethered(*self._words),
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        """Return once it is ready for runs."""
        wait_until(
            lambda: READY in self.log[self._logged_before :] or not self.is_there,
            "no worker is ready",
        )
        assert self.is_there, self.log

    def kill(self) -> None:
        """End it by SIGKILL: what it has started is left for its keepers to end."""
        self.send(signal.SIGKILL)
        self.ended()

    def kill_host(self) -> None:
        """End all that is on its host at once, as a power cut would; without a host, itself."""
        assert self._process is not None, "it is not running"
        self._process.kill()
        self.ended()

    def terminate(self) -> int:
        """Ask it to end, wait for that, and return its exit code."""
        self.send(signal.SIGTERM)
        return self.ended()

    def freeze(self) -> None:
        """Stop its process alone, as a debugger or a full machine would."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue its process."""
        self.send(signal.SIGCONT)

    def freeze_host(self) -> Sequence[int]:
        """Stop all of its processes, as a hypervisor does with a host; return their pids."""
        frozen: list[int] = []
        while fresh := [pid for pid in self.processes() if pid not in frozen]:
            for pid in fresh:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            frozen += fresh
        return frozen

    def thaw_host(self, pids: Sequence[int]) -> float:
        """Continue all of them, the youngest first, which favors the stages; return when that was.

        The time is in seconds of the monotonic clock.
        """
        thawed_at = time.monotonic()
        for pid in reversed(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return thawed_at

    def processes(self) -> Sequence[int]:
        """Return the pids of the worker and of all below it, parents first."""
        try:
            own = psutil.Process(self.pid)
            return [one.pid for one in (own, *own.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def send(self, signum: signal.Signals) -> None:
        """Send its process a signal."""
        if self.is_there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        assert self._process is not None, "it is not running"
        return self._process.wait(PATIENCE_SECONDS)


@contextlib.contextmanager
def at_work(*workers: Worker) -> Iterator[None]:
    """Start workers, wait until they are ready for runs, and kill the rest of them at the end."""
    try:
        for one in workers:
            one.start()
        for one in workers:
            one.wait_until_ready()
        yield
    finally:
        for one in workers:
            if one.is_there:
                one.thaw()
                one.kill()
