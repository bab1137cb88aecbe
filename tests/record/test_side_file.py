"""The file of old invocations is read whole once, and again only if it was touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, resume
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.record import checkpoint_reader, moving_out, side_file
from fsm_orchestrator.record.earlier import MovedInvocation
from fsm_orchestrator.record.record_check import record_digest
from tests.support.command import CHECKPOINT, INVOCATIONS, checkpoint_of
from tests.support.long_history import failed_often, with_history


@pytest.fixture
def read_whole(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the files that were read whole."""
    sizes: list[int] = []
    really = side_file._chained

    def noted(descriptor: int, size_bytes: int) -> tuple[int, str]:
        sizes.append(size_bytes)
        return really(descriptor, size_bytes)

    monkeypatch.setattr(side_file, "_chained", noted)
    return sizes


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a failed run of which some invocations have moved."""
    output = tmp_path_factory.mktemp("original") / "out"
    failed_often(output)
    return output


@pytest.fixture(name="output")
def moved_run(original: Path, tmp_path: Path) -> Path:
    """Return a copy of the original run after some more invocations have moved."""
    with_history(original, tmp_path / "out", 20)
    return tmp_path / "out"


def test_untouched_file_is_not_read_again(
    output: Path, read_whole: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An untouched file is not read again, also after more invocations have moved."""
    monkeypatch.setattr(moving_out, "KEPT_MAX", 4)
    monkeypatch.setattr(moving_out, "KEPT_MIN", 2)
    before = checkpoint_of(output)["earlier"]["file"]["lines"]
    for _ in range(3):
        checkpoint_reader.load(output)
        resume(RunConfig(output_directory=output, accept_record=record_digest(output)))
    assert checkpoint_of(output)["earlier"]["file"]["lines"] > before
    assert read_whole == []


def touched(path: Path) -> None:
    """Change the times of a file."""
    os.utime(path, ns=(1, 1))


def in_another_place(path: Path) -> None:
    """Replace a file by another with the same bytes."""
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").rename(path)


def made_private(path: Path) -> None:
    """Change the permissions of a file."""
    path.chmod(0o400)
    path.chmod(0o600)


@pytest.mark.parametrize("touch", [touched, in_another_place, made_private])
def test_touched_file_is_read_until_a_resume_has_said_that_it_was_checked(
    touch: Callable[[Path], None], output: Path, read_whole: list[int]
) -> None:
    """A reader checks a touched file each time; a resume records that it was checked."""
    touch(output / INVOCATIONS)
    for number in (1, 2):
        checkpoint_reader.load(output)
        assert len(read_whole) == number
    resume(RunConfig(output_directory=output, accept_record=record_digest(output)))
    assert len(read_whole) > 2
    read_whole.clear()
    checkpoint_reader.load(output)
    resume(RunConfig(output_directory=output, accept_record=record_digest(output)))
    assert read_whole == []


def test_change_that_hides_its_time_is_found(output: Path) -> None:
    """A change whose size and modification time were restored is found by its change time."""
    path = output / INVOCATIONS
    before = path.stat()
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(data.replace(b'"exit_code":1', b'"exit_code":3', 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    with pytest.raises(CheckpointError, match="was changed"):
        checkpoint_reader.load(output)


def test_mark_that_was_edited_is_not_believed(output: Path) -> None:
    """An edited mark is not covered by the check of the original one."""
    document = checkpoint_of(output)
    document["earlier"]["file"]["sha256"] = "0" * 64
    (output / CHECKPOINT).write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="was changed"):
        checkpoint_reader.load(output)


def test_mark_that_does_not_know_is_no_excuse(output: Path, read_whole: list[int]) -> None:
    """The file is read whole if the mark does not say whether it was touched."""
    document = checkpoint_of(output)
    document["earlier"]["file"]["seen"] = None
    (output / CHECKPOINT).write_text(json.dumps(document))
    assert checkpoint_reader.load(output).earlier is not None
    assert len(read_whole) == 1


@pytest.mark.parametrize("times", ["whole seconds", "of just now"])
def test_times_that_a_write_would_leave_alike_tell_nothing(
    times: str, output: Path, read_whole: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read whole if a write might have left the same times."""
    really = os.fstat

    class Coarse:
        """The answers of a file system without fractions of a second."""

        def __init__(self, status: os.stat_result) -> None:
            self.st_ino, self.st_mode = status.st_ino, status.st_mode
            self.st_size, self.st_nlink = status.st_size, status.st_nlink
            self.st_mtime_ns = self.st_ctime_ns = int(status.st_mtime) * 10**9

    if times == "whole seconds":
        monkeypatch.setattr(os, "fstat", lambda descriptor: Coarse(really(descriptor)))
    else:
        monkeypatch.setattr(side_file, "file_clock_ns", lambda: 1)
    record = checkpoint_reader.load(output)
    assert record.earlier is not None
    assert record.earlier.file.seen is None
    assert len(read_whole) == 1


def test_write_right_after_the_append_leaves_other_times(output: Path) -> None:
    """A write right after the append is found by its times."""
    lines = (output / INVOCATIONS).read_bytes().splitlines()
    moved = [MovedInvocation.model_validate_json(line) for line in lines]
    (output / INVOCATIONS).unlink()
    home = OutputLock.acquire(output)
    try:
        mark = side_file.append(home, None, moved)
        at_once = (output / INVOCATIONS).open("r+b")
        at_once.write(b"{")
        at_once.close()
        descriptor = os.open(output / INVOCATIONS, os.O_RDONLY)
        assert mark.seen is not None
        assert side_file._seen(mark, os.fstat(descriptor)) != mark.seen
        os.close(descriptor)
    finally:
        home.release()
