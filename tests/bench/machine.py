"""The measured machine: its versions and its disk; and where to find a real disk."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Final

import psutil

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "unknown"})
PACKAGES: Final = (
    *("fsm-orchestrator", "pydantic", "pydantic-core", "transitions"),
    *("structlog", "click", "psutil"),
)


def disk_directory() -> Path:
    """Return a directory for temporary files on a real disk; the default if none is found."""
    usual = Path(tempfile.gettempdir())
    candidates = (usual, Path("/var/tmp"), Path(__file__).parent)
    writable = [one for one in candidates if os.access(one, os.W_OK)]
    return next((one for one in writable if file_system_of(one) not in IN_MEMORY), usual)


def file_system_of(path: Path) -> str:
    """Return the type of the file system that holds `path`; `unknown` if it cannot be found."""
    real = path.resolve()
    holders = [
        part
        for part in psutil.disk_partitions(all=True)
        if real == Path(part.mountpoint) or Path(part.mountpoint) in real.parents
    ]
    innermost = max(holders, key=lambda part: len(part.mountpoint), default=None)
    return "unknown" if innermost is None else innermost.fstype


def described(scratch: Path) -> dict[str, str]:
    """Return what a reader must know of the machine, by name."""
    versions = (f"{name} {_version(name)}" for name in PACKAGES)
    return {
        "cores": str(os.cpu_count()),
        "CPU": _cpu_model(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "scratch directory": f"{scratch} ({file_system_of(scratch)})",
        "packages": ", ".join(versions),
        "load when begun": load(),
    }


def load() -> str:
    """Return the load averages of 1, 5 and 15 minutes."""
    return ", ".join(f"{one:.2f}" for one in os.getloadavg())


def _cpu_model() -> str:
    if sys.platform.startswith("linux"):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
