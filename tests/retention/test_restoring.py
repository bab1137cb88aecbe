"""An archived run is restored whole, with its artifacts, and is accepted there."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, UsageError, resume, run
from fsm_orchestrator.disk import archive, restoring
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.disk.taken_along import Along, artifacts_named
from fsm_orchestrator.errors import BusyError, CheckpointError, CommandError, TamperedError
from fsm_orchestrator.inspection.inspected_run import inspect_run, state_now
from fsm_orchestrator.record.checkpoint_reader import load_saved
from fsm_orchestrator.record.record_check import checked
from fsm_orchestrator.retention.restoring import restore
from fsm_orchestrator.secrets.state_key import own_key
from fsm_orchestrator.vocabulary import Standing
from tests.retention.conftest import PASSED, PLAN, contents, make_run
from tests.support.killed_at import killed_at

STEPS_MAX = 200


def whole(output: Path) -> dict[str, dict[str, str]]:
    """Return the parts of each run, wherever it is."""
    places = {"": output} | {one.name: one for one in (output / "archive").iterdir()}
    found = {}
    for place in places.values():
        run_id = archive.earlier_run_id(place)
        if run_id is not None:
            found[run_id] = contents(place)
    return found


def is_believed(output: Path) -> bool:
    """Return True if the record in OUT is the one that was left there."""
    return checked(load_saved(output), output, own_key(output)).is_good


def test_artifacts_go_with_their_runs(kept: Path) -> None:
    """Each archived run has its own artifact by its path there; artifacts outside OUT stay."""
    for name in ("r1", "r2"):
        assert json.loads((kept / "archive" / name / PLAN).read_text()) == [name]
        view = inspect_run(kept, name)
        assert state_now(view).wrong == ()
        made = [one.path for stage in view.report.stage_executions for one in stage.artifacts]
        assert made == [str(kept / "archive" / name / PLAN), f"{kept}.x"]
    assert json.loads((kept / PLAN).read_text()) == ["r3"]
    aside = kept / "archive" / "r1" / "aside"
    os.rename(kept / "archive" / "r1" / PLAN, aside)
    assert "plan.json" in state_now(inspect_run(kept, "r1")).wrong[0]
    os.rename(aside, kept / "archive" / "r1" / PLAN)


def test_restored_run_is_the_one_that_was_archived(kept: Path) -> None:
    """The restored run has its standing and is accepted, and the previous one is archived."""
    before = whole(kept)
    done = restore(kept, "r1")
    assert (done.run_id, done.archived, done.artifacts, done.elsewhere) == ("r1", "r3", (PLAN,), 1)
    view = inspect_run(kept)
    assert (view.report.run_id, view.standing, view.trouble) == ("r1", Standing.DONE, None)
    assert state_now(view).wrong == ()
    assert is_believed(kept)
    assert archive.archived_run_ids(kept) == {"r2", "r3"}
    again = resume(RunConfig(output_directory=kept))
    assert (again.run_id, again.terminal_state, again.warnings) == ("r1", "done", ())
    with pytest.raises(UsageError, match=r"is in .* already"):
        restore(kept, "r1")
    assert restore(kept, "r3").archived == "r1"
    assert is_believed(kept)
    after = whole(kept)
    assert {**after, "r1": {}} == {**before, "r1": {}}


def test_archive_that_cannot_be_written_is_restored_once_it_can(kept: Path) -> None:
    """The remedy is the same command, because a resume would continue another run."""

    def refused(*_paths: object, **_more: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "rename", refused)
        with pytest.raises(CommandError) as refusal:
            restore(kept, "r1")
    assert "read-only file system" in str(refusal.value)
    assert "resume" not in refusal.value.remedy
    assert refusal.value.remedy.startswith("make room, or make the directory")
    assert refusal.value.remedy.endswith(f"fsm-orchestrator restore {kept} r1")
    assert restore(kept, "r1").run_id == "r1"
    assert restore(kept, "r3").archived == "r1"


def test_restored_failure_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restored run that failed continues to done without repeating its completed stage."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    output = tmp_path / "out"
    make_run(output, "first", code=1)
    run(RunConfig(output_directory=output, run_id="second"))  # blocked: none of its stages runs
    assert restore(output, "first").archived == "second"
    asked = {"output_directory": output, "stages": {"executor": {"bin": "true"}}}
    report = resume(RunConfig.model_validate(asked))
    assert (report.run_id, report.terminal_state, report.closure_ready) == ("first", "done", True)
    assert [one.status.value for one in report.stage_executions] == ["skipped", "success"]
    assert restore(output, "second").archived == "first"
    assert inspect_run(output).standing is Standing.WAITING


def test_every_kill_leaves_runs_that_the_next_command_has_whole(kept: Path) -> None:
    """After a kill at any step, the same command finishes, and another one undoes it."""
    before = whole(kept)
    number = 1
    while killed_at(number, lambda: restore(kept, "r1")):
        assert number < STEPS_MAX
        half = restoring.half_restored(kept)
        if half is not None:
            with pytest.raises(UsageError, match="was cut short"):
                run(RunConfig(output_directory=kept, resume=True))
            with pytest.raises(CheckpointError) as refusal:
                load_saved(kept)
            assert f"restore {kept} r1" in refusal.value.remedy
        there = None if half else archive.earlier_run_id(kept)
        if number % 2 and there != "r1":
            restore(kept, "r1")
        if archive.earlier_run_id(kept) == "r1" and not restoring.half_restored(kept):
            assert inspect_run(kept).standing is Standing.DONE
            assert is_believed(kept)
        if archive.earlier_run_id(kept) == "r3" and archive.is_half_archived(kept, "r3"):
            assert "takes it back" in (inspect_run(kept).trouble or "")
        if "r3" in archive.archived_run_ids(kept) or restoring.half_restored(kept):
            restore(kept, "r3")
        assert is_believed(kept)
        assert whole(kept) == before, number
        assert archive.archived_run_ids(kept) == {"r1", "r2"}
        number += 1
    assert number > 15
    restore(kept, "r3")
    assert sorted(one.name for one in (kept / "archive").iterdir()) == ["r1", "r2"]


def test_every_kill_of_archiving_is_gone_on_from(kept: Path) -> None:
    """After a kill of archiving at any step, the next run brings files and artifacts together."""
    before = whole(kept)

    def archive_it() -> None:
        lock = OutputLock.acquire(kept)
        try:
            along = Along(artifacts_named(kept), ())
            assert archive.archive_run(lock, archive.present_files(kept), along) == ()
        finally:
            lock.release()

    number = 1
    while killed_at(number, archive_it):
        assert number < STEPS_MAX
        archive_it()
        assert whole(kept) == before, number
        assert contents(kept) == {}
        restore(kept, "r3")
        number += 1
    assert number > 8
    restore(kept, "r3")


def test_new_run_takes_back_a_restore_that_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new run undoes an unfinished restore, and takes no half of it for a run."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    output = tmp_path / "out"
    make_run(output, "first")
    run(RunConfig(output_directory=output, run_id="second"))
    before = whole(output)
    number = 1
    while not (restoring.half_restored(output) and archive.present_files(output)):
        assert number < STEPS_MAX
        assert killed_at(number, lambda: restore(output, "first"))
        number += 1
    run(RunConfig(output_directory=output, run_id="third"))
    after = whole(output)
    assert {name: after[name] for name in before} == before
    assert sorted(os.listdir(output / "archive")) == ["first", "second"]
    assert archive.archived_run_ids(output) == {"first", "second"}


def test_what_is_not_as_it_was_is_not_put_back(kept: Path) -> None:
    """With a changed record, foreign files, things in the way or a run at work, nothing moves."""
    place, before = kept / "archive" / "r1", whole(kept)

    def refuses(error: type[Exception], said: str, name: str = "r1") -> None:
        with pytest.raises(error, match=said):
            restore(kept, name)
        assert archive.archived_run_ids(kept) >= {"r1", "r2"}
        assert archive.earlier_run_id(kept) == "r3"

    report = place / "orchestrator_run_report.json"
    kept_report = report.read_bytes()
    report.write_bytes(kept_report.replace(b'"exit_code": 0', b'"exit_code": 1'))
    refuses(TamperedError, "is not the one that was archived")
    report.write_bytes(kept_report)
    (place / "notes.txt").write_text("mine")
    refuses(UsageError, "notes.txt is not the run's")
    (place / "notes.txt").unlink()
    (kept / "manager" / "plan.json").rename(kept / "aside")
    (kept / "manager").rmdir()
    (kept / "manager").write_text("in the way")
    refuses(UsageError, "in the way of the run to put back: .*manager")
    (kept / "manager").unlink()
    (kept / "manager").mkdir()
    (kept / "aside").rename(kept / "manager" / "plan.json")
    refuses(UsageError, "did you mean 'r1'", "r11")
    lock = OutputLock.acquire(kept)
    refuses(BusyError, "is held by")
    lock.release()
    link = kept / "archive" / "link"
    link.symlink_to(place)
    refuses(UsageError, "cannot be put back", "link")
    link.unlink()
    assert whole(kept) == before


def test_what_the_next_run_goes_by_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input of the new run, and an artifact that it uses unchanged, are copied and stay."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    output = tmp_path / "out"
    make_run(output, "first")
    stage = {"bin": "/bin/cat", "args": [str(output / PLAN)], "inputs": [str(output / PLAN)]}
    asked = {"output_directory": output, "gates": PASSED, "stages": {"executor": stage}}
    report = run(RunConfig.model_validate({**asked, "allow_empty": True}))
    assert report.terminal_state == "done"
    assert (output / PLAN).read_text() == (output / "archive" / "first" / PLAN).read_text()
    assert state_now(inspect_run(output, "first")).wrong == ()


def test_artifact_that_cannot_be_moved_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link on the way to an artifact is not followed, and the run begins all the same."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    output = tmp_path / "out"
    make_run(output, "first")
    shutil.move(output / "manager", tmp_path / "elsewhere")
    (output / "manager").symlink_to(tmp_path / "elsewhere")
    report = run(RunConfig(output_directory=output))
    assert "of the earlier run is not archived with it" in report.warnings[0]
    assert (tmp_path / "elsewhere" / "plan.json").exists()
