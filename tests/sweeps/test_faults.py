"""One operation of a run fails, or is the last one: the files stay true, and can be repaired.

test_kill_sweep.py sweeps the effects of a killed orchestrator on its processes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import Any, Final

import pytest

from fsm_orchestrator.constants import EVENTS_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.engine import invocation
from fsm_orchestrator.engine.enter_stage import EnterStage
from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.processes import table
from fsm_orchestrator.processes.command import TOKEN_VARIABLE
from fsm_orchestrator.record import moving_out
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Outcome
from tests.support.patience import PATIENCE_SECONDS
from tests.support.soak import SOAK
from tests.sweeps.desk import OUT, Desk, Scene, Tree, read_tree
from tests.sweeps.disk_facts import own_failures
from tests.sweeps.fault_disk import (
    BY_ERRNO,
    POINTS_MAX,
    Disk,
    Door,
    Fault,
    Kind,
    PlainRunner,
    Strike,
    assert_durable,
    before_the_step,
    mend_here,
    reads,
    strikes_of,
    through,
    undisturbed,
)
from tests.sweeps.histories import checkpoint_in
from tests.sweeps.mending import at, normalised
from tests.sweeps.scenarios import KEPT_MAX, KEPT_MIN, SCENARIOS, Scenario, whole
from tests.sweeps.truths import assert_truth

ONE_STATE_IN: Final = 1 if SOAK else 8
"""The number of states that a crash may leave, for each that is continued."""
ONE_READ_IN: Final = 1 if SOAK else 3
"""The number of reads for each that fails."""

# The sweeps


@pytest.fixture(autouse=True)
def few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep few invocations in a record: after some resumes the old ones are moved."""
    monkeypatch.setattr(moving_out, "KEPT_MAX", KEPT_MAX)
    monkeypatch.setattr(moving_out, "KEPT_MIN", KEPT_MIN)


class Crash(StrEnum):
    """The state that is left if the world ends before an operation."""

    KILLED = "killed"
    """Everything done before, and half of the current write."""
    CUT_WITH_NAMES = "power cut, names kept"
    CUT = "power cut, names lost"


def left_by(
    crash: Crash, disk: Disk, operation: SystemCall | None, args: Any
) -> Iterator[tuple[Tree, Callable[[], Disk] | None]]:
    """Yield the states that the disk may be in after a crash before an operation.

    With each comes a function that copies the disk in that state; None if all that is left is safe.
    """
    match crash:
        case Crash.KILLED:
            yield read_tree(disk.root), disk.copy
            if operation is SystemCall.WRITE:
                yield disk.torn(*args), partial(disk.copy, args)
        case Crash.CUT_WITH_NAMES:
            yield disk.with_all_names(), None
        case Crash.CUT:
            yield disk.with_synced_names(), None


@contextlib.contextmanager
def booted_again(crash: Crash) -> Iterator[None]:
    """Simulate a machine that has booted again after a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        if crash is not Crash.KILLED:
            patch.setattr(table, "_boot", lambda _: "another boot")
        yield


@contextlib.contextmanager
def noted_starts(desk: Desk) -> Iterator[None]:
    """Make all that follows a stage's start wait until the stage has noted that it runs."""
    told, starts = EnterStage._on_started, desk.starts()

    def on_started(entry: EnterStage, stage: str, pid: int) -> None:
        starts[stage] += 1
        deadline = time.monotonic() + PATIENCE_SECONDS
        while desk.starts() != starts:
            assert time.monotonic() < deadline
        told(entry, stage, pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EnterStage, "_on_started", on_started)
        yield


