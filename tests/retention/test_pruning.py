"""Archived runs are removed as a whole or not at all, and nothing else ever is."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import RunConfig, load_report, run
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.retention import contents as contents_of_runs
from fsm_orchestrator.retention.archived import archived_runs, size_of
from fsm_orchestrator.retention.pruning import Bounds, before_now, output_directories, prune
from tests.retention.conftest import contents
from tests.support.command import orchestrate
from tests.support.killed_at import killed_at

NOW = datetime.now(UTC) + timedelta(days=1)
STEPS_MAX = 200


@pytest.fixture(name="out")
def own_copy(kept: Path, tmp_path: Path) -> Path:
    """Return a copy of the directory with archived runs."""
    return Path(shutil.copytree(kept, tmp_path / "runs" / "out", symlinks=True))


def names(output: Path) -> list[str]:
    """Return the archived runs, the latest first."""
    return [one.name for one in archived_runs(output)]


def aged(output: Path, name: str, days: int) -> None:
    """Make an archived run have ended some days before `NOW`."""
    path = output / "archive" / name / "orchestrator_run_report.json"
    report = json.loads(path.read_text())
    at = (NOW - timedelta(days=days)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for one in report["transitions"]:
        one["at"] = at
    path.write_text(json.dumps(report))


def test_list_says_how_runs_stood_and_what_they_take(kept: Path) -> None:
    """The latest run comes first, and artifacts count in the size."""
    latest, first = archived_runs(kept)
    assert [(one.name, one.run_id, one.standing) for one in (latest, first)] == [
        ("r2", "r2", "done"),
        ("r1", "r1", "done"),
    ]
    assert first.ended_at < latest.ended_at
    assert first.size_bytes == size_of(kept / "archive" / "r1")
    assert first.size_bytes >= sum(
        (kept / "archive" / "r1" / one).stat().st_size for one in contents(kept / "archive" / "r1")
    )


@pytest.mark.parametrize(
    ("keep", "older_than_days", "gone"),
    [
        (2, None, set()),
        (1, None, {"r1"}),
        (0, None, {"r1", "r2"}),
        (None, 30, {"r1"}),
        (None, 3, {"r1", "r2"}),
        (1, 3, {"r1"}),
        (0, 30, {"r1"}),
        (2, 3, set()),
    ],
)
def test_what_both_bounds_give_up_is_removed(
    out: Path, keep: int | None, older_than_days: int | None, gone: set[str]
) -> None:
    """A run that both bounds give up is removed; a dry run reports the same and does nothing."""
    aged(out, "r1", 40)
    aged(out, "r2", 10)
    ms = None if older_than_days is None else older_than_days * 86_400_000
    bounds = Bounds(keep, before_now(NOW, ms))
    tried = prune((out,), bounds, is_dry_run=True)
    assert set(names(out)) == {"r1", "r2"}
    done = prune((out,), bounds, is_dry_run=False)
    assert done.model_copy(update={"is_dry_run": True}) == tried
    assert {one.run.name for one in done.runs if one.left is None} == gone
    assert set(names(out)) == {"r1", "r2"} - gone
    assert done.kept == 2 - len(gone)
    assert done.freed_bytes == sum(one.run.size_bytes for one in done.runs)
    assert contents(out)


def test_what_is_not_a_runs_own_stays_and_its_run_with_it(out: Path, tmp_path: Path) -> None:
    """Foreign files, links and directories without a run stay, and are reported."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    place = out / "archive"
    shutil.copytree(place / "r1", place / "linked")
    shutil.copytree(place / "r1", place / "odd")
    shutil.rmtree(place / "linked" / "logs")
    (place / "linked" / "logs").symlink_to(elsewhere)
    (place / "odd" / "logs" / "notes").write_text("mine")
    (place / "link").symlink_to(elsewhere)
    (place / "mine").mkdir()
    (place / "mine" / "file").write_text("mine")
    (place / "r2" / "manager" / "notes.txt").write_text("mine")
    done = prune((out,), Bounds(0, None), is_dry_run=False)
    left = {one.run.name: one.left for one in done.runs if one.left is not None}
    assert left.keys() == {"linked", "odd", "mine", "r2"}
    assert left["mine"] == "no run of this program has left it"
    assert "logs is not the run's" in (left["linked"] or "")
    assert "notes.txt is not the run's" in (left["r2"] or "")
    assert (elsewhere / "precious").read_text() == "mine"
    assert sorted(os.listdir(place)) == ["link", "linked", "mine", "odd", "r2"]


