"""Fork commands from a process that has loaded the package: nine tenths of a short command's time.

Each command begins with `__main__`, in a process of its own that has its own directory,
environment, umask and output, and ends as any other process does.

A request is its length in eight bytes, which bring the descriptors of stdout and stderr, then
JSON. The answers, in eight bytes each, are the process's pid and then its exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
import time
from typing import Any, Final

PACKAGE: Final = "fsm_orchestrator"
NUMBER_BYTES: Final = 8


def encoded(number: int) -> bytes:
    """Return a number as it is sent."""
    return number.to_bytes(NUMBER_BYTES, "little", signed=True)


def decoded(data: bytes) -> int:
    """Return the number that was sent."""
    return int.from_bytes(data, "little", signed=True)


def load() -> None:
    """Load the libraries as a run loads them, then every module of the package.

    Loading a module looks at nothing that two commands could find different: a test shows it.
    """
    from fsm_orchestrator.__main__ import _leave_out_unused  # noqa: PLC0415 - run again, by name

    _leave_out_unused()
    from fsm_orchestrator import api  # noqa: PLC0415
    from fsm_orchestrator.cli.commands import run  # noqa: PLC0415
    from fsm_orchestrator.engine import driver  # noqa: PLC0415

    del api, run, driver
    import fsm_orchestrator  # noqa: PLC0415

    main = f"{PACKAGE}.__main__"
    for module in pkgutil.walk_packages(fsm_orchestrator.__path__, f"{PACKAGE}."):
        if module.name != main:
            importlib.import_module(module.name)
    del sys.modules[main]
    gc.collect()
    gc.freeze()


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
    load()
    if serve(socket.socket(fileno=int(sys.argv[1]))):
        runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)
