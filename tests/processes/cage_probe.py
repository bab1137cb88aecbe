"""Tries what a confined process must not do, and prints the result of each attempt as JSON.

Run as a script in the cage, without the package: the arguments are the directory outside, the one
inside, the orchestrator's pid, the port that is allowed and the one that is not, an abstract
socket, and the attempts to make, if those are not all.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import sys
import termios
from collections.abc import Callable

GIVEN = sys.argv[1:7] if __name__ == "__main__" else [""] * 6
OUTSIDE, INSIDE, ORCHESTRATOR, OPEN_PORT, OTHER_PORT, ABSTRACT = GIVEN
NAMES = sys.argv[7:]
KEEPER = os.getppid()
LIBC = ctypes.CDLL(None, use_errno=True)
CALLS = {"x86_64": (438, 425, 250, 16), "aarch64": (438, 425, 219, 29)}[os.uname().machine]
PIDFD_GETFD, IO_URING_SETUP, KEYCTL, _ = CALLS
CLONE_NEWUSER, PTRACE_ATTACH, MSG_FASTOPEN = 0x10000000, 16, 0x20000000
IPPROTO_MPTCP, PRIO_USER = 262, 2


def call(function: Callable[..., int], *arguments: object) -> int:
    """Call a C function that returns -1 when it fails."""
    ctypes.set_errno(0)
    result = function(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def write(path: str, flags: int = 0) -> None:
    """Open a file for writing."""
    os.close(os.open(path, os.O_WRONLY | flags, 0o600))


def cut_by_reading(path: str) -> None:
    """Truncate a file that is opened for reading."""
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))


def read(path: str) -> None:
    """Read some of a file."""
    with open(path, "rb") as file:
        file.read(1)


def connect(port: str) -> None:
    """Connect to a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.connect(("127.0.0.1", int(port)))


def connect_by_sending(port: str) -> None:
    """Connect by sending, which is not connect(2)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.sendto(b"x", MSG_FASTOPEN, ("127.0.0.1", int(port)))


def reach_abstract() -> None:
    """Connect to an abstract socket on which a process outside listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect("\0" + ABSTRACT)


def make_socket(family: int, kind: int, protocol: int = 0) -> None:
    """Make a socket."""
    socket.socket(family, kind, protocol).close()


