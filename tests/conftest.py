"""Fixtures of every test: signals as if a terminal had started it, and no foreign leftovers.

A job in the background, `nohup` and some CI agents start their programs with signals ignored or
blocked. Whatever a test starts inherits that, and the program rightly leaves an ignored signal
ignored; so the session begins by undoing it, in each worker too.
"""

from __future__ import annotations

import compileall
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import pytest

from tests.support import command, drawn, forked, memory
from tests.support.soak import SOAK

PACKAGE: Final = Path(__file__).parents[1] / "fsm_orchestrator"
PYTHON_IGNORES: Final = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""The signals that the interpreter ignores, and that `subprocess` restores in its children."""
OF_THE_TERMINAL: Final = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
"""The signals that stop a job: a terminal must not stop a session that ignores them."""
SEARCH_SECONDS_MAX: Final = 0.002
"""A search for garbage that takes longer has met what has been loaded since the last long one: that
is left out of later searches too."""


def pytest_configure(config: pytest.Config) -> None:
    """Undo what the starter of the session has done to signals, and let bytecode be kept.

    Temporary files are made in memory. The package is compiled once, before anything is run: a run
    starts no second keeper of code that has changed since, and bytecode from others is such code.
    """
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(PACKAGE, quiet=1)
    # Thousands of commands are started: each would compile the package again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    _draw_examples()
    gc.disable()  # until all is collected: loaded objects are never garbage
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for signum in signal.valid_signals() - PYTHON_IGNORES - OF_THE_TERMINAL:
        if signal.getsignal(signum) is signal.SIG_IGN:
            # A handler, unlike SIG_IGN, is not inherited: `nohup` still shields the session.
            signal.signal(signum, _outlive if signum == signal.SIGHUP else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    memory.work_there()
    state = tempfile.mkdtemp(prefix="state-")
    config.add_cleanup(lambda: shutil.rmtree(state, ignore_errors=True))
    os.environ["XDG_STATE_HOME"] = state


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the cases that are drawn, long ones first; skip what only an ordinary user can see."""
    drawn.leave_out_what_is_not_drawn(config, items)
    drawn.begin_with_long_ones(items)
    if os.geteuid() == 0:
        for item in items:
            if item.get_closest_marker("unprivileged") is not None:
                item.add_marker(pytest.mark.skip(reason="root may do everything"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare what all tests share.

    All that is loaded now is left out of all later searches for garbage: each is then quick.
    """
    if not session.config.option.collectonly and any(
        hasattr(module, "orchestrate")
        for name, module in tuple(sys.modules.items())
        if name.startswith("tests.") and name != command.__name__
    ):
        forked.prepare(command.environment())
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def turn(request: pytest.FixtureRequest) -> int:
    """Return the number by which this session draws what it takes of a sweep."""
    return drawn.turn_within(request.config)


@pytest.fixture(autouse=True)
def own_private_state(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep the private state of what a test runs in its own process where its commands keep it."""
    with pytest.MonkeyPatch.context() as patch:
        if "tmp_path" in request.fixturenames:
            state = request.getfixturevalue("tmp_path") / "state"
            patch.setenv("XDG_STATE_HOME", str(state))
        yield


@pytest.fixture(autouse=True)
def own_leftovers() -> Iterator[None]:
    """Find what a test leaves in its own teardown.

    A process or file that nobody closed is reported when it is collected, as a failure of the test
    that runs at that moment.
    """
    yield
    began = time.thread_time()
    gc.collect()
    if time.thread_time() - began > SEARCH_SECONDS_MAX:
        gc.freeze()


def _draw_examples() -> None:
    """Set how many examples hypothesis draws, and for how long."""
    # pytest compiles it in a special way: to be kept, like all other bytecode.
    from hypothesis import settings  # noqa: PLC0415

    settings.register_profile(
        "suite",
        deadline=None,  # the time of one example depends on the machine
        max_examples=300 if SOAK else 40,  # besides the explicit ones, which are all tried
    )
    settings.load_profile("suite")


def _outlive(_signum: int, _frame: FrameType | None) -> None:
    """Do nothing."""
