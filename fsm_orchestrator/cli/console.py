"""Output to the operator: the result on stdout, messages on stderr.

Also the one place that checks in the environment whether a stream may be colored or redrawn.

A result that cannot be written is an error of its command; it never changes a run. A message that
cannot be written is lost. A reader that goes away has read enough.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.errors import OutputError
from fsm_orchestrator.text.hidden import printable
from fsm_orchestrator.text.late_pattern import late_pattern

if TYPE_CHECKING:
    from fsm_orchestrator.processes.interrupts import Interrupts

COLOR: Final = late_pattern(r"(\x1b\[[0-9;]*m)")
"""A color that `cli/style.py` has put into text."""
CHUNK_BYTES: Final = 4096
"""PIPE_BUF on Linux: a pipe that poll reports as writable takes this much without blocking."""
RESULT_PATIENCE_SECONDS: Final = 30.0
"""The seconds that the end of a run waits for a stalled reader of its summary."""
LOG_PATIENCE_SECONDS: Final = 0.2
MESSAGE_PATIENCE_SECONDS: Final = 5.0
READER_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET})
"""The errors that mean that nobody reads any longer."""


WIDTH_OF_FILES: Final = 80
"""The width of lines where no terminal reports its own."""
WIDTH_MIN: Final = 20


def _is_on(name: str) -> bool:
    """Return whether a variable is set to anything but the empty string or 0."""
    return os.environ.get(name, "") not in {"", "0"}


def may_color(is_terminal: bool) -> bool:
    """Return whether the environment allows a stream to be colored, or asks for it.

    `NO_COLOR` (with any value) takes precedence over `FORCE_COLOR` and `CLICOLOR_FORCE`, and those
    over the properties of the terminal.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if _is_on("FORCE_COLOR") or _is_on("CLICOLOR_FORCE"):
        return True
    refuses = "0" in {os.environ.get("FORCE_COLOR"), os.environ.get("CLICOLOR")}
    return is_terminal and not refuses and os.environ.get("TERM") != "dumb"


def may_redraw(is_terminal: bool) -> bool:
    """Return whether lines may be overwritten: on a capable terminal, with a person at it."""
    is_able = os.environ.get("TERM", "dumb") not in {"", "dumb"}
    is_ci = os.environ.get("CI", "").lower() not in {"", "0", "false"}
    return is_terminal and is_able and not is_ci


def has_unicode() -> bool:
    """Return whether non-ASCII symbols are shown, judging by the locale and the terminal."""
    if os.environ.get("TERM") in {"dumb", "linux"}:
        return False
    given = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next(filter(None, given), "")
    return locale.lower().replace("-", "").partition(".")[2].partition("@")[0] == "utf8"


def never_waiting(descriptor: int) -> int:
    """Return a descriptor of the same terminal on which a write never waits.

    A terminal that poll reports as writable may take less than is written, and make the writer wait
    for the rest. The descriptor of anything else, or of a terminal that cannot be opened, is
    returned unchanged.
    """
    if not os.isatty(descriptor):
        return descriptor
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return descriptor


def is_in_front(descriptor: int) -> bool:
    """Return whether this process may redraw; a background process would disturb other output."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # not this process's controlling terminal, so nobody else's either
        return True


def is_on_github() -> bool:
    """Return whether GitHub Actions runs this program."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def inert(text: str) -> str:
    r"""Return text that a GitHub Actions runner does not act on: `##[` is a command anywhere in it.

    Written as `\u005b`, the bracket is the same in JSON.
    """
    return text.replace("##[", "##\\u005b") if is_on_github() else text


