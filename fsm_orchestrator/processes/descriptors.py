"""The files and sockets that a process has open, by its descriptors.

psutil knows the addresses of sockets. The descriptors themselves are read from /proc, because
psutil leaves out pipes, devices and deleted files. Masks nothing and sets no limits: the caller
does.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

from fsm_orchestrator.model.base import Count, StrictModel
from fsm_orchestrator.model.declared import Field


class OpenFile(StrictModel):
    """A descriptor of a process that is not a socket."""

    descriptor: Count = Field(description="Number of the descriptor.")
    path: str = Field(
        description=(
            "Its target: the path of a file or device, or a name such as `pipe:[4711]`; known"
            " secret values are masked."
        )
    )


class OpenSocket(StrictModel):
    """A descriptor of a process that is a socket."""

    descriptor: Count | None = Field(description="Number of the descriptor; null when not known.")
    kind: str = Field(description="One of tcp, udp, unix and unknown.")
    local: str = Field(description="Its own address, a path for unix; empty when none is known.")
    remote: str = Field(
        description="Address of the other side; empty when none is known, and always for unix."
    )
    state: str = Field(description="Such as LISTEN or ESTABLISHED; empty when not known.")


def descriptors(pid: int, proc: str) -> Iterator[tuple[int, str]]:
    """Yield the number and target of each descriptor; the target of a socket is `socket:[INODE]`.

    Raises:
        OSError: the process is gone, or cannot be inspected.
    """
    with os.scandir(f"{proc}/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # closed since
                target = os.readlink(os.fsencode(entry.path))
                yield int(entry.name), target.decode(errors="replace")


def socket_of(descriptor: int, found: Any) -> OpenSocket:
    """Return the socket of a descriptor, from what psutil `found` for it, if anything."""
    if found is None:
        return OpenSocket(descriptor=descriptor, kind="unknown", local="", remote="", state="")
    if found.family == socket.AF_UNIX:
        kind = "unix"
    else:
        kind = "tcp" if found.type == socket.SOCK_STREAM else "udp"
    return OpenSocket(
        descriptor=descriptor,
        kind=kind,
        local=_address(found.laddr),
        remote=_address(found.raddr),
        state="" if found.status == "NONE" else found.status,
    )


def _address(found: tuple[str, int] | tuple[()] | str) -> str:
    """Return `127.0.0.1:5432`, `[::1]:5432` or the path of a unix socket."""
    if not found:
        return ""
    if isinstance(found, str):
        return os.fsencode(found).decode(errors="replace")
    host, port = found
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
