"""Programs for stages that try to get away, one animal a name.

Run as `python -I -S zoo.py lead ANIMALS END...` in a directory with a folder `beats`. The leader
starts the animals, waits until every member of them is alive, writes a file `ready` that names all
processes below its parent, and ends: `exit CODE`, `speak BYTES` (and exits well), `print BYTES`
(and stays), `stay`, or `defy` (stays, and notes each SIGTERM in `told`). Once there is a file
`calm`, it lives alone for a moment and exits well. Other leaders are defined below.

Every member appends the monotonic time in nanoseconds to a separate file in `beats`, named
ATTEMPT.PID.START, every few milliseconds for as long as it lives; START is when it was started, in
clock ticks. Nothing here lives longer than `LIFE_SECONDS`, or forks more than `FORKS_MAX` times.

Imports nothing of the package, because an isolated interpreter runs it. The animals are in
animals.py, their common functions in living.py.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

if __name__ == "__main__":
    sys.path.insert(0, os.path.abspath(__file__).rpartition("/tests/")[0])

from tests.processes import living
from tests.processes.animals import ANIMALS, without_first_thread
from tests.processes.living import (
    BEAT_SECONDS,
    FORKS_MAX,
    LIFE_SECONDS,
    SETTLE_SECONDS,
    SHORT_LIFE_SECONDS,
    add,
    beat,
    below,
    children,
    detach,
    fork,
    is_zombie,
    live,
    note,
    print_much,
)

# The leader


def await_members(count: int) -> None:
    """Wait until so many members of this attempt are alive, then notify the test."""
    end = time.monotonic() + LIFE_SECONDS
    while True:
        names = os.listdir(os.path.join(living.directory, "beats"))
        if sum(name.startswith(f"{living.attempt}.") for name in names) >= count:
            break
        assert time.monotonic() < end
        time.sleep(0.002)
    note("ready", " ".join(map(str, below(os.getppid()))))


def end_as(end: str, *args: str) -> NoReturn:
    """End, or continue until ended."""
    if end == "exit":
        note("left", " ".join(map(str, set(below(os.getppid())) - {os.getpid()})))
        os._exit(int(args[0]))
    if end in {"print", "speak"}:
        print_much(int(args[0]))
    if end == "speak":
        os._exit(0)
    if end == "defy":
        signal.signal(signal.SIGTERM, lambda *_: add("told", "SIGTERM"))
    live()


def lead(animals: str, *end: str) -> NoReturn:
    """Lead animals. A number stands for so many members that are on their way."""
    if os.path.exists(os.path.join(living.directory, "calm")):
        for _ in range(3):
            beat()
            time.sleep(BEAT_SECONDS)
        os._exit(0)
    members = (int(name) if name.isdigit() else ANIMALS[name]() for name in animals.split(","))
    await_members(1 + sum(members))
    end_as(*end)


def kill_keeper(animals: str) -> NoReturn:
    """Lead animals, then kill the parent."""
    await_members(1 + sum(ANIMALS[name]() for name in animals.split(",")))
    os.kill(os.getppid(), signal.SIGKILL)
    live()


def shed() -> NoReturn:
    """Leave many orphans that end soon; note the largest and the last number of zombies."""
    keeper = os.getppid()
    most = 0
    for number in range(FORKS_MAX):
        detach(lambda: time.sleep(SHORT_LIFE_SECONDS))
        if number % 10 == 0:
            most = max(most, sum(map(is_zombie, children().get(keeper, ()))))
    end = time.monotonic() + SETTLE_SECONDS
    while children().get(keeper) != [os.getpid()] and time.monotonic() < end:
        time.sleep(SHORT_LIFE_SECONDS)
    note("zombies", f"{most} {len(children()[keeper]) - 1}")
    os._exit(0)


def employ(how: str) -> NoReturn:
    """Start a worker in another session; on SIGTERM `tidy` it up, or `leave` it alone."""

    def hear_at_work(signum: int, _: object) -> None:
        add("heard", f"worker:{signal.Signals(signum).name}")
        os._exit(0)

    def work() -> None:
        os.setsid()
        signal.signal(signal.SIGTERM, hear_at_work)
        signal.signal(signal.SIGUSR1, hear_at_work)
        live()

    def hear(*_: object) -> None:
        add("heard", "leader:SIGTERM")
        time.sleep(5 * BEAT_SECONDS)
        if how == "tidy":
            os.kill(worker, signal.SIGUSR1)
            os.waitpid(worker, 0)
        add("heard", "leader:ends")
        os._exit(0)

    worker = fork(work)
    signal.signal(signal.SIGTERM, hear)
    await_members(2)
    live()


def hang(how: str) -> NoReturn:
    """Hang, either `stopped` or `headless`."""
    await_members(1)
    if how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
        live()
    without_first_thread()


def chat(lines: str) -> NoReturn:
    """Print a numbered line to each output every few milliseconds, then exit well."""
    for number in range(int(lines)):
        os.write(1, b"line %d\n" % number)
        os.write(2, b"remark %d\n" % number)
        time.sleep(BEAT_SECONDS)
    os._exit(0)


LEADERS: Final[dict[str, Callable[..., NoReturn]]] = {
    leader.__name__: leader for leader in (lead, kill_keeper, shed, employ, hang, chat)
}


def main(verb: str, *args: str) -> None:
    """Act as a leader, or as a member that has been given a new program."""
    if verb in LEADERS:
        note("token", os.environ["ORCHESTRATOR_ATTEMPT_TOKEN"])
        note("leader", os.getpid())
        beat()
        LEADERS[verb](*args)
    if verb == "renamed":
        living.directory, living.attempt = args  # it has no environment
        with open("/proc/self/comm", "w", encoding="ascii") as file:
            file.write("kworker/0:1")
    live()


if __name__ == "__main__":
    main(*sys.argv[1:])
