"""Writes and installs the filter of system calls for one stage. Linux on x86-64 and 64-bit ARM.

It runs in the keeper's interpreter, which cannot import this package. The filter is a program of
classic BPF (https://docs.kernel.org/userspace-api/seccomp_filter.html). It closes what Landlock
leaves open: sockets that are neither TCP nor Unix, namespaces and mounts, inspecting and
controlling other processes, and below some versions of Landlock truncation.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
KILL, FAIL, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
LOAD, EQUAL, AT_LEAST, ANY_BIT, MASK, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""The offsets in `struct seccomp_data` of the call's number, the architecture and the arguments;
only the lower half of an argument is checked, which is all that the kernel takes of an `int`."""
X32 = 0x40000000

AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS: dict[str, tuple[int, int]] = {  # on x86-64, on 64-bit ARM; -1 for none
    "socket": (41, 198),
    "socketpair": (53, 199),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "clone": (56, 220),
    "clone3": (435, 435),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "mount_setattr": (442, 442),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "prlimit64": (302, 261),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "ioctl": (16, 29),
    "truncate": (76, 45),
    "open": (2, -1),
    "openat": (257, 56),
    "openat2": (437, 437),
}
REFUSED = (
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig"),
    *("fsmount", "move_mount", "open_tree", "mount_setattr", "ptrace", "process_vm_readv"),
    *("process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "bpf", "perf_event_open"),
    *("userfaultfd", "keyctl", "add_key", "request_key", "open_by_handle_at", "kexec_load"),
    *("kexec_file_load", "init_module", "finit_module", "delete_module"),
)
"""The calls that are never allowed."""
UNSUPPORTED = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")
"""The calls whose arguments are in memory, where no filter sees them: they appear not to exist."""
OF_OTHERS = {
    "prlimit64": 0,
    "sched_setaffinity": 0,
    "sched_setscheduler": 0,
    "sched_setparam": 0,
    "sched_setattr": 0,
    "migrate_pages": 0,
    "move_pages": 0,
}
"""The calls that control a process, and the argument that names it; it must be 0, the caller."""
OF_USERS = {"setpriority": 2, "ioprio_set": 3}
"""The calls that control what their second argument names, of the kind that their first one gives,
and the kind that means all processes of a user."""
NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET; clone(2) has no NEWTIME."""
TYPE_INTO_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
AF_UNIX, AF_INET, AF_INET6, SOCK_STREAM, SOCK_TYPES, IPPROTO_TCP = 1, 2, 10, 1, 0xF, 6
MSG_FASTOPEN = 0x20000000
"""A flag that connects without connect(2), the only call that Landlock checks."""
SENDING = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
"""The calls that send, and the argument that has the flags."""
O_ACCMODE, O_TRUNC = 0o3, 0o1000

Instruction = tuple[int, int, int, int]


def is_supported() -> bool:
    """Return whether the filter can be written for this machine."""
    return _machine() in AUDIT_ARCHITECTURE


def program(*, sockets: bool, no_internet: bool, truncation: bool) -> bytes:
    """Return the filter.

    Args:
        sockets: True if only TCP and Unix sockets may be made.
        no_internet: True if, of these, only Unix sockets may be made.
        truncation: True to refuse truncating files that were not opened for writing.

    Raises:
        OSError: the numbers of the calls are not known for this machine.
    """
    machine = _machine()
    if machine not in AUDIT_ARCHITECTURE:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    of = {name: both[machine == "aarch64"] for name, both in NUMBERS.items()}
    code = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, AUDIT_ARCHITECTURE[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    if machine == "x86_64":
        code += [(AT_LEAST, 0, 1, X32), _fail(errno.ENOSYS)]
    for name in REFUSED:
        code += _at(of[name], [_fail(errno.EPERM)])
    for name in UNSUPPORTED:
        code += _at(of[name], [_fail(errno.ENOSYS)])
    for name, argument in OF_OTHERS.items():
        code += _at(of[name], [_load(argument), (EQUAL, 1, 0, 0), _fail(errno.EPERM), _allow()])
    for name, user in OF_USERS.items():
        refuse = _fail(errno.EPERM)
        looks = [_load(0), (EQUAL, 2, 0, user), _load(1), (EQUAL, 1, 0, 0), refuse, _allow()]
        code += _at(of[name], looks)
    code += _at(of["clone"], [_load(0), (ANY_BIT, 0, 1, NAMESPACES), _fail(errno.EPERM), _allow()])
    typing = [
        step
        for request in TYPE_INTO_TERMINAL
        for step in ((EQUAL, 0, 1, request), _fail(errno.EPERM))
    ]
    code += _at(of["ioctl"], [_load(1), *typing, _allow()])
    if sockets:
        code += _only_unix(of) if no_internet else _only_tcp_and_unix(of)
    if truncation:
        code += _no_truncation(of)
    return b"".join(struct.pack("=HBBI", *step) for step in [*code, _allow()])


def install(written: bytes) -> None:
    """Put the calling thread under a filter permanently; it must have given up new privileges.

    Raises:
        OSError: the kernel refuses.
    """
    text = ctypes.create_string_buffer(written, len(written))
    counted = struct.pack("@HP", len(written) // 8, ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), counted, 0, 0):
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed))


def _only_unix(of: dict[str, int]) -> list[Instruction]:
    code = []
    for name in ("socket", "socketpair"):
        code += _at(of[name], [_load(0), (EQUAL, 1, 0, AF_UNIX), _fail(errno.EACCES), _allow()])
    return code


def _only_tcp_and_unix(of: dict[str, int]) -> list[Instruction]:
    refuse = _fail(errno.EACCES)
    code = _at(
        of["socket"],
        [
            _load(0),
            (EQUAL, 10, 0, AF_UNIX),
            (EQUAL, 2, 0, AF_INET),
            (EQUAL, 1, 0, AF_INET6),
            refuse,
            _load(1),
            (MASK, 0, 0, SOCK_TYPES),
            (EQUAL, 0, 3, SOCK_STREAM),
            _load(2),
            (EQUAL, 2, 0, 0),
            (EQUAL, 1, 0, IPPROTO_TCP),
            refuse,
            _allow(),
        ],
    )
    code += _at(of["socketpair"], [_load(0), (EQUAL, 1, 0, AF_UNIX), refuse, _allow()])
    for name, argument in SENDING.items():
        code += _at(of[name], [_load(argument), (ANY_BIT, 0, 1, MSG_FASTOPEN), refuse, _allow()])
    return code


def _no_truncation(of: dict[str, int]) -> list[Instruction]:
    refuse = _fail(errno.EACCES)
    code = _at(of["truncate"], [refuse]) + _at(of["openat2"], [_fail(errno.ENOSYS)])
    for name, argument in (("open", 1), ("openat", 2)):
        look = [
            _load(argument),
            (MASK, 0, 0, O_TRUNC | O_ACCMODE),
            (EQUAL, 0, 1, O_TRUNC),
            refuse,
            _allow(),
        ]
        code += _at(of[name], look)
    return code


def _at(number: int, steps: list[Instruction]) -> list[Instruction]:
    """Return steps that are taken for one system call only; they end with an answer."""
    return [(EQUAL, 0, len(steps), number), *steps] if number >= 0 else []


def _load(argument: int) -> Instruction:
    return LOAD, 0, 0, ARGUMENTS + 8 * argument


def _fail(number: int) -> Instruction:
    return RETURN, 0, 0, FAIL | number


def _allow() -> Instruction:
    return RETURN, 0, 0, ALLOW


def _machine() -> str:
    return os.uname().machine
