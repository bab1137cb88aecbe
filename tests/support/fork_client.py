"""Acts as a command that a shell starts: `python -I -S fork_client.py DOOR ARGUMENTS...`.

A server at DOOR forks it where that is equivalent to executing it; otherwise it is executed. This
process passes on its directory, environment, umask and streams, and the signals that end a command,
and ends as the command does. It loads next to nothing: an interpreter that only starts takes a
tenth of the time of the command itself.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import sys

sys.path.insert(0, __file__.rpartition("/tests/support/")[0])

from tests.support.start import start_now

NUMBER_BYTES = 8
PASSED_ON = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM)


def number_from(door: _socket.socket) -> int:
    """Return the next number that the server sends."""
    data = door.recv(NUMBER_BYTES, _socket.MSG_WAITALL)
    if len(data) < NUMBER_BYTES:
        sys.exit("the server of forked commands is gone")
    return int.from_bytes(data, "little", signed=True)


def ask(path: str) -> tuple[_socket.socket, int]:
    """Ask for the command; return the socket for its exit code, and its pid, or 0 if refused."""
    for stream in range(3):
        os.fstat(stream)  # a file opened now would take the number of a closed one
    door = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    door.connect(path)
    os.umask(umask := os.umask(0))
    body = marshal.dumps(
        {
            "arguments": sys.argv[2:],
            "cwd": os.getcwd(),
            "env": dict(os.environ),
            "umask": umask,
            "start": start_now(os.environ),
        }
    )
    streams = b"".join(one.to_bytes(4, sys.byteorder) for one in range(3))
    head = len(body).to_bytes(NUMBER_BYTES, "little", signed=True)
    door.sendmsg([head], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
    door.sendall(body)
    return door, number_from(door)


def main() -> None:
    """Act as the command."""
    try:
        door, pid = ask(sys.argv[1])
    except OSError:  # a stream is closed, or there is no directory: not this program's business
        pid = 0
    if not pid:
        words = [sys.executable, "-m", "fsm_orchestrator", *sys.argv[2:]]
        os.execv(sys.executable, words)  # noqa: S606
    for signum in PASSED_ON:
        _signal.signal(signum, lambda given, _: os.kill(pid, given))
    code = number_from(door)
    if code < 0:
        if -code != _signal.SIGKILL:
            _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
