"""Power cuts that take what was not synced in any order of files: what was promised stays.

The operations of one run are recorded at the door. For a moment between any two of them a disk is
made that has all that was synced, and of the rest whatever the lot decides: a name old or new, of
what was written nothing, all, a part, or a part with a hole. Each is gone on with.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.errors import OrchestratorError
from tests.support.command import CHECKPOINT, EVENTS
from tests.sweeps.fault_disk import (
    Directory,
    Disk,
    Door,
    File,
    before_the_step,
    mend_here,
    through,
)
from tests.sweeps.faults import (
    EARLIER,
    OUT,
    SCENARIOS,
    SOAK,
    Desk,
    Scene,
    Tree,
    assert_truth,
    at,
)
from tests.sweeps.histories import checkpoint_in
from tests.sweeps.test_faults import noted_starts

DRAWS: Final = 12 if SOAK else 2
"""How many disks are made for each moment."""
TAKEN: Final = 200 if SOAK else 30
"""How many of the different ones are gone on with."""
HOLE_BYTES: Final = 512


def drawn(disk: Disk, lots: random.Random, *, is_archiving: bool) -> Tree:
    """One disk that a power cut may leave.

    `is_archiving`: whether names move between directories. Such a move is one step of the file
    system, which loses no file: all names are then old, or all new.
    """
    which = [lots.choice([0, 1])] if is_archiving else [0, 1]
    root = disk.node_of(disk.root)
    assert isinstance(root, Directory)
    return tuple(sorted(_entries(disk, disk.root, root, "", lots, which)))


def _entries(
    disk: Disk, path: Path, directory: Directory, above: str, lots: random.Random, which: list[int]
) -> Iterator[tuple[str, bytes | None]]:
    """Each name as it was synced, or as it is now; what it leads to likewise."""
    now = {one.name: disk.node_of(one) for one in path.iterdir()} if path.is_dir() else {}
    for name in sorted({*now, *directory.synced}):
        nodes = [now.get(name), directory.synced.get(name)]
        node = nodes[lots.choice(which)]
        if isinstance(node, File):
            yield above + name, _content(node, lots)
        elif node is not None:
            yield above + name, None
            yield from _entries(disk, path / name, node, f"{above}{name}/", lots, which)


def _content(file: File, lots: random.Random) -> bytes:
    """What was synced of a file, and some of what was written since."""
    if file.now == file.synced or not file.now.startswith(file.synced):
        return lots.choice([file.now, file.synced])
    kept, rest = len(file.synced), len(file.now) - len(file.synced)
    cut = file.now[: kept + lots.randint(0, rest)]
    hole = cut[:kept] + bytes(min(HOLE_BYTES, len(cut) - kept)) + cut[kept + HOLE_BYTES :]
    return lots.choice([file.synced, file.now, cut, hole])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCENARIOS)
def test_power_cut_that_keeps_any_of_what_was_not_synced(
    name: str, desk: Desk, request: pytest.FixtureRequest
) -> None:
    """Nothing that was durable is lost, nothing that was not is believed, and the resume ends well.

    The lots follow from the seed that pytest-randomly says at the top.
    """
    lots = random.Random(int(request.config.getoption("randomly_seed", 0)))  # noqa: S311 - no secret
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
            scene = desk.scene(drawn(door.disk, lots, is_archiving=name == "archiving"))
            found.setdefault(scene, f"before operation {moment} ({operation})")
            durable.setdefault(scene, complete)

    door.before = look
    with noted_starts(desk):
        expected = through(door, scenario.step(desk))
    assert not isinstance(expected, OrchestratorError), expected
    look(None, None)
    for scene in lots.sample(list(found), min(TAKEN, len(found))):
        with at(found[scene]):
            desk.put(scene)
            assert_truth(scenario, desk, before, may_be_early=True)
            kept = checkpoint_in(desk.out)
            complete = set() if kept is None else {one.stage for one in kept.completions}
            assert durable[scene] <= complete
            mend_here(scenario, desk, before, expected, Disk(desk.disk))


def promised(disk: Disk) -> frozenset[str]:
    """The stages whose success was synced, with the transition that it brought."""
    left = dict(disk.with_synced_names())
    events, checkpoint = (left.get(f"{OUT}/{name}") or b"" for name in (EVENTS, CHECKPOINT))
    if EARLIER.encode() in checkpoint + events:  # not the run that is disturbed
        return frozenset()
    steps = [line for line in events.splitlines() if b'"event": "transition"' in line]
    return frozenset(
        stage
        for stage in ("manager", "executor")
        for line in steps
        if f'"trigger": "stage_succeeded", "source": "{stage}"'.encode() in line
        and (b'"dest": "done"' not in line or events.count(b'"event": "run.ended"'))
    )
