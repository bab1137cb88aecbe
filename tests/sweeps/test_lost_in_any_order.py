"""Power cuts that lose unsynced data in any order of files: what was promised stays.

The operations of one run are recorded at the door. Between any two of them a disk is made that has
all that was synced, and a random part of the rest: a name old or new, of the written data nothing,
all, a part, or a part with a hole. Each is continued.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.errors import OrchestratorError, ReportError
from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.record.checkpoint import Checkpoint
from tests.support.command import EVENTS
from tests.support.soak import SOAK
from tests.sweeps.desk import EARLIER, OUT, Desk, Scene, Tree, read_tree
from tests.sweeps.fault_disk import (
    Directory,
    Disk,
    Door,
    File,
    before_the_step,
    mend_here,
    through,
)
from tests.sweeps.histories import checkpoint_in
from tests.sweeps.mending import at
from tests.sweeps.scenarios import SCENARIOS
from tests.sweeps.test_faults import Crash, booted_again, noted_starts
from tests.sweeps.truths import assert_truth

DRAWS: Final = 12 if SOAK else 2
"""The number of disks that are made for each moment."""
TAKEN: Final = 200 if SOAK else 12
"""The number of different disks that are continued."""
HOLE_BYTES: Final = 512
READERS: Final = (
    *(("status",), ("explain",), ("logs",), ("report",), ("plan", "--resume")),
    ("report", "--html", os.devnull),
)
"""The additional commands that look with `SOAK=1`."""

Node = File | Directory


def drawn(disk: Disk, lots: random.Random) -> Tree:
    """Return one disk that a power cut may leave.

    A move from one directory to another is one step of the file system: what was moved is in
    either, never in both or in none.
    """
    root = disk.node_of(disk.root)
    assert isinstance(root, Directory)
    now = dict(_names_now(disk, disk.root, root))
    before = dict[Node, list[Directory]]()
    for directory in now:
        for node in directory.synced.values():
            before.setdefault(node, []).append(directory)
    moved = dict[Node, Directory]()
    for directory, names in now.items():
        for node in names.values():
            was = before.get(node, [directory])
            if was != [directory]:
                moved[node] = directory if directory in was else lots.choice([directory, *was])
    return tuple(sorted(_entries(root, "", lots, now, moved)))


def _names_now(
    disk: Disk, path: Path, directory: Directory
) -> Iterator[tuple[Directory, dict[str, Node]]]:
    """Yield each existing directory, with its current content."""
    names = {one.name: disk.node_of(one) for one in sorted(path.iterdir())}
    yield directory, names
    for name, node in names.items():
        if isinstance(node, Directory):
            yield from _names_now(disk, path / name, node)


def _entries(
    directory: Directory,
    above: str,
    lots: random.Random,
    now: Mapping[Directory, Mapping[str, Node]],
    moved: Mapping[Node, Directory],
) -> Iterator[tuple[str, bytes | None]]:
    """Yield each name as synced or current, with its target in either state.

    `moved`: the place after the cut of what was moved to another directory.
    """
    names = now.get(directory, {})
    for name in sorted({*names, *directory.synced}):
        both = [directory.synced.get(name), names.get(name)]
        settled = [one for one in both if one is not None and moved.get(one) is directory]
        free = [None if one in moved else one for one in both]
        node = settled[0] if settled else lots.choice(free)
        if isinstance(node, File):
            yield above + name, _content(node, lots)
        elif node is not None:
            yield above + name, None
            yield from _entries(node, f"{above}{name}/", lots, now, moved)


def _content(file: File, lots: random.Random) -> bytes:
    """Return the synced content of a file, and some of what was written since."""
    if file.now == file.synced or not file.now.startswith(file.synced):
        return lots.choice([file.now, file.synced])
    kept, rest = len(file.synced), len(file.now) - len(file.synced)
    cut = file.now[: kept + lots.randint(0, rest)]
    hole = cut[:kept] + bytes(min(HOLE_BYTES, len(cut) - kept)) + cut[kept + HOLE_BYTES :]
    return lots.choice([file.synced, file.now, cut, hole])


@pytest.mark.one_in(2)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCENARIOS)
def test_power_cut_that_keeps_any_of_what_was_not_synced(name: str, desk: Desk, turn: int) -> None:
    """No durable fact is lost, no other one is believed, and the resume ends well.

    The random choices follow from the seed that pytest-randomly prints at the top.
    """
    lots = random.Random(turn)  # noqa: S311 - no secret
    scenario = SCENARIOS[name]
    before = before_the_step(scenario, desk)
    door = Door(Disk(desk.disk))
    found: dict[Scene, str] = {}
    durable: dict[Scene, frozenset[str]] = {}
    moment = 0

    def look(operation: SystemCall | None, args: Any) -> None:
        nonlocal moment
        del args
        moment += 1
        complete = promised(door.disk)
        for _ in range(DRAWS):
            scene = desk.scene(drawn(door.disk, lots))
            found.setdefault(scene, f"before operation {moment} ({operation})")
            durable[scene] = durable.get(scene, frozenset()) | complete

    door.before = look
    with noted_starts(desk):
        expected = through(door, scenario.step(desk))
    assert not isinstance(expected, OrchestratorError), expected
    look(None, None)
    assert promised(door.disk) == {one.stage for one in _kept(desk).completions}
    for scene in lots.sample(list(found), min(TAKEN, len(found))):
        with at(found[scene]), booted_again(Crash.CUT):
            desk.put(scene)
            assert_truth(scenario, desk, before, may_be_torn=True, may_be_early=True)
            kept = checkpoint_in(desk.out)
            complete = set() if kept is None else {one.stage for one in kept.completions}
            assert durable[scene] <= complete
            assert_told(desk)
            mend_here(scenario, desk, before, expected, Disk(desk.disk))


def assert_told(desk: Desk) -> None:
    """Assert that every reader sees what a resume would find, and what is wrong with it."""
    tree = read_tree(desk.disk)
    kept = checkpoint_in(desk.out)
    try:
        view = inspect_run(desk.out)
    except ReportError:
        assert kept is None
    else:
        assert (view.checkpoint is None) is (kept is None)
        assert kept is not None or (view.trouble and not view.report.closure_ready)
        assert kept is None or view.report.current_state == kept.current_state
        assert view.saved is None or view.saved.rebuilt is None or view.trouble
    for words in READERS if SOAK and desk.out.is_dir() else ():
        assert run_command_line([*words, str(desk.out)]) in {0, 1}, words
    assert read_tree(desk.disk) == tree


def _kept(desk: Desk) -> Checkpoint:
    kept = checkpoint_in(desk.out)
    assert kept is not None
    return kept


def promised(disk: Disk) -> frozenset[str]:
    """Return the stages whose success was synced with the transition that it caused."""
    events = dict(disk.with_synced_names()).get(f"{OUT}/{EVENTS}") or b""
    if f'"run_id": "{EARLIER}"'.encode() in events:  # not the run that is disturbed
        return frozenset()
    steps = [line for line in events.splitlines() if b'"event": "transition"' in line]
    return frozenset(
        stage
        for stage in ("manager", "executor")
        for line in steps
        if f'"trigger":"stage_succeeded","source":"{stage}"'.encode() in line
        and (b'"dest":"done"' not in line or events.count(b'"event": "run.ended"'))
    )