def test_run_with_something_mounted_in_it_is_left(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the kernel's list shows a mount of the same file system, so that list is read."""
    listed = out.parent / "mountinfo"
    place = f"{os.path.realpath(out)}/archive/r1/manager/a dir".replace(" ", "\\040")
    listed.write_text(f"29 1 8:1 / / rw - ext4 /dev/sda1 rw\n41 29 8:1 /x {place} rw - ext4 x rw\n")
    monkeypatch.setattr(contents_of_runs, "_MOUNTS", listed)
    done = prune((out,), Bounds(0, None), is_dry_run=False)
    left = {one.run.name: one.left for one in done.runs}
    assert left["r2"] is None
    assert "something is mounted at " in (left["r1"] or "")
    assert names(out) == ["r1"]


def test_every_kill_leaves_each_run_whole_or_gone(out: Path) -> None:
    """The rest of a killed prune has a name that no run has, and the next prune removes it."""
    place = out / "archive"
    shutil.rmtree(place / "r2")
    template, before = (
        shutil.copytree(place / "r1", out.parent / "template"),
        contents(place / "r1"),
    )
    os.chmod(shutil.copytree(template, place / "shut") / "logs", 0o500)
    shutil.copytree(place / "shut", out.parent / "shut")

    def prune_all() -> None:
        prune((out,), Bounds(0, None), is_dry_run=False)

    number = 1
    while killed_at(number, prune_all):
        assert number < STEPS_MAX
        for name in names(out):
            assert contents(place / name) == before, (number, name)
        prune_all()
        assert os.listdir(place) == []
        shutil.copytree(template, place / "r1")
        shutil.copytree(out.parent / "shut", place / "shut")
        number += 1
    assert number > 15
    assert os.listdir(place) == []


def test_link_put_in_a_shut_directorys_place_changes_nothing_elsewhere(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that appears between check and removal is not followed, and its target stays."""
    elsewhere, shut = tmp_path / "elsewhere", out / "archive" / ".removing.r1"
    elsewhere.mkdir(mode=0o500)
    os.rename(out / "archive" / "r1", shut)
    os.chmod(shut / "logs", 0o500)
    looked = os.stat

    def look(path: Any, *given: Any, **options: Any) -> os.stat_result:
        found = looked(path, *given, **options)
        if path == "logs":
            os.rename(shut / "logs", tmp_path / "taken")
            (shut / "logs").symlink_to(elsewhere)
        return found

    monkeypatch.setattr(os, "stat", look)
    prune((out,), Bounds(2, None), is_dry_run=False)
    monkeypatch.undo()
    assert elsewhere.stat().st_mode & 0o777 == 0o500
    assert (shut / "logs").is_symlink()
    prune((out,), Bounds(2, None), is_dry_run=False)
    assert not shut.exists()
    assert elsewhere.stat().st_mode & 0o777 == 0o500


def test_directory_at_work_is_left_and_said(out: Path) -> None:
    """A directory with a run at work is left, because that run may archive, and is reported."""
    lock = OutputLock.acquire(out)
    done = prune((out,), Bounds(0, None), is_dry_run=False)
    lock.release()
    assert names(out) == ["r2", "r1"]
    assert "a run is at work there" in done.troubles[0]


def test_directories_below_are_found_and_no_link_is_followed(out: Path, tmp_path: Path) -> None:
    """Every OUT below is found at any depth, but none inside another."""
    deep = tmp_path / "runs" / "a" / "b" / "deep"
    shutil.copytree(out, deep)
    (tmp_path / "runs" / "again").symlink_to(out)
    troubles: list[str] = []
    assert list(output_directories(tmp_path / "runs", troubles)) == [deep, out]
    assert list(output_directories(out, troubles)) == [out]
    assert not troubles


@pytest.mark.unprivileged
def test_directory_that_cannot_be_read_is_said(out: Path, tmp_path: Path) -> None:
    """An unreadable directory is an error, because it may have runs to remove."""
    shut = out.parent / "shut"
    shut.mkdir(mode=0)
    done = orchestrate("prune", str(out.parent), "--keep", "100", cwd=tmp_path)
    assert done.code == 1
    assert "shut cannot be read: permission denied" in " ".join(done.stdout.split())
    shut.chmod(0o700)


def test_trimming_keeps_so_many_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`keep_archived` is applied at the end of a run, and a file in the way changes no run."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    output = tmp_path / "out"

    def blocked(run_id: str, **given: Any) -> None:
        asked = {"output_directory": output, "run_id": run_id}
        assert run(RunConfig.model_validate({**asked, **given})).exit_code == 3

    for number in range(1, 5):
        blocked(f"r{number}")
    blocked("r5", keep_archived=2)
    assert names(output) == ["r4", "r3"]
    (output / "archive" / "r3" / "notes").write_text("mine")
    blocked("r6", keep_archived=0)
    assert names(output) == ["r3"]
    assert load_report(output).run_id == "r6"


def test_ignore_file_is_made_with_the_directory_alone(tmp_path: Path) -> None:
    """Only a directory that a run makes gets a file that has git ignore it; existing files stay."""
    for name in ("new", "own", "mine"):
        (tmp_path / name).mkdir() if name != "new" else None
    (tmp_path / "mine" / ".gitignore").write_text("mine\n")
    for name in ("new", "own", "mine"):
        assert orchestrate(f"./{name}", cwd=tmp_path).code == 3
    assert (tmp_path / "new" / ".gitignore").read_text() == "*\n"
    assert not (tmp_path / "own" / ".gitignore").exists()
    assert (tmp_path / "mine" / ".gitignore").read_text() == "mine\n"


def test_commands_say_what_they_did(kept: Path, tmp_path: Path) -> None:
    """List, restore and prune report what they did, as text and as JSON."""
    state = {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
    parent = kept.parent

    def typed(*words: str) -> tuple[int, str]:
        done = orchestrate(*words, cwd=parent, env=state)
        return done.code, done.stdout or done.stderr

    code, text = typed("archive", "list", "out")
    assert (code, text.splitlines()[0][:24]) == (0, "2 runs archived in out, ")
    code, text = typed("restore", "out", "r1")
    assert code == 0
    assert "restored: run r1 is in out" in text
    assert "archived   run r3, which was there" in text
    assert "1 artifact outside of OUT" in text
    code, text = typed("restore", "out", "r3", "--json")
    assert json.loads(text)["archived"] == "r1"
    code, text = typed("prune", "out")
    assert code == 2
    assert "give --keep N, --older-than DURATION, or both" in text
    code, text = typed("prune", "out", "--older-than", "30")
    assert code == 2
    assert "'30' has no unit: write 30d, 12h or 90m" in text
    code, text = typed("prune", ".", "--keep", "1", "--dry-run")
    assert code == 0
    assert "1 archived run would be removed" in text
    code, text = typed("prune", "out", "--older-than", "30d", "--json")
    assert (code, json.loads(text)["runs"], json.loads(text)["kept"]) == (0, [], 2)
    assert typed("prune", str(tmp_path), "--keep", "1")[0] == 2
