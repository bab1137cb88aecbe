"""Forks commands from a process that has loaded the package: a tenth of a short command's time.

Each command begins with `__main__`, in a separate process with its own directory, environment,
umask and output, and ends as any other process does. Its keeper is executed as usual: that is a
small interpreter, and to fork a large process costs more.

A request is a connection. Its first eight bytes are a length, and bring the descriptors of stdout
and stderr, or of all three streams where a shell's command asks (fork_client.py); so much
marshalled data follows. The answers, in eight bytes each, are the process's pid, 0 where the
command would have started otherwise than this server, and then its exit code.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import io
import itertools
import marshal
import os
import pkgutil
import resource
import runpy
import select
import signal
import socket
import sys
import tempfile
import time
import typing
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, Final

from tests.support.start import start_now

PACKAGE: Final = "fsm_orchestrator"
NUMBER_BYTES: Final = 8
SENDERS: Final = frozenset(
    f"{PACKAGE}.telemetry.{name}" for name in ("answers", "otlp", "sdk_metrics")
)
"""Modules that only a separate process loads, which sends telemetry: their libraries have a third
as many modules as all that is loaded here."""
A_RUN: Final = (
    *("out", "--manager-bin", "true", "--executor-bin", "true", "--policy-status", "allow"),
    *("--ci-status", "success", "--review-status", "approved"),
)
"""The arguments of a run that is done at once."""
MACHINE: Final = "FORKED_ON_MACHINE"
"""The variable by which a command is given another machine; the command does not see it."""


def encoded(number: int) -> bytes:
    """Return the encoding of a number for the connection."""
    return number.to_bytes(NUMBER_BYTES, "little", signed=True)


def decoded(data: bytes) -> int:
    """Return the number that was sent."""
    return int.from_bytes(data, "little", signed=True)


def load() -> None:
    """Load the libraries as a run loads them, then the modules of the package.

    Loading a module reads nothing that can differ between two commands: a test shows this.
    """
    from fsm_orchestrator.cli import spared  # noqa: PLC0415

    gc.disable()  # loaded objects are never garbage
    spared.install()
    from fsm_orchestrator import api  # noqa: PLC0415
    from fsm_orchestrator.cli.commands import run  # noqa: PLC0415
    from fsm_orchestrator.engine import driver  # noqa: PLC0415

    del api, run, driver
    import fsm_orchestrator  # noqa: PLC0415

    main = f"{PACKAGE}.__main__"
    for module in pkgutil.walk_packages(fsm_orchestrator.__path__, f"{PACKAGE}."):
        if module.name != main and module.name not in SENDERS:
            importlib.import_module(module.name)
    complete_models()
    complete_patterns()
    complete_pages()
    complete_lifecycles()
    complete_first_looks()
    know_places()
    gc.collect()
    gc.freeze()
    gc.enable()


def complete_models() -> None:
    """Build what is built when a model is first made, read or written."""
    from fsm_orchestrator.model import accepting, lazily, parsed  # noqa: PLC0415
    from fsm_orchestrator.model.declared import Model  # noqa: PLC0415

    models = Model.__subclasses__()
    for model in models:
        models += model.__subclasses__()
        parsed.parser_of(model)
        parsed.serializer_of(model)
        for from_json in (False, True):
            accepting._plan_of(model, from_json)
        for declaration in model.model_fields.values():
            for lazy in lazy_types(declaration.annotation, lazily.Lazily):
                lazily._adapter_of(lazy)


def complete_patterns() -> None:
    """Compile the patterns that are compiled when they are first used."""
    from fsm_orchestrator.text.late_pattern import _Late  # noqa: PLC0415

    for one in gc.get_objects():
        if isinstance(one, _Late):
            _ = one._compiled


def complete_pages() -> None:
    """Compile the templates of the page."""
    from fsm_orchestrator.rendering.html.environment import page_environment  # noqa: PLC0415

    environment = page_environment()
    for template in resources.files(f"{PACKAGE}.rendering.html").joinpath("templates").iterdir():
        environment.get_template(template.name)


def complete_lifecycles() -> None:
    """Read and prove the built-in lifecycles; a command finds them by their texts."""
    from fsm_orchestrator.lifecycle import reading  # noqa: PLC0415

    for name in reading.shipped_names():
        lifecycle = reading.shipped(name)
        for derived, how in vars(type(lifecycle)).items():
            if isinstance(how, functools.cached_property):
                getattr(lifecycle, derived)


def complete_first_looks() -> None:
    """Look at a run in every way, once, so that what a first look finds out or builds exists.

    That is a fifth of what such a command costs. The run itself has a separate process: what it
    keeps from its start on must not exist before another one starts.
    """
    from fsm_orchestrator.cli.main import run_command_line  # noqa: PLC0415

    here, given = os.getcwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as folder, no_output():
        os.chdir(folder)
        os.environ["XDG_STATE_HOME"] = os.path.join(folder, "state")
        if (child := os.fork()) == 0:
            os._exit(run_command_line(["run", *A_RUN]))
        os.waitpid(child, 0)
        run_command_line(["plan", "--rerun", *A_RUN])
        for command in ("status", "explain", "report", "logs"):
            run_command_line([command, A_RUN[0]])
        os.chdir(here)
        os.environ.clear()
        os.environ.update(given)


@contextlib.contextmanager
def no_output() -> Iterator[None]:
    """Discard what this process prints."""
    kept = {stream: os.dup(stream) for stream in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in kept:
        os.dup2(nowhere, stream)
    yield
    for stream, descriptor in kept.items():
        os.dup2(descriptor, stream)
        os.close(descriptor)
    os.close(nowhere)


def know_places() -> None:
    """Look once for the places that modules come from.

    Every command checks whether one of them is its directory, and every run keeps them. To touch so
    many objects is to copy the pages that they are in: a third of a short command's time.
    """
    from fsm_orchestrator.cli import isolation  # noqa: PLC0415
    from fsm_orchestrator.disk import unchanged  # noqa: PLC0415

    inside, known, count = unchanged._places_of, unchanged._packages(), len(sys.modules)
    unchanged._packages = lambda: [
        *known,
        *(place for module in last_loaded(len(sys.modules) - count) for place in inside(module)),
    ]
    look = isolation._strays_in
    modules = [(name, getattr(one, "__spec__", None)) for name, one in sys.modules.items()]
    places = {
        os.path.dirname(place)
        for name, spec in modules
        if spec is not None and "." not in name
        for place in spec.submodule_search_locations or (spec.origin or "",)
    }
    isolation._strays_in = lambda folder, own: look(folder, own) if folder in places else iter(())


def last_loaded(count: int) -> list[Any]:
    """Return the given number of modules that were loaded last, and some before them.

    A module that replaced another one counts for neither.
    """
    return list(itertools.islice(reversed(sys.modules.values()), max(0, count) + 20))


def lazy_types(annotation: Any, kind: type) -> Iterator[Any]:
    """Yield the annotations of a kind anywhere in an annotation."""
    yield from (one for one in getattr(annotation, "__metadata__", ()) if isinstance(one, kind))
    for part in typing.get_args(annotation):
        yield from lazy_types(part, kind)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return a request and its descriptors; None for a client that has ended since."""
    descriptors: list[int] = []
    with contextlib.suppress(OSError, EOFError, ValueError):
        head, descriptors, _, _ = socket.recv_fds(connection, NUMBER_BYTES, 3)
        body = connection.recv(decoded(head), socket.MSG_WAITALL)
        return marshal.loads(body), descriptors  # noqa: S302 - our own tests ask
    for descriptor in descriptors:
        os.close(descriptor)
    return None


