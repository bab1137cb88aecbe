"""A stage that proves that it is alone, and that nobody works twice for its run.

    python -I -S proving_stage.py LEDGER SECONDS|PATH TICK_MS [FLAG...]

It works for so long, or until there is something at PATH. All that it starts holds the lock of its
run, LEDGER/<run>.lock, as long as it lives: a stage that finds it held has met another live
attempt, notes that, and fails. Each of its actions is a line of LEDGER/<run>.jsonl: begin, ticks,
end; `ledger.py` reads them. Flags:

    family    have a grandchild in a separate session that ignores SIGTERM and ticks as well
    lockless  take no lock: for a test in which two attempts are known to be alive for a moment
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ENDED, MET_ANOTHER = 0, 99


def main() -> int:
    """Work; return the exit code."""
    ledger, until, tick_ms, *flags = sys.argv[1:]
    run = os.environ["ORCHESTRATOR_RUN_ID"]
    lines = os.open(f"{ledger}/{run}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    lock = os.open(f"{ledger}/{run}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    if "lockless" not in flags:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(lines, "met")
            return MET_ANOTHER
    note(lines, "begin")
    nap = float(tick_ms) / 1000
    finish = with_grandchild(lines, nap) if "family" in flags else int
    began, path = time.monotonic(), until if until.startswith("/") else None
    while not os.path.exists(path) if path else time.monotonic() < began + float(until):
        time.sleep(nap)
        note(lines, "tick")
    finish()
    note(lines, "end")
    return ENDED


def note(lines: int, what: str) -> None:
    """Write down what happens now, whole, in one write."""
    env = os.environ
    line = {
        "what": what,
        "at": time.monotonic(),
        "stage": env["ORCHESTRATOR_STAGE"],
        "attempt": int(env["ORCHESTRATOR_ATTEMPT"]),
        "epoch": env.get("ORCHESTRATOR_EPOCH", ""),
        "pid": os.getpid(),
    }
    data = json.dumps(line).encode() + b"\n"
    os.write(lines, data)
    os.write(1, data)  # for the record of its attempt, and of no other


def with_grandchild(lines: int, nap: float) -> Callable[[], object]:
    """Start a process that only SIGKILL or its family's good end ends; return what ends it well."""
    heard, telling = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.close(telling)
        os.set_blocking(heard, False)
        while True:
            try:
                if os.read(heard, 1):
                    os._exit(0)
            except BlockingIOError:
                pass
            note(lines, "tick")
            time.sleep(nap)
    os.close(heard)
    os.waitpid(child, 0)
    return lambda: os.write(telling, b"1")


if __name__ == "__main__":
    sys.exit(main())
