"""Stands in for the door through which files are written: fails there, or ends the world.

Every system call that durability needs goes through `files.perform`. The sweeps fail the first
call, the second, the third …, until a run passes untouched. A modeled disk keeps what was synced.
"""

from __future__ import annotations

import copy
import errno
import itertools
import os
import re
import stat
import subprocess
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pytest

from fsm_orchestrator import RunConfig, run
from fsm_orchestrator.constants import (
    CHECKPOINT_FILE,
    EVENTS_FILE,
    INVOCATIONS_FILE,
    REPORT_FILE,
)
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.errors import InternalError, OrchestratorError
from fsm_orchestrator.model.endings import Exited
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.observing import Metered, Observer, OutputReader, ProcessReport
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.record.report import Report
from tests.support.soak import SOAK
from tests.sweeps.desk import OUT, Desk, Scene, Tree, read_tree
from tests.sweeps.mending import mend
from tests.sweeps.scenarios import Scenario

POINTS_MAX: Final = 500
RECORDS: Final = [
    f"{OUT}/{name}" for name in (CHECKPOINT_FILE, REPORT_FILE, EVENTS_FILE, INVOCATIONS_FILE)
]


# A disk whose power is cut


@dataclass(eq=False, slots=True)
class File:
    """A file: the content written to it through the door, and the synced part of it."""

    now: bytes = b""
    synced: bytes = b""


@dataclass(eq=False, slots=True)
class Directory:
    """A directory: its entries as of the last sync."""

    synced: dict[str, File | Directory] = field(default_factory=dict)


