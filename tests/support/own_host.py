"""Executes a command as on a separate host, with its own processes, name and boot id.

`python -I -S own_host.py NAME BOOT COMMAND...`, where BOOT is a file with that id. On one machine a
worker would find, and end, what another one has left running there, which on another machine it
cannot. It ends when nothing of the host is left, with the exit code of the command. Only root may
make hosts. Loads next to nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID = 0x00020000, 0x04000000, 0x20000000  # linux/sched.h
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18  # linux/mount.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h
BOOT_ID = b"/proc/sys/kernel/random/boot_id"


def main() -> int:
    """Make the host, run the command in it, and wait until nothing of it is left."""
    name, boot, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    _leave(libc)
    first = os.fork()
    if first:
        return _code(os.waitpid(first, 0)[1])
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.sethostname(name.encode(), len(name))
    _do(libc.mount(b"proc", b"/proc", b"proc", 0, None))
    _do(libc.mount(boot.encode(), BOOT_ID, None, MS_BIND, None))
    child = os.fork()
    if not child:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    code = 0
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            return code
        if ended == child:
            code = _code(status)


def _leave(libc: ctypes.CDLL) -> None:
    """Leave the names and mounts of this machine; the next child leaves its processes."""
    _do(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID))
    _do(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))


def _do(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
