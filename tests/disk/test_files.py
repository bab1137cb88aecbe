"""Replaces, stages, reads, moves and appends to files so that a crash leaves them whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsm_orchestrator.disk import files, stale

# files.py


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set another umask for the block."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    """Return the permission bits of a path."""
    return path.stat().st_mode & 0o777


def test_replace_file_replaces_whole(tmp_path: Path) -> None:
    """The new content takes the old one's place, and no other file is left."""
    path = tmp_path / "file"
    for data in (b"a long first content", b"second", b""):
        files.replace_file(path, data)
        assert path.read_bytes() == data
        assert list(tmp_path.iterdir()) == [path]


def test_replace_file_is_another_file(tmp_path: Path) -> None:
    """A reader with the old file open reads the old content to its end."""
    path = tmp_path / "file"
    files.replace_file(path, b"old")
    with path.open("rb") as stream:
        files.replace_file(path, b"new")
        assert stream.read() == b"old"


def test_modes_honour_the_umask(tmp_path: Path) -> None:
    """A new file or directory has the requested mode, less the umask."""
    with umask(0o027):
        files.replace_file(tmp_path / "public", b"")
        files.replace_file(tmp_path / "private", b"", mode=0o600)
        files.make_directory(tmp_path / "open")
        files.make_directory(tmp_path / "closed", mode=0o700)
        os.close(files.open_append(tmp_path / "log"))
        os.close(files.open_append(tmp_path / "private_log", mode=0o600))
    assert {path.name: mode_of(path) for path in tmp_path.iterdir()} == {
        "public": 0o640,
        "private": 0o600,
        "open": 0o750,
        "closed": 0o700,
        "log": 0o640,
        "private_log": 0o600,
    }


def test_replace_file_refuses_a_directory(tmp_path: Path) -> None:
    """A directory in the file's place, empty or not, is an error that leaves nothing behind."""
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        files.replace_file(path, b"data")
    (path / "inside").touch()
    with pytest.raises(IsADirectoryError):
        files.replace_file(path, b"data")
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]


def test_replace_file_without_its_directory(tmp_path: Path) -> None:
    """A missing directory is an error, and is not made."""
    with pytest.raises(FileNotFoundError):
        files.replace_file(tmp_path / "gone" / "file", b"data")
    assert list(tmp_path.iterdir()) == []


def test_staged_file_waits_for_its_commit(tmp_path: Path) -> None:
    """Staged bytes are beside the file until they are committed or discarded."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    staged = files.stage_file(path, b"discarded")
    assert path.read_bytes() == b"old"
    assert staged.temporary.read_bytes() == b"discarded"
    staged.discard()
    assert path.read_bytes() == b"old"
    staged = files.stage_file(path, b"new")
    staged.commit()
    staged.discard()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_has_taken_its_place_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discarding a committed file does nothing, even if its temporary name is in use again."""
    staged = files.stage_file(tmp_path / "file", b"new")
    staged.commit()
    staged.temporary.write_bytes(b"somebody else's")
    staged.discard()
    assert staged.temporary.read_bytes() == b"somebody else's"
    refused = files.stage_file(tmp_path / "file", b"newer")
    with monkeypatch.context() as patch:
        patch.setattr(files, "perform", _refusing)
        with pytest.raises(PermissionError):
            refused.commit()
    refused.discard()
    assert not refused.temporary.exists()


def _refusing(*_call: object, **_places: object) -> None:
    raise PermissionError(1, "refused")


@pytest.mark.parametrize("size_bytes", [0, 1, 32 * 1024, 32 * 1024 + 1, 3 * 1024 * 1024])
def test_files_of_all_sizes_are_read_whole(tmp_path: Path, size_bytes: int) -> None:
    """Files are read in blocks, up to the largest allowed size; one byte more is an error."""
    data, path = os.urandom(size_bytes), tmp_path / "file"
    path.write_bytes(data)
    assert files.read_bounded(path, size_bytes) == data
    path.write_bytes(data + b"!")
    with pytest.raises(OSError, match="larger than"):
        files.read_bounded(path, size_bytes)


