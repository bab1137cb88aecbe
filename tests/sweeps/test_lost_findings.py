"""The findings of the sweep of power cuts: each tested again, without randomness."""

from __future__ import annotations

import json

import pytest

from fsm_orchestrator.disk import archive, files, moving
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.processes import table
from tests.support.command import CHECKPOINT, REPORT
from tests.sweeps.desk import EARLIER, OUT, Desk
from tests.sweeps.fault_disk import Disk, Door, before_the_step, mend_here, through, undisturbed
from tests.sweeps.scenarios import SCENARIOS, whole
from tests.sweeps.truths import assert_truth


@pytest.mark.parametrize("name", ["done", "blocked", "resumed", "moving old ones"])
def test_report_that_is_ahead_by_the_way_to_the_gates(
    name: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the report of an invocation reached the disk: the record continues without it."""
    scenario = SCENARIOS[name]
    before = before_the_step(scenario, desk)
    number = 1 + (len(dict(before.tree)) > 1) * (1 + scenario.resumes)
    found: list[bytes] = []

    def look(operation: SystemCall, args: object) -> None:
        del operation, args
        path = desk.out / REPORT
        told = json.loads(path.read_bytes()) if path.exists() else {}
        if [one["dest"] for one in told.get("transitions", ())] == ["gating"]:
            found.append(path.read_bytes())

    door = Door(Disk(desk.disk))
    door.before = look
    expected = through(door, scenario.step(desk))
    assert not isinstance(expected, OrchestratorError), expected
    scene = desk.scene()
    tree = {**dict(before.tree), OUT: None, f"{OUT}/{REPORT}": found[0]}
    desk.put(type(scene)(tuple(sorted(tree.items())), before.notes, before.artifact, scene.home))
    assert json.loads(found[0])["current_state"] == "gating"
    assert number == 1 or (desk.out / CHECKPOINT).exists()
    assert_truth(scenario, desk, before, may_be_early=True)
    with pytest.raises(AssertionError):
        assert_truth(scenario, desk, before, may_be_torn=True)
    monkeypatch.setattr(
        table, "_boot", lambda _: "another boot"
    )  # only a power cut leaves that state
    mend_here(scenario, desk, before, expected, Disk(desk.disk))


def test_checkpoint_is_archived_once_the_rest_is_durable(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a cut may undo only the other moves, and the owner of those files is unknown."""
    desk.clear()
    undisturbed(desk, whole(desk, run_id=EARLIER))
    order: list[str] = []
    move, sync = moving.move, files.sync

    def noted_move(name: str, *places: HeldDirectory) -> None:
        order.append(name)
        move(name, *places)

    def noted_sync(descriptor: int) -> None:
        order.append("sync")
        sync(descriptor)

    monkeypatch.setattr(moving, "move", noted_move)
    monkeypatch.setattr(files, "sync", noted_sync)
    undisturbed(desk, whole(desk))
    at = order.index(CHECKPOINT)
    moved = [one for one in order[: at - 1] if one != "sync"]
    assert {REPORT, "logs"} < set(moved)
    assert order[at - 1] == "sync"
    assert archive.archived_run_ids(desk.out) == {EARLIER}
