"""Starts one command and prints its cost.

These are nanoseconds, peak memory in bytes, wait status, nanoseconds on a processor, and the time
of its start by the wall clock.

A small process between the suite and the command: Linux counts the parent's memory into a new
process's peak, and the suite is large. Run directly, as a script.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    """Run `sys.argv[1:]` with the null device for input and output."""
    null = os.open(os.devnull, os.O_RDWR)
    quiet = [(os.POSIX_SPAWN_DUP2, null, descriptor) for descriptor in (0, 1, 2)]
    began_at = time.time_ns()
    began = time.perf_counter_ns()
    pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    nanoseconds = time.perf_counter_ns() - began
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    of_processor = round((usage.ru_utime + usage.ru_stime) * 1e9)
    sys.stdout.write(
        f"{nanoseconds} {usage.ru_maxrss * unit_bytes} {status} {of_processor} {began_at}\n"
    )


if __name__ == "__main__":
    main()
