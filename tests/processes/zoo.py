"""Programs for stages that try to get away, one animal a name.

Run as `python -I -S zoo.py lead ANIMALS END...` in a directory with a folder `beats`. The leader
starts the animals, waits until every member of them is alive, tells so by a file `ready` that names
all processes below its parent, and ends: `exit CODE`, `speak BYTES` (and exits well), `print BYTES`
(and stays), `stay`, or `defy` (stays, and notes each SIGTERM in `told`). Once there is a file
`calm`, it lives alone for a moment and exits well. Other leaders stand below.

Every member appends the monotonic time in nanoseconds to a file of its own in `beats`, named
ATTEMPT.PID.START, every few milliseconds for as long as it lives; START is when it was started, in
clock ticks. Nothing here lives longer than `LIFE_SECONDS`, or forks more than `FORKS_MAX` times.

Imports nothing of the package, for an isolated interpreter runs it; tests import it to read /proc.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

LIFE_SECONDS: Final = 60.0
BEAT_SECONDS: Final = 0.01
SLOW_BEAT_SECONDS: Final = 0.1  # of those who are many
FORKS_MAX: Final = 300
TREE_DEPTH: Final = 6
RETORT_BYTES: Final = 400_000
GLUTTON_BYTES: Final = 200 * 1024**2
SHORT_LIFE_SECONDS: Final = 0.002
SETTLE_SECONDS: Final = 10.0
WORDS: Final = (sys.executable, "-I", "-S", __file__)
PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h

directory = os.getcwd()
attempt = os.environ.get("ORCHESTRATOR_ATTEMPT", "0")


# Reading /proc


def stat_of(pid: int) -> tuple[str, int, int] | None:
    """State, parent and start time of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].split()
    return fields[0].decode(), int(fields[1]), int(fields[19])


def is_zombie(pid: int) -> bool:
    """Whether all of it has ended: a first thread may have, and leave others at work."""
    stat = stat_of(pid)
    if stat is None or stat[0] not in {"Z", "X"}:
        return False
    try:
        return len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def children() -> dict[int, list[int]]:
    """The children of every process, by parent."""
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := stat_of(int(entry))) is not None:
            found.setdefault(stat[1], []).append(int(entry))
    return found


def below(*ancestors: int) -> list[int]:
    """Every live process below the given ones."""
    tree = children()
    found = [pid for ancestor in ancestors for pid in tree.get(ancestor, ())]
    for pid in found:  # grows while it is walked
        found.extend(tree.get(pid, ()))
    return [pid for pid in found if not is_zombie(pid)]


# Living


def note(name: str, text: object) -> None:
    """Leave a file for the test, whole from the moment it is there."""
    path = os.path.join(directory, name)
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w", encoding="ascii") as file:
        file.write(f"{text}\n")
    os.replace(draft, path)


def add(name: str, text: object) -> None:
    """Append a line to a file for the test."""
    with open(os.path.join(directory, name), "a", encoding="ascii") as file:
        file.write(f"{text}\n")


def beat() -> None:
    """Show a sign of life, once."""
    pid = os.getpid()
    stat = stat_of(pid)
    start = 0 if stat is None else stat[2]
    add(f"beats/{attempt}.{pid}.{start}", time.monotonic_ns())


def live(interval: float = BEAT_SECONDS) -> NoReturn:
    """Show signs of life until ended."""
    end = time.monotonic() + LIFE_SECONDS
    while time.monotonic() < end:
        beat()
        time.sleep(interval)
    os._exit(0)


def fork(life: Callable[[], object]) -> int:
    """Start a child that has the given life; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            life()
        finally:
            os._exit(0)
    return pid


def detach(life: Callable[[], object]) -> None:
    """Start a daemon: a session of its own, and a parent that is gone."""

    def father() -> None:
        os.setsid()
        fork(life)

    os.waitpid(fork(father), 0)


def may_fork() -> bool:
    """Whether all of the stage together may fork once more."""
    descriptor = os.open(os.path.join(directory, "forks"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, b".")
        return os.fstat(descriptor).st_size <= FORKS_MAX
    finally:
        os.close(descriptor)


def be_subreaper(*, is_one: bool) -> None:
    """Have orphans below this process come to it, or not any more."""
    import ctypes  # noqa: PLC0415 - slow to load, and most have no use for it

    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(is_one), 0, 0, 0) == 0


# The animals: each starts its members, and says how many files in `beats` they make.


def deaf() -> int:
    """Blocks every signal that can be."""

    def life() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        live()

    fork(life)
    return 1


def daemon() -> int:
    """Is nobody's child any more."""
    detach(live)
    return 1


def closed() -> int:
    """Has a session of its own and lets go of streams and directory."""

    def life() -> None:
        os.setsid()
        os.chdir("/")
        os.closerange(0, 256)
        live()

    fork(life)
    return 1


def nameless() -> int:
    """Daemon without session, parent, name, arguments or environment that would tell of it."""
    words = ["[kworker/0:1]", *WORDS[1:], "renamed", directory, attempt]
    detach(lambda: os.execve(sys.executable, words, {}))  # noqa: S606 - that is the point
    return 1


def stripped() -> int:
    """Stays in the session, without its environment."""
    words = [*WORDS, "renamed", directory, attempt]
    fork(lambda: os.execve(sys.executable, words, {}))  # noqa: S606 - that is the point
    return 1


def own_group() -> int:
    """Stays in the session, in a group of its own, and ignores SIGTERM."""

    def life() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.setpgid(0, 0)
        live()

    fork(life)
    return 1


