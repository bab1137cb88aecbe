"""Runs a command for which the kernel refuses system calls, as a filter of a container does.

    python -I -S refuse_calls.py ERRNO NUMBER... -- COMMAND...

Linux on x86-64 and arm64, where the numbers of newer calls are the same. Imports nothing of the
package.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

PIDFD_OPEN, PIDFD_SEND_SIGNAL = "434", "424"
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # linux/seccomp.h


def refuse(number: int, calls: list[int]) -> None:
    """Make each of `calls` fail with the error of that number, here and in all children."""
    steps = [(LOAD, 0, 0, 0)]
    for call in calls:
        steps += [(IF_EQUAL, 0, 1, call), (RETURN, 0, 0, REFUSE | number)]
    steps.append((RETURN, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HL", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, FILTER, ctypes.addressof(program), 0, 0),
    ):
        if libc.prctl(*map(ctypes.c_ulong, request)) != 0:
            sys.exit(os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    number, *rest = sys.argv[1:]
    split = rest.index("--")
    refuse(int(number), [int(call) for call in rest[:split]])
    os.execvp(rest[split + 1], rest[split + 1 :])  # noqa: S606 - that is what it is for
