"""The animals, which try to get away from their stage; zoo.py says how they live."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

from tests.processes import living
from tests.processes.living import (
    BEAT_SECONDS,
    FORKS_MAX,
    GLUTTON_BYTES,
    LIFE_SECONDS,
    RETORT_BYTES,
    SLOW_BEAT_SECONDS,
    TREE_DEPTH,
    be_subreaper,
    beat,
    detach,
    fork,
    live,
    may_fork,
    note,
    print_much,
)

WORDS: Final = (sys.executable, "-I", "-S", os.path.join(os.path.dirname(__file__), "zoo.py"))


# Each starts its members, and says how many files in `beats` they make.


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
    words = ["[kworker/0:1]", *WORDS[1:], "renamed", living.directory, living.attempt]
    detach(lambda: os.execve(sys.executable, words, {}))  # noqa: S606 - that is the point
    return 1


def stripped() -> int:
    """Stays in the session, without its environment."""
    words = [*WORDS, "renamed", living.directory, living.attempt]
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