def test_file_that_grows_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes appended after the size was read are not lost."""
    path, real = tmp_path / "file", files.perform
    path.write_bytes(b"before")

    def perform(operation: files.SystemCall, call: Callable[..., object], *args: object) -> object:
        if operation is files.SystemCall.READ:
            with path.open("ab") as stream:
                stream.write(b" and after")
        return real(operation, call, *args)

    with monkeypatch.context() as patch:
        patch.setattr(files, "perform", lambda *args, **_at: perform(*args))
        assert files.read_bounded(path, 100) == b"before and after"


def test_what_a_kill_left_staged_is_removed(tmp_path: Path) -> None:
    """Temporary files of a killed writer are removed, and no other files."""
    path = tmp_path / "file"
    files.stage_file(path, b"left behind by a writer that was killed")
    files.replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    others = [".file.tmp", ".file.0123.tmp", ".other.0123456789abcdef.tmp", "file.x.tmp"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".file.0123456789abcdef.tmp").mkdir()
    (tmp_path / ".file.fedcba9876543210.tmp").symlink_to("file")
    stale.remove_stale(tmp_path, "file")
    left = {one.name for one in tmp_path.iterdir()}
    assert left == {"file", ".file.0123456789abcdef.tmp", *others}


def test_staging_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link planted under the temporary name is not written through."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path = tmp_path / "file"
    monkeypatch.setattr(os, "urandom", lambda _: bytes.fromhex("0123456789abcdef"))
    (tmp_path / f".file.0123456789abcdef{files.TEMPORARY_SUFFIX}").symlink_to(victim)
    with pytest.raises(FileExistsError):
        files.stage_file(path, b"data")
    assert victim.read_bytes() == b"precious"


def test_read_bounded_reads_regular_files_up_to_its_limit(tmp_path: Path) -> None:
    """A file that is larger than allowed is an error, and links are read only if allowed."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    (tmp_path / "link").symlink_to(path)
    assert files.read_bounded(path, 5) == b"12345"
    assert files.read_bounded(tmp_path / "link", 100, is_link_good=True) == b"12345"
    with pytest.raises(OSError, match="is a symbolic link"):
        files.read_bounded(tmp_path / "link", 100)
    with pytest.raises(OSError, match="larger than 4 bytes"):
        files.read_bounded(path, 4)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, None], ids=["directory", "FIFO", "absent"])
def test_what_is_no_file_is_not_read(tmp_path: Path, make: Callable[[Path], object] | None) -> None:
    """A directory, a FIFO (without a wait) and a missing path are errors."""
    path = tmp_path / "odd"
    if make is not None:
        make(path)
    with pytest.raises(OSError, match=r"."):
        files.read_bounded(path, 100)


def test_make_directory(tmp_path: Path) -> None:
    """Parents are made too; an existing directory is unchanged; a file in the way is an error."""
    path = tmp_path / "a" / "b" / "c"
    files.make_directory(path)
    (path / "file").touch()
    files.make_directory(path)
    assert (path / "file").exists()
    with pytest.raises(NotADirectoryError):
        files.make_directory(path / "file")
    with pytest.raises(OSError, match=r"."):
        files.make_directory(path / "file" / "below")


def test_open_append_appends(tmp_path: Path) -> None:
    """Existing content stays, new bytes go to the end, and no child inherits the descriptor."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    descriptor = files.open_append(path)
    try:
        assert not os.get_inheritable(descriptor)
        files.write_all(descriptor, b"two\n")
        assert os.pread(descriptor, 100, 0) == b"one\ntwo\n"
    finally:
        os.close(descriptor)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("elsewhere")],
    ids=["directory", "FIFO", "link"],
)
def test_open_append_takes_regular_files_only(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """A directory, a FIFO (without a wait) and a link are refused; no descriptor stays open."""
    path = tmp_path / "log"
    make(path)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(OSError, match=r"."):
        files.open_append(path)
    assert len(os.listdir("/dev/fd")) == before
    assert not (tmp_path / "elsewhere").exists()
