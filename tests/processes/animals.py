"""The animals: stages that try to get away from the orchestrator; zoo.py says how they live."""

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


# Each function starts its members and returns how many files in `beats` they make.


def deaf() -> int:
    """Block every signal that can be blocked."""

    def life() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        live()

    fork(life)
    return 1


def daemon() -> int:
    """Become a daemon, which is nobody's child."""
    detach(live)
    return 1


def closed() -> int:
    """Start a session and close all streams and the directory."""

    def life() -> None:
        os.setsid()
        os.chdir("/")
        os.closerange(0, 256)
        live()

    fork(life)
    return 1


def nameless() -> int:
    """Become a daemon without session, parent, name, arguments or environment to find it by."""
    words = ["[kworker/0:1]", *WORDS[1:], "renamed", living.directory, living.attempt]
    detach(lambda: os.execve(sys.executable, words, {}))  # noqa: S606 - that is the point
    return 1


def stripped() -> int:
    """Stay in the session, without its environment."""
    words = [*WORDS, "renamed", living.directory, living.attempt]
    fork(lambda: os.execve(sys.executable, words, {}))  # noqa: S606 - that is the point
    return 1


def own_group() -> int:
    """Stay in the session, in a separate process group, and ignore SIGTERM."""

    def life() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.setpgid(0, 0)
        live()

    fork(life)
    return 1


def holder() -> int:
    """Keep the stage's output open, and write to it from time to time."""

    def life() -> None:
        os.setsid()
        os.write(1, b"still here\n")
        live()

    fork(life)
    return 1


def stopped() -> int:
    """Stop."""

    def life() -> None:
        os.setsid()
        beat()
        os.kill(os.getpid(), signal.SIGSTOP)
        live()

    fork(life)
    return 1


def listener() -> int:
    """Listen on loopback."""

    def life() -> None:
        import socket  # noqa: PLC0415 - slow to load, and most have no use for it

        os.setsid()
        server = socket.create_server(("127.0.0.1", 0))
        note("port", server.getsockname()[1])
        live()

    fork(life)
    return 1


def printer() -> int:
    """Print without end, and ignore SIGTERM."""

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
    """Print much on SIGTERM, and do not end."""

    def life() -> None:
        signal.signal(signal.SIGTERM, lambda *_: print_much(RETORT_BYTES))
        live()

    fork(life)
    return 1


def glutton() -> int:
    """Use up memory."""

    def digest(_eaten: bytearray) -> NoReturn:
        live()

    fork(lambda: digest(bytearray(b"x") * GLUTTON_BYTES))
    return 1


def without_first_thread() -> NoReturn:
    """Let the first thread end, and another one continue."""
    import ctypes  # noqa: PLC0415 - slow to load, and most have no use for it

    _thread.start_new_thread(live, ())
    ctypes.CDLL(None).pthread_exit(None)
    os._exit(1)


def headless() -> int:
    """Lose the first thread, and have a child."""

    def life() -> None:
        fork(live)
        without_first_thread()

    fork(life)
    return 2


def nested() -> int:
    """Become a subreaper, with a daemon below it."""

    def life() -> None:
        be_subreaper(is_one=True)
        detach(live)
        live()

    fork(life)
    return 2


def respawner() -> int:
    """Start the worker again whenever it ends."""

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
    """Become many processes, and more on SIGTERM."""

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
    """Keep moving: each link starts the next one and is gone."""

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
