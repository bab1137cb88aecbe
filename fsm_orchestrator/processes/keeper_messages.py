"""The messages between orchestrator and keeper: fields, and descriptors if any, on a socket.

Both sides use this module, the keeper in an interpreter that cannot import this package.

A message is its length (four bytes, big-endian) and fields joined by NUL. To the keeper:

    spawn  SIGNALS TIMEOUT GRACE IDLE OUTPUT MEMORY PROCESSES PROCESSOR FILE PROGRAM CWD
           COUNT ARGUMENT... COUNT CAGE... PAIR...
           limits in milliseconds, bytes and seconds, -1 for none; CAGE as in cage.py; with
           descriptors: the logs for stdout and stderr, the file in memory, and, if there are no
           pidfds, a pipe to close when the leader has ended
    lease           with a descriptor: the timer to obey from now on; without one, none
    pause, go_on    the clocks stop, and resume
    hand_over       the orchestrator ends the stage
    finish

and back: `ready`, `unable WHY`, `started PID ABI PROMISE...`, `refused WHERE ERRNO PATH`,
`unheld ABI PROMISE...`, `done`, and `finished STATUS USER SYSTEM RSS KILLED SURVIVOR...`.
"""

from __future__ import annotations

import _socket as socket  # no use here for the other's enumerations, and they take time
import struct

TYPE_CHECKING = False  # as in keeper.py
if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTORS_MAX = 4
FINISH_SECONDS_MAX = 5.0
"""The time that killing may take; what is left then counts as impossible to end: it is in a system
call that cannot be interrupted, or of another user."""
LENGTH = struct.Struct(">I")


def send(control: socket.socket, fields: Sequence[bytes], descriptors: Sequence[int] = ()) -> None:
    """Send one message, with descriptors if any.

    Raises:
        OSError: the other side is gone.
    """
    message = b"\0".join(fields)
    data = memoryview(LENGTH.pack(len(message)) + message)
    ancillary = [
        (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))
    ]
    sent = control.sendmsg([data], ancillary if descriptors else [], socket.MSG_NOSIGNAL)
    if sent < len(data):
        control.sendall(data[sent:], socket.MSG_NOSIGNAL)


def receive(control: socket.socket) -> tuple[list[bytes], list[int]]:
    """Receive one message and its descriptors; no fields if the other side is gone."""
    space = socket.CMSG_SPACE(DESCRIPTORS_MAX * struct.calcsize("i"))
    try:
        data, ancillary, _, _ = control.recvmsg(65536, space, socket.MSG_CMSG_CLOEXEC)
        descriptors = [
            descriptor
            for _, _, packed in ancillary
            for (descriptor,) in struct.iter_unpack("i", packed)
        ]
        parts = [data]
        have = len(data)
        while data and (have < LENGTH.size or have < LENGTH.size + _length(parts)):
            data = control.recv(1 << 20)
            parts.append(data)
            have += len(data)
    except OSError:
        return [], []
    message = b"".join(parts)
    return (message[LENGTH.size :].split(b"\0") if data else []), descriptors


def _length(parts: list[bytes]) -> int:
    if len(parts[0]) < LENGTH.size:
        parts[:] = [b"".join(parts)]
    length: int = LENGTH.unpack_from(parts[0])[0]
    return length
