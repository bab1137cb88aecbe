"""What comes of a stage's output and limits while it runs, as those know who copy the output.

Looks when something could be due, with `LOOK_SECONDS` between two looks, so that memory and time
are flat whatever a stage prints.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from fsm_orchestrator.processes.stage_watch import EXCEEDED, TIMED_OUT, WENT_QUIET

LOOK_SECONDS: Final = 0.25


class Progress(NamedTuple):
    """What `StageWatch.state` says.

    Attributes:
        printed_bytes: how much came through.
        stdout_bytes: how much of that is in the first log.
        stderr_bytes: and in the second.
        printed_at: when something came through last, by the monotonic clock.
        broken: the limit that was broken first, see stage_watch.py.
        signalled: the last signal that ended the stage before we could; 0 if there was none.
        failed_log: the number of the log that could not be written.
        failure: the errno of that; 0 if all was written.
    """

    printed_bytes: int
    stdout_bytes: int
    stderr_bytes: int
    printed_at: float
    broken: int
    signalled: int
    failed_log: int
    failure: int


class LogLostError(Exception):
    """A log could not take what the stage printed: `errno` says why.

    Attributes:
        number: 0 for stdout, 1 for stderr.
    """

    def __init__(self, number: int, errno: int) -> None:
        super().__init__(number, errno)
        self.number = number
        self.errno = errno


class OutputWatch:
    """The output of a running process, from the moment of construction on.

    Attributes:
        progress: what was known at the last look.
    """

    def __init__(self, look: Callable[[], Progress]) -> None:
        self._look = look
        self._looked_at = time.monotonic()
        self.progress = look()

    @property
    def printed_at(self) -> float:
        """The time at which something was printed last, as of the last look."""
        return self.progress.printed_at

    @property
    def is_over(self) -> bool:
        """True if more than the limit was printed, as of the last look."""
        return self.progress.broken == EXCEEDED

    @property
    def has_timed_out(self) -> bool:
        """True if it outlived its time, as of the last look."""
        return self.progress.broken == TIMED_OUT

    @property
    def went_quiet(self) -> bool:
        """True if it printed nothing for too long, as of the last look."""
        return self.progress.broken == WENT_QUIET

    @property
    def next_look(self) -> float:
        """The time of the next look, by the monotonic clock."""
        return self._looked_at + LOOK_SECONDS

    def look(self) -> None:
        """Look now.

        Raises:
            LogLostError: a log could not be written.
        """
        self._looked_at = time.monotonic()
        self.progress = self._look()
        if self.progress.failure:
            raise LogLostError(self.progress.failed_log, self.progress.failure)