@pytest.mark.timeout(900)
@pytest.mark.one_in(2)
@pytest.mark.parametrize("crash", Crash)
@pytest.mark.parametrize("name", SCENARIOS)
def test_crash_anywhere_loses_and_repeats_nothing(
    name: str, crash: Crash, desk: Desk, turn: int
) -> None:
    """After an end in mid-work, the files are true and the resume ends as usual.

    The state after a crash is captured before every operation of one run and after the last; then
    each different state is put on the desk and continued: without `SOAK=1` one in eight, drawn by
    the seed.
    """
    scenario = SCENARIOS[name]
    before = before_the_step(scenario, desk)
    door = Door(Disk(desk.disk))
    found: dict[Scene, tuple[str, Disk | None]] = {}
    moments = itertools.count(1)

    def look(operation: SystemCall | None, args: Any) -> None:
        where = f"before operation {next(moments)} ({operation})"
        for tree, copied in left_by(crash, door.disk, operation, args):
            scene = desk.scene(tree)
            if scene not in found:
                found[scene] = (where, None if copied is None else copied())

    door.before = look
    with noted_starts(desk):
        expected = through(door, scenario.step(desk))
    assert isinstance(expected, Report), expected
    look(None, None)
    assert_durable(desk, door.disk)
    for scene, (where, disk) in [*found.items()][turn % ONE_STATE_IN :: ONE_STATE_IN]:
        with at(f"{crash} {where}"), booted_again(crash):
            desk.put(scene)
            if disk is not None:  # what was not synced before the kill is not synced now
                disk.find()
            assert_truth(scenario, desk, before, may_be_torn=crash is not Crash.KILLED)
            mend_here(scenario, desk, before, expected, disk or Disk(desk.disk))
    print(f"{next(moments) - 1} moments, {len(found)} states")  # noqa: T201 - shown on failure


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> frozenset[Kind]:
    """Return the operations of the plainest run, which most others do too."""
    desk = Desk(tmp_path_factory.mktemp("common"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(desk.state))
        patch.setattr(invocation, "ProcessRunner", PlainRunner)
        before_the_step(SCENARIOS["done"], desk)
        door = Door(Disk(desk.disk))
        through(door, whole(desk))
    return frozenset(door.kinds)


@pytest.mark.timeout(3600 if SOAK else 900)
@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", SCENARIOS)
def test_fault_anywhere_is_told_and_mended(
    name: str, desk: Desk, turn: int, common: frozenset[Kind]
) -> None:
    """A run reports each failing operation or is unharmed by it, and its resume repairs it.

    With `SOAK=1` every operation fails, in every way. Otherwise one of each kind does in some
    scenario, in one way, drawn by the seed that pytest-randomly prints at the top.
    """
    scenario = SCENARIOS[name]
    before = before_the_step(scenario, desk)
    door = Door(Disk(desk.disk))
    expected = through(door, scenario.step(desk))
    assert isinstance(expected, Report), expected
    turn += list(SCENARIOS).index(name)
    strikes = strikes_of(door.kinds, door.can_be_short, common, turn)
    for number, fault in strikes:
        desk.put(before)
        door = Door(Disk(desk.disk), fault, number)
        ended = through(door, scenario.step(desk))
        with at(f"{fault} at operation {number} ({door.struck}), which ended in {ended!r:.300}"):
            assert door.struck is not None
            assert_told(desk, before, ended, expected, door)
            assert_truth(scenario, desk, before)
            mend_here(scenario, desk, before, expected, door.disk)
    desk.put(before)
    ended = through(Door(Disk(desk.disk)), scenario.step(desk))
    assert isinstance(ended, Report)
    assert normalised(ended) == normalised(expected)
    print(f"{len(strikes)} faults in {len(door.kinds)} operations")  # noqa: T201 - on failure


def test_every_kind_of_operation_fails() -> None:
    """One operation of each kind fails, of a common one in one of three scenarios or turns.

    Another turn is another operation, and another errno; none is left out permanently.
    """
    once, often = (SystemCall.MKDIR, "out"), (SystemCall.WRITE, "orchestrator_events.jsonl")
    kinds = [once, *[often] * 4, (SystemCall.FSYNC, "out"), (SystemCall.RENAME, "a")]
    short = {2, 3, 4, 5}
    every = {Strike(number, fault) for number in range(1, 8) for fault in BY_ERRNO}
    every |= {Strike(number, Fault.SHORT) for number in short}
    if SOAK:
        assert set(strikes_of(kinds, short, {often}, 5)) == every
        return
    in_turn = [strikes_of(kinds, short, {often}, turn) for turn in range(60)]
    assert set(itertools.chain(*in_turn)) == every
    for three in zip(in_turn, in_turn[1:], in_turn[2:], strict=False):
        struck = [[kinds[number - 1] for number, _ in strikes] for strikes in three]
        assert sorted(itertools.chain(*struck)) == sorted(2 * [often] + 3 * [*{*kinds} - {often}])


def assert_told(
    desk: Desk, before: Scene, ended: Report | OrchestratorError, expected: Report, door: Door
) -> None:
    """Assert that a disturbed run is refused, fails, or ends durably as the undisturbed one."""
    tree = dict(read_tree(desk.disk))
    assert not [name for name in tree if name.endswith(files.TEMPORARY_SUFFIX)]
    for line in (tree.get(f"{OUT}/{EVENTS_FILE}") or b"").splitlines():
        json.loads(line)
    if isinstance(ended, UsageError):
        assert (
            read_tree(desk.disk) == before.tree
        )  # refused: nothing was written, no directory was made
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


@pytest.mark.parametrize("is_resume", [False, True], ids=["run", "resume"])
def test_nothing_starts_beside_a_leftover_whatever_cannot_be_read(
    desk: Desk, turn: int, *, is_resume: bool
) -> None:
    """If a read fails, no stage starts while a process of an earlier attempt lives.

    Without `SOAK=1` one read in three fails, drawn by the seed, and then none.
    """
    interrupted = scene_with_open_attempt(desk)
    scenario = Scenario(whole, is_resume=is_resume)
    for number in range(1 + turn % ONE_READ_IN, POINTS_MAX, ONE_READ_IN):
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
    """Return the scene while the manager's process runs."""
    found: list[Scene] = []
    told = EnterStage._on_started

    def on_started(entry: EnterStage, stage: str, pid: int) -> None:
        found.append(desk.scene())
        told(entry, stage, pid)

    desk.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EnterStage, "_on_started", on_started)
        undisturbed(desk, whole(desk))
    return found[0]


@contextlib.contextmanager
def leftover(desk: Desk) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process with the token of the attempt that is open in the checkpoint."""
    kept = checkpoint_in(desk.out)
    assert kept is not None
    (attempt,) = kept.open_attempts
    env = {TOKEN_VARIABLE: attempt.token}
    with subprocess.Popen(["/bin/sleep", "60"], env=env, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()
