"""A browser driven through pipes, and a proxy that lets nothing out of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.patience import PATIENCE_SECONDS

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--remote-debugging-pipe",
)
LAUNCH: Final = (
    "import os, sys; reads, writes = int(sys.argv[1]), int(sys.argv[2])\n"
    "os.dup2(reads, 3); os.dup2(writes, 4); os.execvp(sys.argv[3], sys.argv[3:])"
)
"""The launcher: the browser reads commands from descriptor 3 and answers on 4."""


class Chromium:
    """A browser with one tab."""

    def __init__(self, program: str, profile: Path, proxy_port: int) -> None:
        ours_read, theirs_write = os.pipe()
        theirs_read, ours_write = os.pipe()
        given = [fcntl.fcntl(one, fcntl.F_DUPFD, 20) for one in (theirs_read, theirs_write)]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", LAUNCH, *map(str, given), program, *FLAGS),
                *(f"--user-data-dir={profile}", f"--proxy-server=127.0.0.1:{proxy_port}"),
            ],
            pass_fds=given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for one in (theirs_read, theirs_write, *given):
            os.close(one)
        self._read, self._write, self._rest, self._number = ours_read, ours_write, b"", 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        tab = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=tab, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a request and wait for the answer; the events in between are in `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def show(self, page: Path | str, *, width: int = 1600, scheme: str = "light") -> None:
        """Load a page, a file or an address, in a window of the given width."""
        self.resize(width)
        self.media("screen", scheme)
        self.events.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while not self.seen("Page.loadEventFired"):
            self.events.append(self._next())

    def resize(self, width: int) -> None:
        """Give the window the given width."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )

    def media(self, kind: str, scheme: str) -> None:
        """Emulate screen or paper, light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=kind, features=features)

    def seen(self, method: str) -> list[dict[str, Any]]:
        """Return the events of that name since the page was requested."""
        return [one["params"] for one in self.events if one.get("method") == method]

    def value(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Wait until an expression is true in the page; return what it is."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := self.value(expression)):
            assert time.monotonic() < deadline, expression
            time.sleep(0.02)
        return found

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(OSError, AssertionError, EOFError):
            self._session = None
            self.call("Browser.close")
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._read)
        os.close(self._write)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self._rest:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self._read], [], [], left)[0], "the browser does not answer"
            data = os.read(self._read, 1 << 20)
            if not data:
                raise EOFError(f"the browser ended: {self.process.wait()}")
            self._rest += data
        message, self._rest = self._rest.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


class Proxy:
    """Stands between the browser and the network, lets nothing through, and remembers requests."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """End the proxy."""
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with contextlib.suppress(OSError), connection:
                    connection.settimeout(1)
                    self.asked.append(connection.recv(4096))


@contextlib.contextmanager
def chromium(profile: Path, proxy: Proxy) -> Iterator[Chromium]:
    """Yield a browser; where none is on PATH, the tests that want one are skipped."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"there is no browser on PATH: none of {', '.join(NAMES)}")
    browser = Chromium(program, profile, proxy.port)
    yield browser
    browser.close()
