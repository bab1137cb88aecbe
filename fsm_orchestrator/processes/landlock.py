"""Builds the rules of Landlock for one stage, and puts a thread under them. Linux.

It runs in the keeper's interpreter, which cannot import this package: system calls go through
ctypes. A thread that has entered a ruleset cannot leave it, and neither can what it starts. The
rights, and the version of the interface (ABI) that introduced each, are those of
https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
ASK_VERSION = 1
RULE_PATH, RULE_PORT = 1, 2

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
READS = EXECUTE | READ_FILE | READ_DIR
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
"""The rights that a rule for a single file can give; the others apply to directories."""
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1 << 0, 1 << 1

ABI_FILES, ABI_REFER, ABI_TRUNCATE, ABI_TCP, ABI_IOCTL, ABI_SCOPES = 1, 2, 3, 4, 5, 6
ATTRIBUTES = struct.Struct("=QQQ")
"""`struct landlock_ruleset_attr`: rights on files, rights on ports, scopes."""
PATH_RULE, PORT_RULE = struct.Struct("=Qi"), struct.Struct("=QQ")
SIZE_OF_ABI = ((ABI_SCOPES, 24), (ABI_TCP, 16), (ABI_FILES, 8))
"""The size of the attributes that an interface takes, from each version on."""


def version() -> int:
    """Return the version of the kernel's Landlock, or 0 if there is none or it is refused."""
    try:
        return _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))
    except (OSError, AttributeError):
        return 0


def ruleset(
    abi: int,
    *,
    write: list[bytes],
    read: list[bytes] | None,
    connect: list[int] | None,
    bind: list[int] | None,
    is_scoped: bool,
) -> int:
    """Return a descriptor of a ruleset, which `enter` puts a thread under.

    Args:
        abi: The version to use, at least 1.
        write: The files and directories that may be changed (and read).
        read: Those that may be read and executed; None for all.
        connect: The TCP ports that may be connected to; None for all.
        bind: The TCP ports that may be bound; None for all.
        is_scoped: True if processes and abstract sockets outside are out of reach.

    Raises:
        OSError: the kernel refuses, or a path, named by `filename`, does not exist.
    """
    files = rights_of(abi) & ~(READS if read is None else 0)
    ports = (0 if connect is None else CONNECT_TCP) | (0 if bind is None else BIND_TCP)
    scopes = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS if is_scoped else 0
    size = next(size for since, size in SIZE_OF_ABI if abi >= since)
    attributes = ATTRIBUTES.pack(
        files, ports if abi >= ABI_TCP else 0, scopes if abi >= ABI_SCOPES else 0
    )[:size]
    descriptor = _call(CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in read or ():
            _allow_path(descriptor, path, READS & files)
        for path in write:
            _allow_path(descriptor, path, files)
        if abi >= ABI_TCP:
            for right, allowed in ((CONNECT_TCP, connect), (BIND_TCP, bind)):
                for port in allowed or ():
                    _add(descriptor, RULE_PORT, PORT_RULE.pack(right, port))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def enter(descriptor: int) -> None:
    """Put the calling thread under a ruleset permanently; it must have given up new privileges.

    Raises:
        OSError: the kernel refuses.
    """
    _call(RESTRICT_SELF, ctypes.c_int(descriptor), ctypes.c_uint32(0))


def rights_of(abi: int) -> int:
    """Return all rights on files that a version of the interface knows."""
    rights = READS | WRITE_FILE | REMOVE_AND_MAKE
    for since, right in ((ABI_REFER, REFER), (ABI_TRUNCATE, TRUNCATE), (ABI_IOCTL, IOCTL_DEVICE)):
        rights |= right if abi >= since else 0
    return rights


def _allow_path(descriptor: int, path: bytes, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= OF_FILES
        if rights:
            _add(descriptor, RULE_PATH, PATH_RULE.pack(rights, opened))
    finally:
        os.close(opened)


def _add(descriptor: int, kind: int, rule: bytes) -> None:
    _call(ADD_RULE, ctypes.c_int(descriptor), ctypes.c_int(kind), rule, ctypes.c_uint32(0))


def _call(number: int, *arguments: object) -> int:
    result: int = _LIBC.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed))
    return result