def become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Make this process look to the requested command as if the command had been executed.

    `streams`: the last ones of the standard streams; the others are this process's.
    """
    for target, descriptor in enumerate(streams, start=3 - len(streams)):
        os.dup2(descriptor, target)
        os.close(descriptor)
    if os.isatty(1) and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # as the interpreter does at its start
    os.umask(request["umask"])
    for limit, soft in request.get("limits", {}).items():
        resource.setrlimit(limit, (soft, resource.getrlimit(limit)[1]))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    if machine := os.environ.pop(MACHINE, None):
        move_to(machine)
    time.tzset()
    sys.path[0] = os.getcwd()
    sys.argv = [PACKAGE, *request["arguments"]]


def move_to(machine: str) -> None:
    """Move this process to a machine of that name, which has booted separately."""
    from fsm_orchestrator.processes import table  # noqa: PLC0415 - is loaded

    named = os.uname_result(("Linux", machine, *os.uname()[2:]))
    os.uname, table.boot = lambda: named, lambda: f"{machine}-boot"


def serve(tie: socket.socket, door: socket.socket, start: dict[str, Any]) -> bool:
    """Answer requests; return True in a process that becomes a command, False once `tie` is closed.

    `start` is what this process has had from its start.
    """
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([tie.fileno(), door.fileno(), woken], (), ())
        if woken in ready:
            os.read(woken, NUMBER_BYTES)
            tell_ends(running)
        if tie.fileno() in ready:
            return False
        if door.fileno() not in ready:
            continue
        answers, _ = door.accept()
        if (received := receive(answers)) is None:
            answers.close()
            continue
        request, streams = received
        is_same = request.get("start", start) == start
        if is_same and (child := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (woken, waker):
                os.close(descriptor)
            for one in (tie, door, answers, *running.values()):
                one.close()
            become(request, streams)
            return True
        for descriptor in streams:
            os.close(descriptor)
        tell(answers, child if is_same else 0)
        if is_same:
            running[child] = answers
        else:
            answers.close()


def tell_ends(running: dict[int, socket.socket]) -> None:
    """Send the exit code of each command that has ended, and forget the command."""
    for pid in tuple(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with running.pop(pid) as answers:
                tell(answers, os.waitstatus_to_exitcode(status))


def tell(answers: socket.socket, number: int) -> None:
    """Send a number, if its receiver still exists."""
    with contextlib.suppress(OSError):
        answers.sendall(encoded(number))


if __name__ == "__main__":
    started = start_now(os.environ)
    load()
    ours, asked = (socket.socket(fileno=int(word)) for word in sys.argv[1:])
    if serve(ours, asked, started):
        runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)
