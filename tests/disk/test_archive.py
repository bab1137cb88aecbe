"""Old evidence: an earlier run is archived whole, and can be inspected in its archive."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm_orchestrator.disk import archive, moving
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.lock import OutputLock
from tests.support.command import CHECKPOINT, EVENTS, PASSING, REPORT, orchestrate, stages, tree_of


class KilledError(BaseException):
    """Stands for the end of the process."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[OutputLock]:
    """Hold the lock of a directory for the block."""
    lock = OutputLock.acquire(directory)
    try:
        yield lock
    finally:
        lock.release()


def earlier_run(tmp_path: Path) -> dict[str, bytes]:
    """Make a failed and resumed run in `out`; return its files."""
    script = 'echo planned; test "$ORCHESTRATOR_ATTEMPT" -gt 1'
    options = ("--run-id", "first", *PASSING, *stages(script))
    assert orchestrate("out", *options, cwd=tmp_path).code == 1
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    held = tree_of(tmp_path / "out")
    held.pop("orchestrator.lock")
    assert held.pop(".gitignore") == b"*\n"
    assert {REPORT, CHECKPOINT, EVENTS} < held.keys()
    assert len(held) == 9
    return held


@pytest.mark.parametrize("number", range(1, 5))
def test_archiving_cut_short_is_finished_in_one_place(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill before any of its moves it is completed: the run is in one place, complete."""
    held = earlier_run(tmp_path)
    moves = []

    def move(name: str, source: HeldDirectory, destination: HeldDirectory) -> None:
        moves.append(name)
        if len(moves) == number:
            raise KilledError
        real(name, source, destination)

    real = moving.move
    with monkeypatch.context() as patch, locked(tmp_path / "out") as out:
        patch.setattr(moving, "move", move)
        with pytest.raises(KilledError):
            archive.archive_run(out, archive.present_files(out.path))
    assert orchestrate("./out", "--run-id", "second", cwd=tmp_path).code == 3
    assert tree_of(tmp_path / "out" / "archive" / "first") == held
    assert archive.archived_run_ids(tmp_path / "out") == {"first"}


def test_two_runs_of_one_name_stay_apart(tmp_path: Path) -> None:
    """An archived run is never mixed with another that claims its name: both are kept."""
    held = earlier_run(tmp_path)
    assert orchestrate("./out", "--run-id", "second", cwd=tmp_path).code == 3
    for name in (CHECKPOINT, REPORT):
        path = tmp_path / "out" / name
        path.write_bytes(path.read_bytes().replace(b"second", b"first"))
    assert orchestrate("./out", "--run-id", "third", cwd=tmp_path).code == 3
    assert tree_of(tmp_path / "out" / "archive" / "first") == held
    assert archive.archived_run_ids(tmp_path / "out") == {"first", "first.2"}


def test_status_shows_an_archived_run(tmp_path: Path) -> None:
    """`--run-id` shows the end of an earlier run as text and JSON; exit code 0 if it exists."""
    earlier_run(tmp_path)
    assert orchestrate("./out", "--run-id", "second", cwd=tmp_path).code == 3
    assert "archived  first" in orchestrate("status", "out", cwd=tmp_path).stdout
    shown = orchestrate("status", "out", "--run-id", "first", cwd=tmp_path)
    assert shown.code == 0
    assert "done: run first" in shown.stdout.splitlines()[0]
    assert str(tmp_path / "out" / "archive" / "first" / REPORT) in shown.stdout
    assert "--resume" not in shown.stdout
    told = json.loads(
        orchestrate("status", "out", "--run-id", "first", "--json", cwd=tmp_path).stdout
    )
    assert told["report"]["run_id"] == "first"
    assert len(told["report"]["earlier_invocations"]) == 1
    current = orchestrate("status", "out", "--run-id", "second", cwd=tmp_path)
    assert "waiting: run second" in current.stdout.splitlines()[0]
    unknown = orchestrate("status", "out", "--run-id", "third", cwd=tmp_path)
    assert unknown.code == 2
    assert "archived are first" in unknown.stderr
