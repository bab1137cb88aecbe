"""Boots an older kernel under qemu, with this Python and this package in its memory.

Nothing is installed in it, and it shares nothing of this machine: its one file system consists of
the interpreter, the packages that a run needs, busybox, and a script that is run as root.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

SECONDS_MAX: Final = 600
PACKAGES: Final = (
    *("annotated_types", "click", "psutil", "pydantic", "pydantic_core", "six", "structlog"),
    *("tomli_w", "transitions", "typing_extensions", "typing_inspection"),
    *(
        "_pytest",
        "iniconfig",
        "packaging",
        "pluggy",
        "py",
        "pygments",
        "pytest",
        "hypothesis",
        "sortedcontainers",
    ),
    *("attr", "attrs", "jsonschema", "jsonschema_specifications", "referencing", "rpds"),
)
TOOLS: Final = ("setpriv",)
LEFT_OUT: Final = frozenset(
    {"test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "__pycache__"}
)
_DONE: Final = "the-guest-is-done"
_INIT: Final = f"""#!/bin/busybox sh
export PATH=/bin:/usr/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts /tmp /root /var/tmp
mount -t tmpfs tmp /tmp && mount -t tmpfs shm /dev/shm && mount -t devpts pts /dev/pts
mount -t cgroup2 cgroups /sys/fs/cgroup
ip link set lo up
cd /guest
HOME=/root TMPDIR=/tmp {{python}} -m {{script}} 2>&1
echo {_DONE} $?
echo o > /proc/sysrq-trigger
sleep 60
"""


def missing() -> str:
    """Return what is missing on this machine to boot a kernel; empty if nothing is."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "a kernel for x86_64 is booted on Linux only"
    for tool in ("qemu-system-x86_64", "busybox", "ldd"):
        if shutil.which(tool) is None and not (tool == "busybox" and os.environ.get("BUSYBOX")):
            return f"needs {tool}: apt-get install qemu-system-x86 busybox-static libc-bin"
    if kernel() is None:
        return "needs a kernel: apt-get install linux-image-cloud-amd64, or name one in KERNEL"
    return ""


def kernel() -> Path | None:
    """Return the kernel to boot: that of `KERNEL`, or Debian's for clouds."""
    given = os.environ.get("KERNEL")
    if given:
        return Path(given)
    return max(Path("/boot").glob("vmlinuz-*-cloud-amd64"), default=None)


def run_in(script: str, folder: Path) -> str:
    """Boot, run a module of the tests as root, and return its output.

    Raises:
        AssertionError: it failed, or the machine did.
    """
    booted = kernel()
    assert booted is not None
    disk = folder / "disk"
    with gzip.open(disk, "wb", compresslevel=1) as file:
        for chunk in _archive(script):
            file.write(chunk)
    done = subprocess.run(
        [
            *("qemu-system-x86_64", "-nographic", "-no-reboot", "-m", "2048", "-smp", "2"),
            *("-accel", os.environ.get("ACCEL", "tcg"), "-cpu", "max", "-net", "none"),
            *("-kernel", booted, "-initrd", disk),
            *("-append", "console=ttyS0 quiet panic=-1 rdinit=/init"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS_MAX,
        check=False,
    )
    said = re.split(rf"^{_DONE} (\d+)\s*$", done.stdout.replace("\r", ""), flags=re.MULTILINE)
    assert len(said) > 1, done.stdout[-4000:] + done.stderr
    assert said[1] == "0", said[0][-4000:]
    return said[0]


def _archive(script: str) -> Iterator[bytes]:
    """Yield a cpio archive of all that the machine has."""
    yield from (_entry(name, 0o40755) for name in ("bin", "dev", "proc", "sys", "tmp", "lib64"))
    python = os.path.realpath(sys.executable)
    init = _INIT.format(python=python, script=script)
    yield _entry("init", 0o100755, init.encode())
    yield _entry("etc/passwd", 0o100644, b"root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:\n")
    busybox = os.environ.get("BUSYBOX") or shutil.which("busybox") or ""
    yield _entry("bin/busybox", 0o100755, Path(busybox).read_bytes())
    programs = [Path(python), *(Path(tool) for one in TOOLS if (tool := shutil.which(one)))]
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    folders = [(stdlib, stdlib)]
    for name in (*PACKAGES, "fsm_orchestrator", "tests", "states"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            at = Path(next(iter(spec.submodule_search_locations)))
            folders.append((at, Path("/guest", name)))
        elif spec is not None and spec.origin:
            yield _entry(f"guest/{name}.py", 0o100644, Path(spec.origin).read_bytes())
    objects = list(programs)
    for folder, there in folders:
        for path in _files(folder):
            yield _entry(f"{there}/{path.relative_to(folder)}", 0o100644, path.read_bytes())
            objects += [path] if path.suffix == ".so" else []
    for program in programs:
        yield _entry(str(program), 0o100755, program.read_bytes())
    for library in sorted(_libraries(objects)):
        yield _entry(library, 0o100755, Path(library).read_bytes())
    yield _entry("TRAILER!!!", 0)


def _files(folder: Path) -> Iterator[Path]:
    for place, below, names in os.walk(folder):
        at_top = Path(place) == folder
        below[:] = [one for one in below if one not in LEFT_OUT and one != "site-packages"]
        if at_top and folder.name == "fsm_orchestrator":
            below[:] = [one for one in below if one != "states"]
        yield from (path for name in names if (path := Path(place, name)).is_file())


def _libraries(objects: Sequence[Path]) -> set[str]:
    """Return the shared libraries that programs and modules are loaded with."""
    printed = subprocess.run(
        [str(shutil.which("ldd")), *map(str, objects)], capture_output=True, text=True, check=False
    ).stdout
    return {found for found in re.findall(r"(/\S+) \(0x", printed) if os.path.exists(found)}


_made: set[str] = set()


def _entry(name: str, mode: int, data: bytes = b"") -> bytes:
    """Return an entry of a cpio archive (newc), after those of the directories above it."""
    path = name.strip("/")
    above = b""
    if mode != 0:
        for parent in [*Path(path).parents][-2::-1]:
            if str(parent) not in _made:
                _made.add(str(parent))
                above += _record(str(parent), 0o40755, b"")
        if mode & 0o40000:
            if path in _made:
                return above
            _made.add(path)
    return above + _record(path, mode, data)


def _record(path: str, mode: int, data: bytes) -> bytes:
    encoded = path.encode() + b"\0"
    number = hash(path) & 0xFFFFFFFF
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % one for one in fields) + encoded
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