class Console:
    """One of the standard streams.

    `patience_seconds` is how long a reader may stall before the rest is dropped; None means
    forever. A request to end the run, if `interrupts` are given, also ends the wait.
    """

    def __init__(
        self,
        descriptor: int,
        patience_seconds: float | None,
        interrupts: Interrupts | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._patience_seconds = patience_seconds
        self._interrupts = interrupts
        self._writer: int | None = None
        self._is_broken = False

    @property
    def is_broken(self) -> bool:
        """True once the reader has gone away or has stalled for too long."""
        return self._is_broken

    @property
    def is_in_front(self) -> bool:
        """True unless it is a terminal to which this process writes from the background."""
        return is_in_front(self._descriptor)

    @property
    def is_gone(self) -> bool:
        """True once the reader of a pipe has gone away, even if nothing was written since."""
        poll = select.poll()
        poll.register(self._descriptor, 0)
        return self._is_broken or bool(poll.poll(0))

    @property
    def is_terminal(self) -> bool:
        """True if it is a terminal."""
        try:
            return os.isatty(self._descriptor)
        except OSError:
            return False

    @property
    def has_color(self) -> bool:
        """True if it may be colored, judging by the environment and the kind of stream."""
        return may_color(self.is_terminal)

    @property
    def may_be_redrawn(self) -> bool:
        """True if lines may be overwritten."""
        return may_redraw(self.is_terminal)

    @property
    def size(self) -> tuple[int, int]:
        """The number of columns and lines; the lines are 0 if it is not a terminal."""
        columns, lines = 0, 0
        try:
            columns, lines = os.get_terminal_size(self._descriptor)
        except OSError:
            with contextlib.suppress(ValueError):
                columns = int(os.environ.get("COLUMNS", ""))
        return max(columns or WIDTH_OF_FILES, WIDTH_MIN), lines

    @property
    def width(self) -> int:
        """The number of columns that its lines may have."""
        return self.size[0]

    def is_same_as(self, other: Console) -> bool:
        """Return whether both are the same terminal."""
        try:
            one, two = os.fstat(self._descriptor), os.fstat(other._descriptor)
        except OSError:
            return False
        return self.is_terminal and os.path.samestat(one, two)

    def write(self, text: str) -> None:
        """Write as much of `text` as the reader takes. Never raises for what the reader does."""
        with contextlib.suppress(OutputError):
            self.send(self._encoded(text))

    def show(self, text: str) -> None:
        """Write text painted by `cli/style.py`, with its colors if the stream may have any."""
        with contextlib.suppress(OutputError):
            self.send(self.encoded_show(text))

    def encoded_show(self, text: str) -> bytes:
        """Return painted text as bytes that, apart from its colors, do nothing to a terminal."""
        pieces = COLOR.split(text)
        colors = pieces[1::2] if self.has_color else [""] * (len(pieces) // 2)
        for index, color in enumerate(colors):
            pieces[2 * index + 1] = color
        if self.is_terminal:
            pieces[::2] = map(printable, pieces[::2])
        return inert("".join(pieces)).encode(errors="replace")

    def _encoded(self, text: str) -> bytes:
        """Return text as bytes that do nothing to a terminal, whatever their origin."""
        return inert(printable(text) if self.is_terminal else text).encode(errors="replace")

    def send(self, content: bytes) -> None:
        """Write all of `content`, unless the reader goes away or has gone.

        Raises:
            OutputError: it cannot be written; nothing is written after it.
        """
        data = memoryview(content)
        if data and self._writer is None:
            self._writer = never_waiting(self._descriptor)
        while data and self._writer is not None and not self._is_broken:
            try:
                self._wait(self._writer)
                data = data[os.write(self._writer, data[:CHUNK_BYTES]) :]
            except BlockingIOError:
                time.sleep(0.01)
            except OSError as error:
                self._is_broken = True
                if error.errno not in READER_GONE:
                    raise OutputError((error.strerror or str(error)).lower()) from error

    def _wait(self, writer: int) -> None:
        """Wait until the reader takes more."""
        poll = select.poll()
        poll.register(writer, select.POLLOUT)
        if self._interrupts is not None:
            poll.register(self._interrupts.fileno(), select.POLLIN)
        patience = self._patience_seconds
        ready = dict(poll.poll(None if patience is None else patience * 1000))
        if self._interrupts is not None and ready and not self._interrupts.is_news:
            self._interrupts.drain()  # if that woke it, it was for nothing
            if writer not in ready:
                return
        if writer not in ready:
            self._is_broken = True
            raise OutputError("asked to end before it was read" if ready else "it is not read")


class Result(Console):
    """The stream of the result, which a command must deliver to its caller."""

    def write(self, text: str) -> None:
        """Write all of `text`, however long the reader takes, unless it goes away.

        Raises:
            OutputError: it cannot be written.
        """
        self.send(self._encoded(text))

    def show(self, text: str) -> None:
        """Write all of the painted text, as `write` does.

        Raises:
            OutputError: it cannot be written.
        """
        self.send(self.encoded_show(text))


def stdout() -> Result:
    """Return the stream for a result that no run waits for: it waits for its reader."""
    return Result(1, None)


def stdout_of_run(interrupts: Interrupts) -> Result:
    """Return the stream for the summary of a run that has ended.

    The product of a run is its report on disk: a stalled reader delays the end of the process for a
    limited time only, and not at all after a new request to end it.
    """
    interrupts.drain()
    return Result(1, RESULT_PATIENCE_SECONDS, interrupts)


def stderr() -> Console:
    """Return the stream of messages."""
    return Console(2, MESSAGE_PATIENCE_SECONDS)


def complain(message: str, remedy: str) -> None:
    """Write one message: what is wrong, then what to do."""
    text = f"{PRODUCT}: {message}\n"
    if remedy:
        text += f"  {remedy}\n"
    stderr().write(printable(text))
