"""Counts what a command does: the modules that it loads, its system calls. Knows no bound.

The package is counted as it is laid out when installed, run by an interpreter that does nothing at
its start that a folder of packages may ask for: so the counts of one checkout are the same wherever
they are taken.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

import fsm_orchestrator
from tests.support.command import environment
from tests.support.patience import PATIENCE_SECONDS

OURS: Final = "fsm_orchestrator"
PYTHON: Final = (sys.executable, "-S")
COMMAND: Final = (*PYTHON, "-m", OURS)
TRACER: Final = ("strace", "-f", "--seccomp-bpf", "-y", "-s", "0")
LIBRARIES: Final = ("click", "psutil", "pydantic", "structlog", "tomli_w", "transitions")
PATH_CHARACTERS: Final = 230
"""The length of the path of a directory in which bytes are counted, because files name paths."""


class Kind(StrEnum):
    """The kinds of system calls that are distinguished."""

    SYNC = "sync"
    RENAME = "rename"
    CREATE = "create"
    OPEN = "open"
    MKDIR = "mkdir"
    READ = "read"
    WRITE = "write"
    PROCESS = "process"
    PROGRAM = "program"
    THREAD = "thread"


_KINDS: Final[Mapping[str, Kind]] = {
    "fsync": Kind.SYNC,
    "fdatasync": Kind.SYNC,
    "sync_file_range": Kind.SYNC,
    "syncfs": Kind.SYNC,
    "sync": Kind.SYNC,
    "rename": Kind.RENAME,
    "renameat": Kind.RENAME,
    "renameat2": Kind.RENAME,
    "open": Kind.OPEN,
    "openat": Kind.OPEN,
    "openat2": Kind.OPEN,
    "creat": Kind.CREATE,
    "mkdir": Kind.MKDIR,
    "mkdirat": Kind.MKDIR,
    "read": Kind.READ,
    "readv": Kind.READ,
    "pread64": Kind.READ,
    "write": Kind.WRITE,
    "writev": Kind.WRITE,
    "pwrite64": Kind.WRITE,
    "fork": Kind.PROCESS,
    "vfork": Kind.PROCESS,
    "clone": Kind.PROCESS,
    "clone3": Kind.PROCESS,
    "execve": Kind.PROGRAM,
    "execveat": Kind.PROGRAM,
}
_OF_PROCESSES: Final = {Kind.PROCESS, Kind.PROGRAM, Kind.THREAD}


class Call(NamedTuple):
    """A system call that succeeded.

    Attributes:
        path: its object; of a rename the new name, of a process none.
        size_bytes: the number of bytes read or written.
    """

    kind: Kind
    path: str
    size_bytes: int


class Installed(NamedTuple):
    """The package as installed, in a separate folder."""

    folder: Path

    def environment(self, cwd: Path, extra: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a command counted in `cwd`; private state goes below `cwd`."""
        homes = dict.fromkeys(str(_home(library)) for library in LIBRARIES)
        given = {
            key: value for key, value in environment(**extra).items() if key != "PYTHONVERBOSE"
        }
        return {
            **given,
            "PYTHONPATH": os.pathsep.join([str(self.folder), *homes]),
            "XDG_STATE_HOME": str(cwd / "state"),
        }

    def run(
        self,
        argv: Sequence[str | Path],
        cwd: Path,
        *,
        code: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` to its end; its exit code must be `code`."""
        done = subprocess.run(
            [*map(str, argv)],
            cwd=cwd,
            env=self.environment(cwd, env or {}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr[-4000:]
        return done

    def loaded(
        self,
        argv: Sequence[str | Path],
        cwd: Path,
        *,
        code: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> frozenset[str]:
        """Return all modules that the interpreter loads when it is given `argv`.

        It logs them itself, one by one; a requested module that is missing is not among them.
        """
        told = self.run([*PYTHON, "-v", *argv], cwd, code=code, env=env).stderr
        return frozenset(re.findall(r"^import '([^']+)' #", told, re.MULTILINE))

    def traced(
        self, arguments: Sequence[str | Path], cwd: Path, *, code: int = 0
    ) -> Sequence[Call]:
        """Return what the command and its descendants do below `cwd`, and the processes started."""
        make_key(cwd / "state/fsm-orchestrator/record.key")
        names = ",".join(f"?{name}" for name in _KINDS)
        trace = cwd / "state.trace"
        tracer = (*TRACER, "-e", f"trace={names}", "-o", trace)
        self.run([*tracer, *COMMAND, *arguments], cwd, code=code)
        calls = list(_calls_in(trace.read_text(errors="replace"), cwd))
        assert calls.pop(0).kind is Kind.PROGRAM  # the command itself
        return [one for one in calls if one.kind in _OF_PROCESSES or is_below(one.path, cwd)]


def make_key(path: Path) -> None:
    """Make the key of the private state, as a user's first run does."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(os.urandom(32))


def install(folder: Path) -> Installed:
    """Lay the package out as installed, by links, in an empty `folder`."""
    package = folder / OURS
    package.mkdir(parents=True)
    source = Path(fsm_orchestrator.__file__).parent
    for entry in source.iterdir():
        (package / entry.name).symlink_to(entry)
    states = package / "states"
    if not states.exists():  # in the checkout it is beside the package
        states.symlink_to(import_module(f"{OURS}.states").__path__[0])
    return Installed(folder)


def can_trace() -> bool:
    """Return True if strace exists and may trace."""
    if shutil.which("strace") is None:
        return False
    probe = (*TRACER, "-e", "trace=?nosuchcall,read", "-o", os.devnull, "/bin/sh", "-c", "exit 0")
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def directory_of_one_length(parent: Path) -> Path:
    """Make a directory whose path is as long as that of any other made here."""
    missing = PATH_CHARACTERS - len(str(parent)) - 1
    assert 0 < missing < 256, f"the path of {parent} is too long to be made equal"
    directory = parent / ("d" * missing)
    directory.mkdir()
    return directory


def numbers(calls: Iterable[Call]) -> Counter[Kind]:
    """Count the calls of each kind."""
    return Counter(one.kind for one in calls)


def size_bytes(calls: Iterable[Call], kind: Kind) -> int:
    """Return the number of bytes read or written."""
    return sum(one.size_bytes for one in calls if one.kind is kind)


def is_below(path: str, directory: Path) -> bool:
    """Return True if a path is that of a directory, or of something in it."""
    return f"{path}{os.sep}".startswith(f"{directory}{os.sep}")


def ours_of(modules: Iterable[str]) -> set[str]:
    """Return the modules of this package, without their common prefix."""
    return {name.removeprefix(f"{OURS}.") for name in modules if name.partition(".")[0] == OURS}


def _home(library: str) -> Path:
    """Return the folder that a library is imported from."""
    file = import_module(library).__file__
    assert file is not None
    return Path(file).parent.parent


def _calls_in(trace: str, cwd: Path) -> Iterator[Call]:
    """Yield the calls in a trace that succeeded, in the order in which they ended."""
    unfinished: dict[str, str] = {}
    for line in trace.splitlines():
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = text.removesuffix("<unfinished ...>").strip()
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
            text = unfinished.pop(pid, "") + resumed[1]
        if found := re.match(r"(\w+)\((.*)\)\s+= (\d+)(?:<[^<>]*>)?$", text):
            yield _call(found[1], found[2], int(found[3]), cwd)


def _call(name: str, given: str, returned: int, cwd: Path) -> Call:
    """Return the call in a line of a trace."""
    kind = _KINDS[name]
    if kind is Kind.PROCESS:
        return Call(Kind.THREAD if "CLONE_THREAD" in given else kind, "", 0)
    if kind is Kind.OPEN and "O_CREAT" in given:
        kind = Kind.CREATE
    if kind in {Kind.SYNC, Kind.READ, Kind.WRITE}:
        of_descriptor = re.match(r"\d+<([^<>]*)>", given)
        return Call(kind, of_descriptor[1] if of_descriptor else "", returned)
    paths = re.findall(r'"([^"]*)"', given)
    assert paths, f"{name} of no path: {given}"
    path = paths[-1 if kind is Kind.RENAME else 0]
    return Call(kind, str(cwd / path), 0)