def bind(port: int) -> None:
    """Listen on a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", port))


def signal_own_child() -> None:
    """Signal a process that this one started."""
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def take_descriptor() -> None:
    """Take a descriptor of the keeper."""
    pidfd = os.pidfd_open(KEEPER)
    call(LIBC.syscall, PIDFD_GETFD, pidfd, 0, 0)


def type_into_terminal() -> None:
    """Type into the terminal; this is refused even where there is no terminal."""
    fcntl.ioctl(0, termios.TIOCSTI, b"x")


def rename_within() -> None:
    """Rename a file from one directory inside to another."""
    os.makedirs(f"{INSIDE}/a", exist_ok=True)
    os.makedirs(f"{INSIDE}/b", exist_ok=True)
    write(f"{INSIDE}/a/file", os.O_CREAT)
    os.rename(f"{INSIDE}/a/file", f"{INSIDE}/b/file")


def execute(path: str) -> None:
    """Execute a program."""
    child = os.fork()
    if child == 0:
        try:
            os.execv(path, [path])  # noqa: S606 - the attempt
        except OSError as error:
            os._exit(error.errno or 255)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number:
        raise OSError(number, os.strerror(number))


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write outside": lambda: write(f"{OUTSIDE}/file"),
    "append outside": lambda: write(f"{OUTSIDE}/file", os.O_APPEND),
    "create outside": lambda: write(f"{OUTSIDE}/new", os.O_CREAT),
    "remove outside": lambda: os.unlink(f"{OUTSIDE}/file"),
    "remove directory outside": lambda: os.rmdir(f"{OUTSIDE}/empty"),
    "make directory outside": lambda: os.mkdir(f"{OUTSIDE}/made"),
    "link outside": lambda: os.symlink("x", f"{OUTSIDE}/link"),
    "pipe outside": lambda: os.mkfifo(f"{OUTSIDE}/pipe"),
    "rename outside": lambda: os.rename(f"{OUTSIDE}/file", f"{OUTSIDE}/other"),
    "rename out of inside": lambda: os.rename(f"{INSIDE}/mine", f"{OUTSIDE}/mine"),
    "rename into inside": lambda: os.rename(f"{OUTSIDE}/file", f"{INSIDE}/file"),
    "hard link into inside": lambda: os.link(f"{OUTSIDE}/file", f"{INSIDE}/file"),
    "truncate outside": lambda: os.truncate(f"{OUTSIDE}/file", 0),
    "truncate outside by reading": lambda: cut_by_reading(f"{OUTSIDE}/file"),
    "write through a link inside": lambda: write(f"{INSIDE}/link"),
    "write through a descriptor's name": lambda: write(
        f"/proc/self/fd/{os.open(f'{OUTSIDE}/file', os.O_RDONLY)}"
    ),
    "read outside": lambda: read(f"{OUTSIDE}/file"),
    "list outside": lambda: os.listdir(OUTSIDE),
    "execute outside": lambda: execute(f"{OUTSIDE}/program"),
    "write inside": lambda: write(f"{INSIDE}/mine", os.O_CREAT | os.O_TRUNC),
    "rename inside": rename_within,
    "write to /dev/null": lambda: write("/dev/null"),
    "write to /dev/stdout": lambda: write("/dev/stdout"),
    "signal the keeper": lambda: os.kill(KEEPER, 0),
    "signal the orchestrator": lambda: os.kill(int(ORCHESTRATOR), 0),
    "signal the keeper's pidfd": lambda: signal.pidfd_send_signal(
        os.pidfd_open(KEEPER), signal.SIGCONT
    ),
    "signal an own child": signal_own_child,
    "trace the keeper": lambda: call(LIBC.ptrace, PTRACE_ATTACH, KEEPER, None, None),
    "take a descriptor of the keeper": take_descriptor,
    "open the keeper's memory": lambda: read(f"/proc/{KEEPER}/mem"),
    "read the keeper's environment": lambda: read(f"/proc/{KEEPER}/environ"),
    "read the orchestrator's environment": lambda: read(f"/proc/{ORCHESTRATOR}/environ"),
    "follow a descriptor of the keeper": lambda: os.readlink(f"/proc/{KEEPER}/fd/0"),
    "slow the keeper down": lambda: os.setpriority(os.PRIO_PROCESS, KEEPER, 10),
    "slow down all of the user's": lambda: os.setpriority(PRIO_USER, 0, 10),
    "pin the keeper": lambda: os.sched_setaffinity(KEEPER, {0}),
    "limit the keeper": lambda: resource.prlimit(KEEPER, resource.RLIMIT_NOFILE, (3, 3)),
    "limit itself": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    "slow itself down": lambda: os.setpriority(os.PRIO_PROCESS, 0, 10),
    "make a user namespace": lambda: call(LIBC.unshare, CLONE_NEWUSER),
    "mount": lambda: call(LIBC.mount, b"none", INSIDE.encode(), b"tmpfs", 0, None),
    "change the root": lambda: os.chroot(INSIDE),
    "set up io_uring": lambda: call(LIBC.syscall, IO_URING_SETUP, 1, None),
    "use the keyring": lambda: call(LIBC.syscall, KEYCTL, 0, -3, 0),
    "type into a terminal": type_into_terminal,
    "connect to the open port": lambda: connect(OPEN_PORT),
    "connect to another port": lambda: connect(OTHER_PORT),
    "connect by sending": lambda: connect_by_sending(OTHER_PORT),
    "bind a port": lambda: bind(0),
    "make a UDP socket": lambda: make_socket(socket.AF_INET, socket.SOCK_DGRAM),
    "make a UDP socket of IPv6": lambda: make_socket(socket.AF_INET6, socket.SOCK_DGRAM),
    "make a raw socket": lambda: make_socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "make a netlink socket": lambda: make_socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "make a multipath socket": lambda: make_socket(
        socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP
    ),
    "make a Unix socket": lambda: make_socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "reach an abstract socket": reach_abstract,
}


def outcome(attempt: Callable[[], object]) -> str:
    """Return `ok`, or the name of the error in which an attempt ended."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "ok"


def main() -> None:
    """Make every attempt, and print what the kernel reports about this process."""
    results = {
        name: outcome(attempt) for name, attempt in ATTEMPTS.items() if not NAMES or name in NAMES
    }
    with open("/proc/self/status", encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    facts = {key: status.get(key, "") for key in ("NoNewPrivs", "CapEff", "CapBnd", "Seccomp")}
    sys.stdout.write(json.dumps({**results, **facts}))


if __name__ == "__main__":
    main()
