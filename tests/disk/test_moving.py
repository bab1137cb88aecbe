"""Moves the files of a run, within a file system and to another one, and overwrites nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.moving import move
from tests.support.command import CHECKPOINT, PASSING, environment, orchestrate, stages, tree_of


@contextlib.contextmanager
def two_directories(tmp_path: Path) -> Iterator[tuple[HeldDirectory, HeldDirectory]]:
    """Yield a source and a destination."""
    held = []
    for name in ("source", "destination"):
        (tmp_path / name).mkdir()
        held.append(HeldDirectory(tmp_path / name, os.open(tmp_path / name, os.O_RDONLY)))
    try:
        yield held[0], held[1]
    finally:
        for one in held:
            os.close(one.descriptor)


@pytest.fixture
def other_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make renames from one directory into another fail."""
    real = files.perform

    def perform(operation: SystemCall, call: Any, *args: Any, **places: Any) -> Any:
        if operation is SystemCall.RENAME and len(set(places.values())) > 1:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return real(operation, call, *args, **places)

    monkeypatch.setattr(files, "perform", perform)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A name in use, even by a dead link, is an error, and nothing is moved."""
    with two_directories(tmp_path) as (source, destination):
        for name in ("file", "link", "free"):
            (source.path / name).write_text(name)
        (destination.path / "file").write_text("taken")
        (destination.path / "link").symlink_to("nowhere")
        for name in ("file", "link"):
            with pytest.raises(FileExistsError):
                move(name, source, destination)
        move("free", source, destination)
    assert tree_of(tmp_path) == {
        "source/file": b"file",
        "source/link": b"link",
        "destination/file": b"taken",
        "destination/free": b"free",
    }


@pytest.mark.usefixtures("other_file_system")
def test_other_file_system_gets_a_copy(tmp_path: Path) -> None:
    """Files, links and whole directories arrive unchanged and are gone from their old place."""
    with two_directories(tmp_path) as (source, destination):
        logs = source.path / "logs"
        (logs / "deep").mkdir(parents=True)
        (logs / "deep" / "file").write_text("content")
        (logs / "deep" / "file").chmod(0o640)
        os.utime(logs / "deep" / "file", ns=(1, 2))
        (logs / "link").symlink_to("../elsewhere")
        move("logs", source, destination)
        assert list(source.path.iterdir()) == []
    file, link = (tmp_path / "destination" / "logs" / name for name in ("deep/file", "link"))
    found = file.stat()
    assert (file.read_text(), found.st_mode & 0o777, found.st_mtime_ns) == ("content", 0o640, 2)
    assert str(link.readlink()) == "../elsewhere"
    assert [one.name for one in (tmp_path / "destination").iterdir()] == ["logs"]


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("other_file_system")
def test_what_cannot_be_copied_stays(tmp_path: Path) -> None:
    """A FIFO is not waited for: the error names it, nothing is removed, and no copy is left."""
    with two_directories(tmp_path) as (source, destination):
        (source.path / "logs").mkdir()
        (source.path / "logs" / "file").touch()
        os.mkfifo(source.path / "logs" / "fifo")
        with pytest.raises(OSError, match="logs/fifo is a FIFO"):
            move("logs", source, destination)
        assert {one.name for one in (source.path / "logs").iterdir()} == {"file", "fifo"}
        assert list(destination.path.iterdir()) == []


def test_archive_on_another_file_system(tmp_path: Path) -> None:
    """An earlier run is archived where its directory cannot be renamed, and a new one begins."""
    options = (*PASSING, *stages("echo planned"))
    assert orchestrate("out", "--run-id", "first", *options, cwd=tmp_path).code == 0
    held = tree_of(tmp_path / "out")
    held.pop("orchestrator.lock")
    held.pop(".gitignore")
    script = (
        "import errno, os, sys\n"
        "from fsm_orchestrator.cli.main import run_command_line\n"
        "real = os.rename\n"
        "def rename(source, *rest, **places):\n"
        "    if len(set(places.values())) > 1:\n"
        "        raise OSError(errno.EXDEV, 'invalid cross-device link')\n"
        "    real(source, *rest, **places)\n"
        "os.rename = rename\n"
        "sys.exit(run_command_line(sys.argv[1:]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, "out", "--run-id", "second", *options],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert tree_of(tmp_path / "out" / "archive" / "first") == held
    assert (tmp_path / "out" / CHECKPOINT).exists()
