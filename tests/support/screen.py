"""A terminal for the command: a pty, and an emulator that shows what a person would see."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte

from tests.support.command import COMMAND, environment
from tests.support.patience import PATIENCE_SECONDS

HISTORY_LINES = 2_000


class Terminal:
    """A command that is controlled by its own terminal.

    Attributes:
        raw: all output, unchanged.
        process: the command.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        columns: int = 80,
        lines: int = 24,
        env: Mapping[str, str] | None = None,
        command: tuple[str, ...] = COMMAND,
        **settings: Any,
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=HISTORY_LINES, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = bytearray()
        self._master, slave = os.openpty()
        self.resize(columns, lines)
        given = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "CI": "", "NO_COLOR": ""}
        state = {"XDG_STATE_HOME": str(cwd / "state"), "FSM_ORCHESTRATOR_LOG_FORMAT": ""}
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=cwd,
            env=environment(**{**given, **state, **(env or {})}),
            stdin=slave,
            stdout=settings.pop("stdout", slave),
            stderr=slave,
            start_new_session=True,
            preexec_fn=_control,  # noqa: PLW1509 - no thread of a test is at work then
            **settings,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the command if it still runs, and close the terminal."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=PATIENCE_SECONDS)
        os.close(self._master)

    @property
    def shown(self) -> list[str]:
        """The lines of the screen, without the blank ones at its end."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def all_lines(self) -> list[str]:
        """The same, after all that has scrolled out of it."""
        columns = range(self._screen.columns)
        above = [
            "".join(line[column].data for column in columns).rstrip()
            for line in self._screen.history.top
        ]
        return [*above, *self.shown]

    @property
    def is_cursor_shown(self) -> bool:
        """True if the cursor is visible."""
        return not self._screen.cursor.hidden

    @property
    def cursor(self) -> tuple[int, int]:
        """The line and the column of the cursor, from 0."""
        return self._screen.cursor.y, self._screen.cursor.x

    def modes(self) -> list[Any]:
        """Return the modes of the line discipline."""
        return termios.tcgetattr(self._master)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        self._screen.resize(lines, columns)

    def read(self, seconds: float = 0.05) -> bool:
        """Read the output of a while; return False once no process can print any more."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux: no process holds the terminal open
                raise
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def until(self, condition: Callable[[Terminal], bool]) -> None:
        """Read until a condition holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition(self):
            assert time.monotonic() < deadline, "\n".join(self.all_lines)
            assert self.read() or condition(self), "\n".join(self.all_lines)

    def until_shown(self, text: str) -> None:
        """Read until a text is on the screen."""
        self.until(lambda terminal: any(text in line for line in terminal.shown))

    def until_printed(self, count: int) -> None:
        """Read until so many bytes have arrived in all."""
        self.until(lambda terminal: len(terminal.raw) >= count)

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self.read():
            if self.process.poll() is not None and not self.read(0.2):
                break
        return self.process.wait(timeout=PATIENCE_SECONDS)


def _control() -> None:
    """Let the terminal control the process, as a shell's does."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    with contextlib.suppress(OSError):
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
