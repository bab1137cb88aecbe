"""Waits for descriptors: poll(2) with a deadline on the monotonic clock."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable

_WAIT_MS_MAX = 2_147_483_647


def readable(descriptors: Iterable[int], deadline: float) -> set[int]:
    """Wait for descriptors; return those that are readable or hung up, none at the deadline.

    `deadline` is a reading of the monotonic clock, in seconds; a past one means no wait.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    left_ms = max(0.0, deadline - time.monotonic()) * 1000
    return {descriptor for descriptor, _ in poll.poll(min(left_ms, _WAIT_MS_MAX))}
