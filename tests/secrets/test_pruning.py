"""Old private files are removed, and none is removed because a clock is wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.private_file import PrivateFile
from tests.support.command import PASSING, checkpoint_of, orchestrate, shell

VALUE = "open-sesame-4711"
STORE = "state/fsm-orchestrator"


def aged_files(store: Path, days_old: Iterable[float]) -> dict[float, str]:
    """Put private files of other runs into the store; return their names by age."""
    store.mkdir(parents=True, exist_ok=True)
    names = {days: f"{number:032x}.json" for number, days in enumerate(days_old)}
    for days, name in names.items():
        at = time.time() - days * 86_400
        (store / name).touch()
        os.utime(store / name, (at, at))
    return names


def own_file_after_a_run(cwd: Path) -> str:
    """Run a stage that fails and has a value to keep; return the name of its private file."""
    options = (*shell("manager", "exit 1"), "--manager-env", f"MODE={VALUE}")
    assert orchestrate("out", *PASSING, *options, cwd=cwd).code == 1
    return f"{checkpoint_of(cwd / 'out')['private_ref']}.json"


def test_old_private_files_are_pruned(tmp_path: Path) -> None:
    """Beyond thirty days or a thousand files the oldest go; the run's own file stays."""
    store = tmp_path / STORE
    young = aged_files(store, [0.001 * number for number in range(1_005)])
    own = own_file_after_a_run(tmp_path)
    left = {path.name for path in store.glob("*.json")}
    assert left == {own, *list(young.values())[:999]}


def test_private_files_are_kept_for_thirty_days(tmp_path: Path) -> None:
    """A resume within thirty days has its values; files of later days prove the time to be over."""
    store = tmp_path / STORE
    names = aged_files(store, (0.1, 1.1, 2.1, 29, 34, 400))
    (store / "not.ours").touch()
    os.utime(store / "not.ours", (0, 0))
    own = own_file_after_a_run(tmp_path)
    kept = {names[days] for days in (0.1, 1.1, 2.1, 29)}
    assert {path.name for path in store.glob("*.json")} == {own} | kept
    assert (store / "not.ours").exists()


@pytest.mark.parametrize("days_ahead", [-20_000, 4_000])
@pytest.mark.parametrize("is_lasting", [False, True])
def test_wrong_clock_takes_no_values_from_other_runs(
    days_ahead: int, is_lasting: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose clock is years off, and one after others of that day, prunes nothing by age."""
    store = tmp_path / STORE
    names = aged_files(store, (0, 1, 2, 5, 29))
    if is_lasting:
        for number in range(100, 110):
            path = store / f"{number:032x}.json"
            path.touch()
            at = time.time() + days_ahead * 86_400 + number
            os.utime(path, (max(0, at), max(0, at)))
            names[number] = path.name
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    wrong = time.time() + days_ahead * 86_400
    monkeypatch.setattr(time, "time", lambda: wrong)
    ref = private_file.new_private_ref()
    kept = PrivateFile(run_id="r", digest_key="0" * 64, keeps_secrets=False, stages={})
    private_file.save(ref, kept.model_dump_json().encode(), tmp_path / "out")
    assert {path.name for path in store.glob("*.json")} == {f"{ref}.json", *names.values()}
