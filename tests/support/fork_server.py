"""Fork commands from a process that has loaded the libraries: most of a short command's time.

No module of the package stays loaded: each command loads them anew, in a process of its own that
has its own directory, environment, umask and output, and ends as any other process does.

A request is its length in eight bytes, which bring the descriptors of stdout and stderr, then
JSON. The answers, in eight bytes each, are the process's pid and then its exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import socket
import sys
import time
from types import ModuleType
from typing import Any, Final

PACKAGE: Final = "fsm_orchestrator"
NUMBER_BYTES: Final = 8


def encoded(number: int) -> bytes:
    """Return a number as it is sent."""
    return number.to_bytes(NUMBER_BYTES, "little", signed=True)


def decoded(data: bytes) -> int:
    """Return the number that was sent."""
    return int.from_bytes(data, "little", signed=True)


def load_libraries() -> None:
    """Load what a run loads, in the same order, but nothing of the package itself.

    A process of its own finds out what that is. A package module that was loaded here would have
    left its hooks and what it changed in the libraries, although it was forgotten afterwards.
    """
    from fsm_orchestrator.__main__ import _leave_out_unused  # noqa: PLC0415 - forgotten again

    _leave_out_unused()
    _forget_package()
    reader, writer = os.pipe()
    if os.fork() == 0:
        _print_libraries(writer)
        sys.exit()
    os.close(writer)
    with open(reader, encoding="utf-8") as names:
        for name in json.load(names):
            importlib.import_module(name)
    _, status = os.wait()
    assert status == 0
    gc.collect()
    gc.freeze()


def _print_libraries(writer: int) -> None:
    """Load what a run needs, and write the names of the libraries' modules."""
    from fsm_orchestrator import api  # noqa: PLC0415
    from fsm_orchestrator.cli.commands import run  # noqa: PLC0415
    from fsm_orchestrator.engine import driver  # noqa: PLC0415

    del api, run, driver
    _forget_package()
    modules: dict[str, ModuleType | None] = {**sys.modules}  # None: left out
    with open(writer, "w", encoding="utf-8") as names:
        json.dump([name for name, module in modules.items() if module is not None], names)


def _forget_package() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def receive(door: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next request and its descriptors; None when there will be none."""
    head, descriptors, _, _ = socket.recv_fds(door, NUMBER_BYTES, 2)
    if not head:
        return None
    return json.loads(door.recv(decoded(head), socket.MSG_WAITALL)), descriptors


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Make this process as the requested command would find it if it had been executed."""
    for target, descriptor in enumerate(descriptors, start=1):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.path[0] = os.getcwd()
    sys.argv = [PACKAGE, *request["arguments"]]


def serve(door: socket.socket) -> bool:
    """Answer requests; true in a process that is to be a command, false after the last request."""
    while (received := receive(door)) is not None:
        request, descriptors = received
        child = os.fork()
        if child == 0:
            door.close()
            become(request, descriptors)
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        door.sendall(encoded(child))
        _, status = os.waitpid(child, 0)
        door.sendall(encoded(os.waitstatus_to_exitcode(status)))
    return False


if __name__ == "__main__":
    load_libraries()
    if serve(socket.socket(fileno=int(sys.argv[1]))):
        runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)