class Disk:
    """A disk that does what goes through the door, and knows what a power cut would leave.

    Content is safe once the file was synced, an entry once its directory was; nothing else is.
    Nothing is really synced, since nobody cuts the power.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._nodes: dict[int, File | Directory] = {}
        self._paths: dict[int, Path] = {}
        self._by_name: dict[Path, File | Directory] = {}
        self._add_present(root)

    def copy(self, torn: tuple[int, bytes] | None = None) -> Disk:
        """Return a copy of the disk, to be `found` again later; `torn` as in `torn`."""
        self._by_name = {
            path.relative_to(self.root): self._nodes[path.stat().st_ino]
            for path in (self.root, *self.root.rglob("*"))
        }
        found = copy.deepcopy(self)
        if torn is not None:
            descriptor, data = torn
            found._file(descriptor).now += data[: len(data) // 2]
        return found

    def find(self) -> None:
        """Continue with files that were put back as they were when this copy was made."""
        self._nodes = {
            (self.root / name).stat().st_ino: node for name, node in self._by_name.items()
        }

    def perform(
        self,
        operation: SystemCall,
        call: Callable[..., Any],
        args: Any,
        places: Mapping[str, Any] = MappingProxyType({}),
    ) -> Any:
        """Do it. `places` are the descriptors of the directories that names are relative to."""
        match operation:
            case SystemCall.FSYNC:
                return self._sync(args[0])
            case SystemCall.OPEN:
                path = path_of(args[0], places.get("dir_fd"))
                is_new = not os.path.lexists(path)
                descriptor = call(*args, **places)
                self._paths[descriptor] = path
                if is_new:
                    self._nodes[os.fstat(descriptor).st_ino] = File()
                elif args[1] & os.O_TRUNC:
                    self._file(descriptor).now = b""
                return descriptor
            case SystemCall.WRITE:
                count = call(*args)
                self._file(args[0]).now += bytes(args[1][:count])
                return count
            case SystemCall.TRUNCATE:
                call(*args)
                self._file(args[0]).now = self._file(args[0]).now[: args[1]]
            case SystemCall.RENAME | SystemCall.UNLINK:
                gone = path_of(args[-1], places.get("dst_dir_fd", places.get("dir_fd")))
                inode = os.lstat(gone).st_ino if os.path.lexists(gone) else None
                call(*args, **places)
                if inode is not None:  # its number is reused for the next file
                    del self._nodes[inode]
            case SystemCall.MKDIR:
                call(*args, **places)
                self._nodes[path_of(args[0], places.get("dir_fd")).stat().st_ino] = Directory()
            case _:
                return call(*args)
        return None

    def role_of(self, operation: SystemCall, args: Any) -> str:
        """Return which file is operated on, and how it is opened, without run and time."""
        match operation:
            case SystemCall.OPEN:
                name = f"{os.path.basename(args[0])} {args[1]:o}"
            case SystemCall.MKDIR | SystemCall.UNLINK | SystemCall.RENAME:
                name = os.path.basename(args[-1] if operation is SystemCall.RENAME else args[0])
            case _:
                name = name_of(args[0])
        return re.sub(r"[0-9a-f]{8,}|[0-9]+T[0-9.]+Z", "#", name)

    def node_of(self, path: Path) -> File | Directory:
        """Return what now has this name."""
        return self._nodes[path.stat().st_ino]

    def torn(self, descriptor: int, data: bytes) -> Tree:
        """Return the files after a write that ends half-way."""
        written = str(self._paths[descriptor].relative_to(self.root))
        half = data[: len(data) // 2]
        return tuple(
            (name, (content or b"") + half if name == written else content)
            for name, content in read_tree(self.root)
        )

    def with_all_names(self) -> Tree:
        """Return what a cut leaves if every entry reached the disk, but only synced content did."""
        return tuple(
            (str(path.relative_to(self.root)), None if path.is_dir() else self._synced(path))
            for path in sorted(self.root.rglob("*"))
        )

    def with_synced_names(self) -> Tree:
        """Return what a cut leaves if only synced content and entries reached the disk."""
        root = self._nodes[self.root.stat().st_ino]
        assert isinstance(root, Directory)
        return tuple(sorted(_flat(root, "")))

    def _add_present(self, path: Path) -> File | Directory:
        """Add a file that exists when the world begins, as safe."""
        node: File | Directory
        if path.is_dir():
            node = Directory({one.name: self._add_present(one) for one in path.iterdir()})
        else:
            node = File(path.read_bytes(), path.read_bytes())
        self._nodes[path.stat().st_ino] = node
        return node

    def _file(self, descriptor: int) -> File:
        node = self._nodes[os.fstat(descriptor).st_ino]
        assert isinstance(node, File)
        return node

    def _sync(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        node = self._nodes[status.st_ino]
        if isinstance(node, File):
            node.synced = node.now
            return
        assert stat.S_ISDIR(status.st_mode)
        with os.scandir(descriptor) as entries:
            node.synced = {entry.name: self._nodes[entry.inode()] for entry in entries}

    def _synced(self, path: Path) -> bytes:
        node = self._nodes[path.stat().st_ino]
        assert isinstance(node, File)
        return node.synced


def name_of(descriptor: int) -> str:
    """Return the name of an open file."""
    return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))


def path_of(name: str | Path, directory: int | None) -> Path:
    """Return the path of a name in an open directory; of a path, itself."""
    return (
        Path(name) if directory is None else Path(os.readlink(f"/proc/self/fd/{directory}"), name)
    )


def _flat(directory: Directory, above: str) -> Iterator[tuple[str, bytes | None]]:
    for name, node in directory.synced.items():
        if isinstance(node, File):
            yield above + name, node.synced
        else:
            yield above + name, None
            yield from _flat(node, f"{above}{name}/")


# The door


class Fault(StrEnum):
    """A way in which one operation fails."""

    FULL = "ENOSPC"
    OVER_QUOTA = "EDQUOT"
    BROKEN = "EIO"
    FORBIDDEN = "EACCES"
    READ_ONLY = "EROFS"
    SHORT = "short write"


BY_ERRNO: Final = tuple(fault for fault in Fault if fault is not Fault.SHORT)
"""The faults that differ only in the errno; most of them are handled alike."""

Kind = tuple[SystemCall, str]
"""The kind of an operation: the call and the file, whatever run and time the file names."""


class Strike(NamedTuple):
    """An operation that is to fail, by its number in the run, and its fault."""

    number: int
    fault: Fault


COMMON_ONE_IN: Final = 3
"""A kind shared with other scenarios fails in one of this many scenarios, in turn."""


def strikes_of(
    kinds: Sequence[Kind], can_be_short: Collection[int], common: Collection[Kind], turn: int
) -> list[Strike]:
    """Return the operations of these kinds that are to fail, one after the other.

    Of each kind one operation fails, by one of the errnos, and where it can be short, by that too.
    Scenarios share the `common` kinds: each takes those whose turn it is.
    """
    if SOAK:
        every = itertools.product(range(1, len(kinds) + 1), Fault)
        return [
            Strike(number, fault)
            for number, fault in every
            if fault is not Fault.SHORT or number in can_be_short
        ]
    places: dict[Kind, list[int]] = {}
    for number, kind in enumerate(kinds, start=1):
        places.setdefault(kind, []).append(number)
    strikes = []
    for kind, numbers in places.items():
        lot = zlib.crc32(repr(kind).encode()) + turn
        if kind in common and lot % COMMON_ONE_IN:
            continue
        lot //= COMMON_ONE_IN
        strikes.append(Strike(numbers[lot % len(numbers)], BY_ERRNO[lot % len(BY_ERRNO)]))
        if short := [number for number in numbers if number in can_be_short]:
            strikes.append(Strike(short[lot % len(short)], Fault.SHORT))
    return strikes


Choice = Callable[[SystemCall, Any], bool]
"""A selection of operations, by their kind and their arguments."""


class Door:
    """A replacement for `files.perform`: fails the operation of a given number, if any."""

    def __init__(
        self,
        disk: Disk,
        fault: Fault | None = None,
        number: int = 0,
        counts: Choice = lambda *_: True,
    ) -> None:
        self.disk = disk
        self.struck: SystemCall | None = None
        self.kinds: list[Kind] = []
        self.can_be_short: set[int] = set()
        self.before: Callable[[SystemCall, Any], None] | None = None
        self._fault = fault
        self._left = number
        self._counts = counts

    def perform(
        self, operation: SystemCall, call: Callable[..., Any], *args: Any, **places: Any
    ) -> Any:
        """Do what `files.perform` does, or fail."""
        if self.before is not None:
            self.before(operation, args)
        if self._counts(operation, args):
            self.kinds.append((operation, self.disk.role_of(operation, args)))
            if operation is SystemCall.WRITE and len(args[1]) > 1:
                self.can_be_short.add(len(self.kinds))
            self._left -= 1
            if self._left == 0:
                self.struck = operation
                return self._fail(operation, call, args)
        return self.disk.perform(operation, call, args, places)

    def _fail(self, operation: SystemCall, call: Callable[..., Any], args: Any) -> Any:
        if self._fault is Fault.SHORT:
            descriptor, data = args
            return self.disk.perform(operation, call, (descriptor, data[: len(data) // 2]))
        number: int = getattr(errno, str(self._fault))
        raise OSError(number, os.strerror(number))


def reads(operation: SystemCall, args: Any) -> bool:
    """Return whether an operation reads a file."""
    is_for_reading = operation is SystemCall.OPEN and not args[1] & (os.O_RDWR | os.O_WRONLY)
    return operation is SystemCall.READ or is_for_reading


class PlainRunner(ProcessRunner):
    """A runner that starts a stage as a child, and waits.

    A run then takes half the time, and the keeper has no part in what is done to files.
    """

    def __init__(self, interrupts: Interrupts, **given: Any) -> None:
        super().__init__(interrupts, may_keep=False, **given)

    @property
    def unable(self) -> str:
        """No warning, since the warnings of a run are compared."""
        return ""

    def run(
        self,
        command: Command,
        limits: Limits,
        observer: Observer,
        reader: OutputReader | None = None,
        meter: Metered | None = None,
    ) -> ProcessReport:
        """Run a stage that ends on its own."""
        del limits, reader, meter
        with subprocess.Popen(
            [command.command, *command.args],
            cwd=command.cwd,
            env=command.env,
            stdout=command.stdout,
            stderr=command.stderr,
        ) as process:
            observer.started(process.pid)
            return ProcessReport(Exited(process.wait()))


def through(door: Door, config: RunConfig) -> Report | OrchestratorError:
    """Run through a door; return the report, or the error. A bug of this program fails the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "perform", door.perform)
        try:
            return run(config)
        except InternalError:
            raise
        except OrchestratorError as error:
            return error


def undisturbed(desk: Desk, config: RunConfig) -> Report:
    """Run without a fault."""
    report = through(Door(Disk(desk.disk)), config)
    assert isinstance(report, Report), report
    return report


def before_the_step(scenario: Scenario, desk: Desk) -> Scene:
    """Return the scene that the scenario's invocation begins with."""
    desk.clear()
    scenario.run_before(desk, lambda config: undisturbed(desk, config))
    return desk.scene()


def mend_here(scenario: Scenario, desk: Desk, before: Scene, expected: Report, disk: Disk) -> None:
    """Resume it, and as durably, whatever the disturbed run had left unsynced."""
    mend(scenario, desk, before, expected, lambda config: through(Door(disk), config))
    assert_durable(desk, disk)


def assert_durable(desk: Desk, disk: Disk) -> None:
    """Assert that a power cut now takes nothing of what the run reported or archived."""
    left = dict(disk.with_synced_names())
    for name, content in read_tree(desk.disk):
        if name in RECORDS or Path(name).match(f"{OUT}/archive/*/{CHECKPOINT_FILE}"):
            assert left.get(name) == content, name
