"""One operation of a run fails, or is the last one: what is on disk stays true, and can be mended.

Every system call that durability is made of goes through `files.perform`. The sweeps stand in
front of that door: they fail the first call, the second, the third …, until a run passes
untouched, or end the world there. What an orchestrator that is killed does to its processes is
swept in test_kill_sweep.py.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import itertools
import json
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import RunConfig, run
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.engine import invocation
from fsm_orchestrator.engine.enter_stage import EnterStage
from fsm_orchestrator.errors import InternalError, OrchestratorError, UsageError
from fsm_orchestrator.model.endings import Exited
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.command import TOKEN_VARIABLE, Command
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.keeper_pool import KeeperPool
from fsm_orchestrator.processes.runner import Observer, OutputReader, ProcessReport, ProcessRunner
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import CHECKPOINT_FILE, EVENTS_FILE, REPORT_FILE, Outcome
from tests.support.patience import PATIENCE_SECONDS
from tests.sweeps.faults import (
    OUT,
    SCENARIOS,
    SOAK,
    Desk,
    Scenario,
    Scene,
    Tree,
    assert_truth,
    at,
    checkpoint_in,
    mend,
    normalised,
    own_failures,
    read_tree,
    whole,
)

MEMORY: Final = "/dev/shm"
POINTS_MAX: Final = 500
STRIDE: Final = 1 if SOAK else 3
"""Of the faults that are told apart by their errno alone, each is put at every third point."""
RECORDS: Final = [f"{OUT}/{name}" for name in (CHECKPOINT_FILE, REPORT_FILE, EVENTS_FILE)]


# A disk whose power is cut


@dataclass(eq=False, slots=True)
class File:
    """A file: what has been written to it through the door, and what of that was synced."""

    now: bytes = b""
    synced: bytes = b""


@dataclass(eq=False, slots=True)
class Directory:
    """A directory: its entries as of the last sync."""

    synced: dict[str, File | Directory] = field(default_factory=dict)


class Disk:
    """Does what goes through the door, and knows what of it a power cut would leave.

    Content is safe once the file was synced, an entry once its directory was; nothing else is.
    Nothing is really synced, for nobody cuts the power.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._nodes: dict[int, File | Directory] = {}
        self._paths: dict[int, Path] = {}
        self._by_name: dict[Path, File | Directory] = {}
        self._add_present(root)

    def copy(self) -> Disk:
        """The disk as it is, to be `found` again later."""
        self._by_name = {
            path.relative_to(self.root): self._nodes[path.stat().st_ino]
            for path in (self.root, *self.root.rglob("*"))
        }
        return copy.deepcopy(self)

    def find(self) -> None:
        """Go on with files that were put back as they were when this copy was made."""
        self._nodes = {
            (self.root / name).stat().st_ino: node for name, node in self._by_name.items()
        }

    def perform(self, operation: SystemCall, call: Callable[..., Any], args: Any) -> Any:
        """Do it."""
        match operation:
            case SystemCall.FSYNC:
                return self._sync(args[0])
            case SystemCall.OPEN:
                is_new = not os.path.lexists(args[0])
                descriptor = call(*args)
                self._paths[descriptor] = args[0]
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
                gone = args[-1]
                inode = os.lstat(gone).st_ino if os.path.lexists(gone) else None
                call(*args)
                if inode is not None:  # its number is the next file's
                    del self._nodes[inode]
            case SystemCall.MKDIR:
                call(*args)
                self._nodes[os.stat(args[0]).st_ino] = Directory()
            case _:
                return call(*args)
        return None

    def torn(self, descriptor: int, data: bytes) -> Tree:
        """What is there when a write ends half-way."""
        written = str(self._paths[descriptor].relative_to(self.root))
        half = data[: len(data) // 2]
        return tuple(
            (name, (content or b"") + half if name == written else content)
            for name, content in read_tree(self.root)
        )

    def with_all_names(self) -> Tree:
        """What a cut leaves when every entry got to the disk, but only synced content did."""
        return tuple(
            (str(path.relative_to(self.root)), None if path.is_dir() else self._synced(path))
            for path in sorted(self.root.rglob("*"))
        )

    def with_synced_names(self) -> Tree:
        """What a cut leaves when nothing got to the disk but what was synced."""
        root = self._nodes[self.root.stat().st_ino]
        assert isinstance(root, Directory)
        return tuple(sorted(_flat(root, "")))

    def _add_present(self, path: Path) -> File | Directory:
        """What is there when the world begins is safe."""
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


def _flat(directory: Directory, above: str) -> Iterator[tuple[str, bytes | None]]:
    for name, node in directory.synced.items():
        if isinstance(node, File):
            yield above + name, node.synced
        else:
            yield above + name, None
            yield from _flat(node, f"{above}{name}/")


# The door


class Fault(StrEnum):
    """How one operation fails."""

    FULL = "ENOSPC"
    BROKEN = "EIO"
    FORBIDDEN = "EACCES"
    READ_ONLY = "EROFS"
    SHORT = "short write"


Choice = Callable[[SystemCall, Any], bool]
"""Which operations count, by what they are and their arguments."""


class Door:
    """Stands in for `files.perform`: lets the operation of some number fail, if it is told so."""

    def __init__(
        self,
        disk: Disk,
        fault: Fault | None = None,
        number: int = 0,
        counts: Choice = lambda *_: True,
    ) -> None:
        self.disk = disk
        self.struck: SystemCall | None = None
        self.before: Callable[[SystemCall, Any], None] | None = None
        self._fault = fault
        self._left = number
        self._counts = can_be_short if fault is Fault.SHORT else counts

    def perform(self, operation: SystemCall, call: Callable[..., Any], *args: Any) -> Any:
        """What `files.perform` does, or not."""
        if self.before is not None:
            self.before(operation, args)
        if self._counts(operation, args):
            self._left -= 1
            if self._left == 0:
                self.struck = operation
                return self._fail(operation, call, args)
        return self.disk.perform(operation, call, args)

    def _fail(self, operation: SystemCall, call: Callable[..., Any], args: Any) -> Any:
        if self._fault is Fault.SHORT:
            descriptor, data = args
            return self.disk.perform(operation, call, (descriptor, data[: len(data) // 2]))
        number: int = getattr(errno, str(self._fault))
        raise OSError(number, os.strerror(number))


def can_be_short(operation: SystemCall, args: Any) -> bool:
    """Whether it is a write of which only a part can be done."""
    return operation is SystemCall.WRITE and len(args[1]) > 1


def reads(operation: SystemCall, args: Any) -> bool:
    """Whether it is there to read a file."""
    is_for_reading = operation is SystemCall.OPEN and not args[1] & (os.O_RDWR | os.O_WRONLY)
    return operation is SystemCall.READ or is_for_reading


class PlainRunner(ProcessRunner):
    """Starts a stage as a child, and waits.

    A run then takes half the time, and what is done to files is none of the keeper's business.
    """

    def __init__(self, interrupts: Interrupts, *, keepers: KeeperPool | None = None) -> None:
        super().__init__(interrupts, may_keep=False, keepers=keepers)

    @property
    def unable(self) -> str:
        """Nothing to be warned of: what a run warns of is compared."""
        return ""

    def run(
        self,
        command: Command,
        limits: Limits,
        observer: Observer,
        reader: OutputReader | None = None,
    ) -> ProcessReport:
        """Run a stage that ends by itself."""
        del limits, reader
        with subprocess.Popen(
            [command.command, *command.args],
            cwd=command.cwd,
            env=command.env,
            stdout=command.stdout,
            stderr=command.stderr,
        ) as process:
            observer.started(process.pid)
            return ProcessReport(Exited(process.wait()))


@pytest.fixture(name="desk")
def own_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk with private state of its own, in memory where that can be: no disk is to be worn."""
    with contextlib.ExitStack() as stack:
        root = tmp_path
        if os.access(MEMORY, os.W_OK):
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY)))
        desk = Desk(root)
        monkeypatch.setenv("XDG_STATE_HOME", str(desk.state))
        if not SOAK:
            monkeypatch.setattr(invocation, "ProcessRunner", PlainRunner)
        yield desk


def through(door: Door, config: RunConfig) -> Report | OrchestratorError:
    """Run through a door; the report, or why there is none. A bug of ours fails the test."""
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
    """The scene that the scenario's invocation begins with."""
    desk.clear()
    if scenario.before is not None:
        undisturbed(desk, scenario.before(desk))
    return desk.scene()


def mend_here(scenario: Scenario, desk: Desk, before: Scene, expected: Report, disk: Disk) -> None:
    """Mend it, and as durably, whatever the disturbed run had left unsynced."""
    mend(scenario, desk, before, expected, lambda config: through(Door(disk), config))
    assert_durable(desk, disk)


# The sweeps


class Crash(StrEnum):
    """What is left when the world ends before an operation."""

    KILLED = "killed"
    """All that was done, and the half of what was being written."""
    CUT_WITH_NAMES = "power cut, names kept"
    CUT = "power cut, names lost"


def left_by(crash: Crash, disk: Disk, operation: SystemCall | None, args: Any) -> Iterator[Tree]:
    """The states that the disk may be found in after a crash before an operation."""
    match crash:
        case Crash.KILLED:
            yield read_tree(disk.root)
            if operation is SystemCall.WRITE:
                yield disk.torn(*args)
        case Crash.CUT_WITH_NAMES:
            yield disk.with_all_names()
        case Crash.CUT:
            yield disk.with_synced_names()


@contextlib.contextmanager
def noted_starts(desk: Desk) -> Iterator[None]:
    """Whatever follows the start of a stage waits until the stage has noted that it runs."""
    told, starts = EnterStage._on_started, desk.starts()

    def on_started(entry: EnterStage, pid: int) -> None:
        assert entry._recorder.draft.open_attempt is not None
        starts[entry._recorder.draft.open_attempt.stage] += 1
        deadline = time.monotonic() + PATIENCE_SECONDS
        while desk.starts() != starts:
            assert time.monotonic() < deadline
        told(entry, pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EnterStage, "_on_started", on_started)
        yield


@pytest.mark.timeout(900)
@pytest.mark.parametrize("crash", Crash)
@pytest.mark.parametrize("name", SCENARIOS)
def test_crash_anywhere_loses_and_repeats_nothing(name: str, crash: Crash, desk: Desk) -> None:
    """Whenever a run ends in mid-work, what is left of it is true and its resume ends as it would.

    What a crash would leave is looked at before every operation of one run and after the last;
    then each different state is put on the desk and gone on with.
    """
    scenario = SCENARIOS[name]
    before = before_the_step(scenario, desk)
    door = Door(Disk(desk.disk))
    found: dict[Scene, tuple[str, Disk | None]] = {}
    moments = itertools.count(1)

    def look(operation: SystemCall | None, args: Any) -> None:
        where = f"before operation {next(moments)} ({operation})"
        for tree in left_by(crash, door.disk, operation, args):
            scene = desk.scene(tree)
            if scene not in found:
                found[scene] = (where, door.disk.copy() if crash is Crash.KILLED else None)

    door.before = look
    with noted_starts(desk):
        expected = through(door, scenario.step(desk))
    assert isinstance(expected, Report), expected
    look(None, None)
    assert_durable(desk, door.disk)
    for scene, (where, disk) in found.items():
        with at(f"{crash} {where}"):
            desk.put(scene)
            if disk is not None:  # what was not synced before the kill is not synced now
                disk.find()
            assert_truth(scenario, desk, before)
            mend_here(scenario, desk, before, expected, disk or Disk(desk.disk))
    print(f"{next(moments) - 1} moments, {len(found)} states")  # noqa: T201 - shown on failure


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("name", SCENARIOS)
def test_fault_anywhere_is_told_and_mended(
    name: str, fault: Fault, desk: Desk, request: pytest.FixtureRequest
) -> None:
    """Whichever operation fails, the run says so or has no harm of it, and its resume mends it.

    Each of EIO, EACCES and EROFS begins at another operation: together they take all of them.
    Where they begin follows from the seed that pytest-randomly says at the top.
    """
    shift = int(request.config.getoption("randomly_seed", 0))
    scenario = SCENARIOS[name]
    before = before_the_step(scenario, desk)
    expected = undisturbed(desk, scenario.step(desk))
    stride = 1 if fault is Fault.FULL else STRIDE
    first = 1 + (shift + list(Fault).index(fault) + list(SCENARIOS).index(name)) % stride
    for number in range(first, POINTS_MAX, stride):
        desk.put(before)
        door = Door(Disk(desk.disk), fault, number)
        ended = through(door, scenario.step(desk))
        with at(f"{fault} at operation {number} ({door.struck}), which ended in {ended!r:.300}"):
            if door.struck is None:
                assert number > 1
                assert isinstance(ended, Report)
                assert normalised(ended) == normalised(expected)
                print(f"at every {stride}. from {first} to {number - 1}")  # noqa: T201 - likewise
                return
            assert_told(desk, before, ended, expected, door)
            assert_truth(scenario, desk, before)
            mend_here(scenario, desk, before, expected, door.disk)
    pytest.fail("the sweep does not come to an end")


def assert_told(
    desk: Desk, before: Scene, ended: Report | OrchestratorError, expected: Report, door: Door
) -> None:
    """A disturbed run is refused, fails, or ends like the undisturbed one and is as durable."""
    tree = dict(read_tree(desk.disk))
    assert not [name for name in tree if name.endswith(files.TEMPORARY_SUFFIX)]
    for line in (tree.get(f"{OUT}/{EVENTS_FILE}") or b"").splitlines():
        json.loads(line)
    if isinstance(ended, UsageError):
        assert read_tree(desk.disk) == before.tree  # refused: nothing written, no directory made
    elif isinstance(ended, Report) and not own_failures(ended):
        without = {"warnings": ()}  # it may have warned of the fault
        assert normalised(ended) | without == normalised(expected) | without
        assert_durable(desk, door.disk)
    elif isinstance(ended, Report):
        assert ended.exit_code == 1
        assert not ended.closure_ready
        if ended.terminal_state is not Outcome.DONE:  # it was done before, and stays so
            kept = checkpoint_in(desk.out)
            assert kept is None or kept.current_state != "done"


def assert_durable(desk: Desk, disk: Disk) -> None:
    """A power cut now takes nothing of what the run has told, or of what it has archived."""
    left = dict(disk.with_synced_names())
    for name, content in read_tree(desk.disk):
        if name in RECORDS or Path(name).match(f"{OUT}/archive/*/{CHECKPOINT_FILE}"):
            assert left.get(name) == content, name


@pytest.mark.parametrize("is_resume", [False, True], ids=["run", "resume"])
def test_nothing_starts_beside_a_leftover_whatever_cannot_be_read(
    desk: Desk, *, is_resume: bool
) -> None:
    """Whichever read fails, no stage is started while a process of an earlier attempt lives."""
    interrupted = scene_with_open_attempt(desk)
    scenario = Scenario(whole, is_resume=is_resume)
    for number in range(1, POINTS_MAX):
        desk.put(interrupted)
        starts = desk.starts()
        door = Door(Disk(desk.disk), Fault.BROKEN, number, reads)
        with leftover(desk) as process, at(f"{Fault.BROKEN} at read {number}"):
            ended = through(door, scenario.step(desk))
            assert desk.starts() == starts or process.poll() is not None, ended
        if door.struck is None:
            assert isinstance(ended, Report)
            assert ended.closure_ready
            return
    pytest.fail("the sweep does not come to an end")


def scene_with_open_attempt(desk: Desk) -> Scene:
    """What is there while the manager's process runs."""
    found: list[Scene] = []
    told = EnterStage._on_started

    def on_started(entry: EnterStage, pid: int) -> None:
        found.append(desk.scene())
        told(entry, pid)

    desk.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EnterStage, "_on_started", on_started)
        undisturbed(desk, whole(desk))
    return found[0]


@contextlib.contextmanager
def leftover(desk: Desk) -> Iterator[subprocess.Popen[bytes]]:
    """A process that bears the token of the attempt that is open in the checkpoint."""
    kept = checkpoint_in(desk.out)
    assert kept is not None
    assert kept.open_attempt is not None
    env = {TOKEN_VARIABLE: kept.open_attempt.token}
    with subprocess.Popen(["/bin/sleep", "60"], env=env, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()
