"""What a process has open: the files and sockets that its descriptors refer to, read from /proc.

Linux only. It masks nothing, limits neither the number of descriptors nor the time, and passes over
no process that may not be read: that is for the callers.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from pydantic import Field

from fsm_orchestrator.model.base import Count, StrictModel

PROC: Final = "/proc"

_TABLES: Final = ("tcp", "tcp6", "udp", "udp6", "unix")
_INET_STATES: Final = (  # by number, from the kernel's net/tcp_states.h
    *("", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE"),
    *("CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV", "BOUND_INACTIVE"),
)
_UNIX_STATES: Final = ("FREE", "UNCONNECTED", "CONNECTING", "CONNECTED", "DISCONNECTING")
_UNIX_LISTENS: Final = 0x10000


class OpenFile(StrictModel):
    """A descriptor of a process that is not a socket."""

    descriptor: Count = Field(description="Number of the descriptor.")
    path: str = Field(
        description=(
            "What it refers to: the path of a file or device, or such as `pipe:[4711]`; known"
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


def working_directory(pid: int) -> str:
    """Path of a process's working directory.

    Raises:
        OSError: the process is gone, or we may not look.
    """
    return _link(f"{PROC}/{pid}/cwd")


def descriptors(pid: int) -> Iterator[tuple[int, str]]:
    """Number and target of each descriptor, in order; the target of a socket is `socket:[INODE]`.

    Raises:
        OSError: the process is gone, or we may not look.
    """
    with os.scandir(f"{PROC}/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                yield int(entry.name), _link(entry.path)


def network(pid: int) -> str:
    """Name of the network that a process is in: those that share it share the tables of sockets.

    Raises:
        OSError: the process is gone, or we may not look.
    """
    return _link(f"{PROC}/{pid}/ns/net")


def sockets_seen_by(
    pid: int, inodes: Collection[str], is_late: Callable[[], bool]
) -> Iterator[tuple[str, OpenSocket]]:
    """Inode and socket of each of the inodes in the tables of a process's network.

    No descriptor is known of a socket there. `is_late` is asked before each row, of which there
    may be very many: once it is true, no more are read.

    Raises:
        OSError: a table is there and cannot be read; those that are not there are left out.
        ValueError, IndexError: a row is not as proc(5) says.
    """
    wanted = {inode.encode() for inode in inodes}
    for table in _TABLES:
        column = 6 if table == "unix" else 9
        for line in _lines(f"{PROC}/{pid}/net/{table}"):
            if is_late():
                return
            row = line.rstrip(b"\n").split(maxsplit=column + 1)
            if len(row) > column and row[column] in wanted:
                yield row[column].decode(), _socket(table, row)


def numbered(inodes: Mapping[int, str], found: Mapping[str, OpenSocket]) -> tuple[OpenSocket, ...]:
    """A process's sockets, of which `inodes` are by descriptor and `found` by inode.

    Of one that was not found nothing is known but its descriptor.
    """
    unknown = OpenSocket(descriptor=None, kind="unknown", local="", remote="", state="")
    return tuple(
        found.get(inode, unknown).model_copy(update={"descriptor": descriptor})
        for descriptor, inode in inodes.items()
    )


def _lines(path: str) -> Iterator[bytes]:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        yield from file


def _link(path: str) -> str:
    return os.readlink(os.fsencode(path)).decode(errors="replace")


def _socket(table: str, row: list[bytes]) -> OpenSocket:
    """A row of /proc/PID/net/TABLE."""
    if table == "unix":
        listens = int(row[3], 16) & _UNIX_LISTENS
        state = "LISTEN" if listens else _UNIX_STATES[int(row[5], 16)]
        local, remote = b"".join(row[7:]).decode(errors="replace"), ""  # the path, if it has one
    else:
        state = _INET_STATES[int(row[3], 16)]
        if table.startswith("udp") and state == "CLOSE":
            state = "UNCONNECTED"  # that is what the number means for UDP
        local, remote = _address(row[1]), _address(row[2])
        remote = "" if remote.endswith(":0") else remote
    kind = table.removesuffix("6")
    return OpenSocket(descriptor=None, kind=kind, local=local, remote=remote, state=state)


def _address(written: bytes) -> str:
    """`0100007F:1538` as `127.0.0.1:5432`: words of 32 bits, in the machine's byte order."""
    host, port = written.split(b":")
    words = [int(host[start : start + 8], 16) for start in range(0, len(host), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    if len(words) == 1:
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"
