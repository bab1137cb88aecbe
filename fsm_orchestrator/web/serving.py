"""Serves the runs of a directory, once all that has to hold before listening does."""

from __future__ import annotations

import errno
import importlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError, UsageError

ADDRESS: Final = "127.0.0.1"
UNTAKEN_MS_MAX: Final = 20_000
"""The milliseconds that sent data may stay untaken before the kernel closes the connection."""
OnAddress = Callable[[str], None]
OnBug = Callable[[str], None]
_EXTRA: Final = ("starlette", "uvicorn", "jinja2")


def serve(directory: Path, port: int, on_address: OnAddress, on_bug: OnBug) -> int:
    """Serve the runs of a directory until a signal asks to end; return its number.

    The address is shown once it can be opened. Port 0 stands for any free port.

    Raises:
        UsageError: the extra is not installed, or the port is taken.
        ReportError: the directory cannot be read.
        CommandError: the server cannot listen on the port.
    """
    _refuse_without_the_extra()
    from fsm_orchestrator.web.server import serve_site  # noqa: PLC0415 - imports the extra
    from fsm_orchestrator.web.site import Site  # noqa: PLC0415 - as above

    site = Site(directory)
    with _listening_at(port) as listener:
        return serve_site(site, listener, on_address, on_bug)


def _refuse_without_the_extra() -> None:
    try:
        for name in _EXTRA:
            importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            "serving runs needs starlette, uvicorn and Jinja2, which are not all installed",
            remedy="pip install 'fsm-orchestrator[web]'",
        ) from error


def _listening_at(port: int) -> socket.socket:
    try:
        listener = socket.create_server((ADDRESS, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {ADDRESS} is in use",
                remedy="name another one with --port, or none: then a free one is taken",
            ) from error
        raise CommandError(
            f"cannot listen on port {port} of {ADDRESS}: {files.reason(error)}",
            remedy="name another one with --port, or none: then a free one is taken",
        ) from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # inherited by each connection; not on macOS
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN_MS_MAX)
    return listener