def holder() -> int:
    """Keeps the stage's output open, and writes to it on its way."""

    def life() -> None:
        os.setsid()
        os.write(1, b"still here\n")
        live()

    fork(life)
    return 1


def stopped() -> int:
    """Is stopped."""

    def life() -> None:
        os.setsid()
        beat()
        os.kill(os.getpid(), signal.SIGSTOP)
        live()

    fork(life)
    return 1


def listener() -> int:
    """Listens on loopback."""

    def life() -> None:
        import socket  # noqa: PLC0415 - slow to load, and most have no use for it

        os.setsid()
        server = socket.create_server(("127.0.0.1", 0))
        note("port", server.getsockname()[1])
        live()

    fork(life)
    return 1


def printer() -> int:
    """Prints without an end, and ignores SIGTERM."""

    def life() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end = time.monotonic() + LIFE_SECONDS
        while time.monotonic() < end:
            beat()
            print_much(10_000)
            time.sleep(BEAT_SECONDS)

    fork(life)
    return 1


def retort() -> int:
    """Prints much on SIGTERM, and does not end."""

    def life() -> None:
        signal.signal(signal.SIGTERM, lambda *_: print_much(RETORT_BYTES))
        live()

    fork(life)
    return 1


def glutton() -> int:
    """Has eaten memory."""

    def digest(_eaten: bytearray) -> NoReturn:
        live()

    fork(lambda: digest(bytearray(b"x") * GLUTTON_BYTES))
    return 1


def without_first_thread() -> NoReturn:
    """Let the first thread end, and another one go on."""
    import ctypes  # noqa: PLC0415 - slow to load, and most have no use for it

    _thread.start_new_thread(live, ())
    ctypes.CDLL(None).pthread_exit(None)
    os._exit(1)


def headless() -> int:
    """Has lost its first thread, and has a child."""

    def life() -> None:
        fork(live)
        without_first_thread()

    fork(life)
    return 2


def nested() -> int:
    """Is a subreaper itself, with a daemon below it."""

    def life() -> None:
        be_subreaper(is_one=True)
        detach(live)
        live()

    fork(life)
    return 2


def respawner() -> int:
    """Starts its worker anew whenever that ends."""

    def life() -> None:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        beat()
        while may_fork():
            os.waitpid(fork(lambda: live(SLOW_BEAT_SECONDS)), 0)
        live()

    fork(life)
    return 2


def tree() -> int:
    """Is many, and becomes more on SIGTERM."""

    def spread(*_: object) -> None:
        if may_fork():
            fork(lambda: live(SLOW_BEAT_SECONDS))

    def grow(depth: int) -> None:
        for _ in range(2 if depth else 0):
            fork(lambda: grow(depth - 1))
        signal.signal(signal.SIGTERM, spread)
        live(SLOW_BEAT_SECONDS)

    fork(lambda: grow(TREE_DEPTH))
    return (2 << TREE_DEPTH) - 1


def chain() -> int:
    """Is never where it was: each link starts the next, and is gone."""

    def links() -> None:
        for _ in range(FORKS_MAX):
            if os.fork():
                os._exit(0)
            os.setsid()
            beat()
        live()

    fork(links)
    return 5


ANIMALS: Final[dict[str, Callable[[], int]]] = {
    animal.__name__: animal
    for animal in (
        *(deaf, daemon, closed, nameless, stripped, own_group, holder, stopped, listener),
        *(printer, retort, glutton, headless, nested, respawner, tree, chain),
    )
}


# The leader


def await_members(count: int) -> None:
    """Wait until so many members of this attempt are alive, then tell the test."""
    end = time.monotonic() + LIFE_SECONDS
    while True:
        names = os.listdir(os.path.join(directory, "beats"))
        if sum(name.startswith(f"{attempt}.") for name in names) >= count:
            break
        assert time.monotonic() < end
        time.sleep(0.002)
    note("ready", " ".join(map(str, below(os.getppid()))))


def print_much(count: int) -> None:
    """Print so many bytes, half of them to each output."""
    block = b"all work and no play makes a dull stage\n" * 1600
    for descriptor in (1, 2):
        left = count // 2
        while left > 0:
            left -= os.write(descriptor, block[:left])


def end_as(end: str, *args: str) -> NoReturn:
    """End, or go on until ended."""
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
    """Have animals. A number stands for so many members that are on their way."""
    if os.path.exists(os.path.join(directory, "calm")):
        for _ in range(3):
            beat()
            time.sleep(BEAT_SECONDS)
        os._exit(0)
    members = (int(name) if name.isdigit() else ANIMALS[name]() for name in animals.split(","))
    await_members(1 + sum(members))
    end_as(*end)


def kill_keeper(animals: str) -> NoReturn:
    """Have animals, then kill the parent."""
    await_members(1 + sum(ANIMALS[name]() for name in animals.split(",")))
    os.kill(os.getppid(), signal.SIGKILL)
    live()


def shed() -> NoReturn:
    """Leave many orphans that end soon; note how many zombies were seen at once, and at last."""
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
    """Have a worker in another session; on SIGTERM `tidy` it up, or `leave` it alone."""

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
    """Be `stopped`, or `headless`."""
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
    """Be a leader, or a member that has been given a new program."""
    global directory, attempt  # of those who have no environment
    if verb in LEADERS:
        note("token", os.environ["ORCHESTRATOR_ATTEMPT_TOKEN"])
        note("leader", os.getpid())
        beat()
        LEADERS[verb](*args)
    if verb == "renamed":
        directory, attempt = args
        with open("/proc/self/comm", "w", encoding="ascii") as file:
            file.write("kworker/0:1")
    live()


if __name__ == "__main__":
    main(*sys.argv[1:])
