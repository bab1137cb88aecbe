"""The keeper's control of a running stage: its output, its limits, and its end if necessary.

It runs in the keeper's process, whose interpreter cannot import this package.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False  # as in keeper.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
if TYPE_CHECKING or __package__:
    from fsm_orchestrator.processes import stage_start
    from fsm_orchestrator.processes.log_copy import LogCopy
    from fsm_orchestrator.processes.stage_watch import STATE, StageWatch
    from fsm_orchestrator.processes.tree_usage import TreeUsage
else:  # in the keeper's own process
    import stage_start
    from log_copy import LogCopy
    from stage_watch import STATE, StageWatch
    from tree_usage import TreeUsage


class KeptOutput:
    """The pipes and limits of one stage. `close` it."""

    def __init__(self, limits: Sequence[bytes], descriptors: Sequence[int]) -> None:
        """Create pipes into the logs, the first of `descriptors`; publish in the last one.

        Raises:
            OSError: that is not possible; the descriptors are closed.
        """
        *logs, self._page = descriptors
        timeout_ms, grace_ms, *others = map(int, limits)
        idle_ms, limit_bytes, *of_tree = (None if one < 0 else one for one in others)
        self._usage = TreeUsage(*of_tree)
        try:
            self._copy = LogCopy(logs, limit_bytes)
        except OSError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        self._watch = StageWatch(self._copy, timeout_ms, grace_ms, idle_ms, limit_bytes)
        self._publish()

    @property
    def readers(self) -> tuple[int, ...]:
        """The descriptors that are readable when something has been printed."""
        return self._copy.readers

    @property
    def wait_ms(self) -> float | None:
        """The time until there may be something to do; None if that is not known."""
        next_at = self._watch.next_at()
        if self._usage.is_limited and not self._watch.has_ended:
            sample_at = self._usage.next_at
            next_at = sample_at if next_at is None else min(next_at, sample_at)
        if next_at is None:
            return None
        left_ms = max(0.0, next_at - time.monotonic()) * 1000
        return min(left_ms + 1, 2_147_483_647)  # rounded up, so as not to wake too early

    def start(self, order: stage_start.Order) -> tuple[int, list[bytes]]:
        """Start the stage, in its cgroup if it has one, and leave the writing ends to it.

        Raises:
            NotStartedError: it could not be started.
            OSError: this process cannot enter or leave the cgroup.
        """
        cgroup = self._usage.cgroup
        if cgroup is not None:
            cgroup.enter()
        try:
            started = stage_start.start(order, self._copy.writers)
        finally:
            if cgroup is not None:
                cgroup.leave()
        self._copy.close_writers()
        return started

    def note(self, what: bytes) -> None:
        """Act on what the orchestrator says about the limits."""
        match what:
            case b"pause":
                self._watch.pause()
            case b"go_on":
                self._watch.go_on()
            case _:
                self._watch.hand_over()
        self._publish()

    def drain(self, *, is_stubborn: bool) -> None:
        """Copy the pending output; `is_stubborn` says that some of the stage does not end."""
        if is_stubborn and self._usage.cgroup is not None:
            self._usage.cgroup.kill()
        self._copy.drain()

    def look(self, ready: set[int], leader: int, kill_alive: Callable[[], bool]) -> None:
        """Copy what was printed and judge the limits; end a stage that nobody else ends.

        `kill_alive` kills every live process of the stage, and returns whether there was any.
        """
        for reader in ready.intersection(self._copy.readers):
            self._copy.copy(reader)
        now = time.monotonic()
        self._watch.judge(now)
        if not ready.issubset(self._copy.readers):
            self.look_for_end(leader)
        if self._usage.is_limited and not self._watch.has_ended and now >= self._usage.next_at:
            exceeded = self._usage.exceeded(now)
            if exceeded is not None:
                self._watch.exceed(*exceeded)
        signum = self._watch.due(now)
        if signum == signal.SIGTERM:
            _ask_to_end(leader)
        elif signum == signal.SIGKILL:
            was_any_alive = kill_alive()
            if self._watch.has_ended and not was_any_alive:
                self._watch.nothing_left()
        self._publish()

    def look_for_end(self, leader: int) -> None:
        """Check whether the stage's first process has ended."""
        if not self._watch.has_ended and _has_ended(leader):
            exceeded = self._usage.killed_for_memory()
            if exceeded is not None:
                self._watch.exceed(*exceeded)
            self._watch.end()

    def close(self) -> None:
        """Copy what the pipes still hold and close them, even if another process has them open."""
        self._copy.close_writers()
        self._copy.drain()
        self._publish()
        self._copy.close()
        os.close(self._page)
        if self._usage.cgroup is not None:
            self._usage.cgroup.close()

    def _publish(self) -> None:
        is_in_cgroup = self._usage.cgroup is not None
        os.pwrite(self._page, STATE.pack(*self._watch.state(), is_in_cgroup), 0)


def _ask_to_end(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGTERM)  # it is not reaped: the number is its own
        os.killpg(leader, signal.SIGCONT)
    except OSError:  # of another user (sudo)
        return


def _has_ended(leader: int) -> bool:
    try:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, leader, options) is not None
    except ChildProcessError:
        return True
