"""Artifacts that are good, missing or malformed."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest

from fsm_orchestrator.stages import artifacts
from fsm_orchestrator.stages.artifact_snapshot import take_snapshot
from fsm_orchestrator.stages.artifacts import ArtifactsVerdict, judge
from tests.stages.artifact_cases import without_privileges

pytestmark = pytest.mark.timeout(300)


def judged(path: Path) -> ArtifactsVerdict:
    """Return the verdict on one path, staleness aside."""
    return judge([str(path)], None, allow_stale=False)


def malformed_reason(verdict: ArtifactsVerdict) -> str:
    """Return why the one artifact is malformed, which is the only problem."""
    assert (verdict.good, verdict.missing, verdict.stale) == ((), (), ())
    (problem,) = verdict.malformed
    return problem.reason


def missing_reason(verdict: ArtifactsVerdict) -> str:
    """Return why the one artifact is missing, which is the only problem."""
    assert (verdict.good, verdict.malformed, verdict.stale) == ((), (), ())
    (problem,) = verdict.missing
    return problem.reason


# Good artifacts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.txt", b"anything at all"),
        ("empty.txt", b""),
        ("large.bin", b"0123456789" * 300_001),
        ("plan.json", b'{"steps": []}\n'),
        ("json", b"[1,]"),
        ("plan.json.txt", b"[1,]"),
    ],
)
def test_good_artifact_is_recorded(tmp_path: Path, name: str, content: bytes) -> None:
    """A good artifact is reported with its path, its size and the digest of its content."""
    path = tmp_path / name
    path.write_bytes(content)
    verdict = judged(path)
    assert verdict.is_good
    assert verdict.summary() == ""
    (artifact,) = verdict.good
    assert artifact.path == str(path)
    assert artifact.size_bytes == len(content)
    assert artifact.sha256 == hashlib.sha256(content).hexdigest()


def test_link_to_a_regular_file_is_good(tmp_path: Path) -> None:
    """Symbolic links are followed, even several in a row."""
    (tmp_path / "real").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "plan.json").symlink_to(tmp_path / "link")
    assert judged(tmp_path / "plan.json").is_good


# Missing artifacts


def test_absent_path_is_missing(tmp_path: Path) -> None:
    """A path that does not exist is missing, and so is a path below it."""
    assert missing_reason(judged(tmp_path / "absent")) == "does not exist"
    assert missing_reason(judged(tmp_path / "absent" / "plan.json")) == "does not exist"


def test_dangling_link_is_missing(tmp_path: Path) -> None:
    """A symbolic link to nothing is missing, and is reported as a link."""
    path = tmp_path / "plan.json"
    path.symlink_to("nowhere")
    assert missing_reason(judged(path)) == "a symbolic link to nothing"


def test_link_loop_is_missing(tmp_path: Path) -> None:
    """Symbolic links in a circle are missing."""
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    assert missing_reason(judged(tmp_path / "one")) == "a loop of symbolic links"


def test_path_through_a_file_is_missing(tmp_path: Path) -> None:
    """A path below a regular file is missing."""
    (tmp_path / "file").write_bytes(b"")
    assert missing_reason(judged(tmp_path / "file" / "x")) == "a parent is not a directory"


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_impossible_name_is_missing(tmp_path: Path, name: str) -> None:
    """A name that no file can have is missing, before and after."""
    path = f"{tmp_path}/{name}"
    snapshot = take_snapshot([path])
    assert missing_reason(judge([path], snapshot, allow_stale=False)) == "does not exist"


def test_too_long_a_name_is_missing(tmp_path: Path) -> None:
    """A name longer than file systems take is missing."""
    reason = missing_reason(judged(tmp_path / ("x" * 5000)))
    assert reason == "does not exist: the name is too long"


# Wrong kinds: a hang would end in the time limit


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["fifo", "fifo.json"])
def test_fifo_is_malformed_without_a_wait(tmp_path: Path, name: str) -> None:
    """A FIFO that nobody writes to is malformed, before and after, and is not waited for."""
    path = tmp_path / name
    os.mkfifo(path)
    snapshot = take_snapshot([str(path)])
    verdict = judge([str(path)], snapshot, allow_stale=False)
    assert malformed_reason(verdict) == "is a FIFO, not a regular file"


@pytest.mark.timeout(60)
def test_fifo_put_in_place_meanwhile_is_malformed_without_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FIFO that replaces the file between the look and the opening does not hang either."""
    regular = tmp_path / "regular"
    regular.write_bytes(b"")
    path = tmp_path / "plan.json"
    os.mkfifo(path)
    monkeypatch.setattr(artifacts, "stat_of", lambda _path: regular.stat())
    assert malformed_reason(judged(path)) == "is a FIFO, not a regular file"


def test_file_gone_meanwhile_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file removed between the look and the opening is missing."""
    regular = tmp_path / "regular"
    regular.write_bytes(b"")
    monkeypatch.setattr(artifacts, "stat_of", lambda _path: regular.stat())
    assert missing_reason(judged(tmp_path / "gone")) == "does not exist"


def test_directory_is_malformed(tmp_path: Path) -> None:
    """A directory is malformed whatever it is called, and so is a link to one."""
    path = tmp_path / "plan.json"
    path.mkdir()
    (tmp_path / "link").symlink_to(path)
    for each in (path, tmp_path / "link"):
        assert malformed_reason(judged(each)) == "is a directory, not a regular file"


def test_socket_is_malformed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket is malformed."""
    monkeypatch.chdir(tmp_path)  # a socket's address has room for a short path only
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("plan.json")
        reason = malformed_reason(judged(tmp_path / "plan.json"))
    assert reason == "is a socket, not a regular file"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_device_is_malformed(tmp_path: Path, device: str) -> None:
    """A device is malformed, even an endless one behind a link."""
    path = tmp_path / "plan.json"
    path.symlink_to(device)
    for each in (Path(device), path):
        assert malformed_reason(judged(each)) == "is a character device, not a regular file"


# Unreadable artifacts


def test_unreadable_file_is_malformed(tmp_path: Path) -> None:
    """A file that may not be read, or not even looked at, is malformed and not missing."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    path.chmod(0)
    with without_privileges():
        assert malformed_reason(judged(path)) == "cannot be read: Permission denied"
    path.chmod(0o600)
    tmp_path.chmod(0)
    try:
        with without_privileges():
            assert malformed_reason(judged(path)) == "cannot be read: Permission denied"
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_file_that_fails_to_read_is_malformed() -> None:
    """An error in reading, not only in opening, makes an artifact malformed."""
    reason = malformed_reason(judged(Path("/proc/self/mem")))
    assert reason == "cannot be read: Input/output error"


def test_too_little_memory_makes_malformed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be judged because memory is out counts against the stage."""

    def exhaust(_data: bytes, _between: object) -> str | None:
        raise MemoryError

    monkeypatch.setattr(artifacts, "problem_of", exhaust)
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    assert malformed_reason(judged(path)) == "too little memory to judge it"


# JSON and sizes


@pytest.mark.parametrize("name", ["plan.json", "PLAN.JSON", "plan.Json", ".json"])
def test_json_is_strict_in_any_case_of_its_name(tmp_path: Path, name: str) -> None:
    """A file named .json, in any case, has to be strict JSON."""
    path = tmp_path / name
    path.write_bytes(b"[1,2,]")
    assert malformed_reason(judged(path)) == "line 1 column 6: trailing comma in array"
    path.write_bytes(b"[1,2]")
    assert judged(path).is_good


def test_empty_json_is_malformed(tmp_path: Path) -> None:
    """An empty .json file is malformed."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"")
    assert malformed_reason(judged(path)) == "empty file"


def test_deeply_nested_json_is_malformed(tmp_path: Path) -> None:
    """Absurd nesting makes a .json file malformed; 600 levels do not."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"[" * 1_000_000 + b"]" * 1_000_000)
    assert malformed_reason(judged(path)) == "nested too deeply"
    path.write_bytes(b"[" * 600 + b"]" * 600)
    assert judged(path).is_good


@pytest.mark.parametrize(
    ("name", "size_bytes", "reason"),
    [
        ("plan.json", 300 * 1024**2, "larger than 128 MiB, not judged"),
        ("plan.json", 128 * 1024**2 + 1, "larger than 128 MiB, not judged"),
        ("image.bin", 16 * 1024**3 + 1, "larger than 16 GiB, not judged"),
    ],
)
def test_too_large_a_file_is_malformed_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size_bytes: int, reason: str
) -> None:
    """A file above its bound is malformed, and none of it is read."""

    def refuse_to_read(*_args: object, **_options: object) -> None:
        pytest.fail("read")

    path = tmp_path / name
    path.touch()
    os.truncate(path, size_bytes)  # sparse: takes no room
    monkeypatch.setattr(artifacts, "_read", refuse_to_read)
    assert malformed_reason(judged(path)) == reason


def test_file_at_its_bound_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of exactly the largest size is judged like any other."""
    monkeypatch.setattr(artifacts, "JSON_BYTES_MAX", 4)
    path = tmp_path / "plan.json"
    path.write_bytes(b"[12]")
    assert judged(path).is_good
    path.write_bytes(b"[123]")
    assert not judged(path).is_good


@pytest.mark.parametrize("name", ["plan.json", "plan.bin"])
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"{}" + b" " * 3_000_000),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"[]"),
    ],
    ids=["grown", "shrunk", "rewritten"],
)
def test_file_changed_while_it_is_read_is_malformed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Path], int]
) -> None:
    """A file that grows, shrinks or is rewritten while it is read is malformed, without a crash."""
    path = tmp_path / name
    path.write_bytes(b"{}")
    take_snapshot([str(path)])  # returns once a rewrite will have another stamp
    read = artifacts._read

    def read_changed(
        stream: FileIO, size_bytes: int, *, keep: bool, chunk: None
    ) -> tuple[str, int, bytes | bytearray]:
        change(path)
        return read(stream, size_bytes, keep=keep, chunk=chunk)

    monkeypatch.setattr(artifacts, "_read", read_changed)
    assert malformed_reason(judged(path)) == "changed while it was read"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_file_longer_than_it_says_is_malformed() -> None:
    """A file that yields more than its size is malformed, and is not read to its end."""
    assert malformed_reason(judged(Path("/proc/self/maps"))) == "changed while it was read"


@pytest.mark.timeout(60)
def test_file_that_grows_without_end_is_not_read_without_end() -> None:
    """Reading stops soon after the size that the file had, however much still comes."""
    with Path("/dev/zero").open("rb", buffering=0) as endless:
        _, size_bytes, data = artifacts._read(endless, 3_000_000, keep=False)
    assert 3_000_000 < size_bytes < 5_000_000
    assert data == b""


# Verdicts as a whole


def test_path_given_twice_is_judged_once_in_order(tmp_path: Path) -> None:
    """A repeated path appears once, where it was first."""
    paths = [tmp_path / name for name in ("b", "a", "c")]
    for path in paths:
        path.write_bytes(b"")
    given = [str(path) for path in (paths[0], paths[1], paths[0], paths[2], paths[1])]
    verdict = judge(given, take_snapshot([]), allow_stale=True)
    assert [artifact.path for artifact in verdict.good] == [str(path) for path in paths]


def test_nothing_expected_is_good() -> None:
    """Without expected artifacts nothing is wrong."""
    verdict = judge([], take_snapshot([]), allow_stale=False)
    assert verdict == ArtifactsVerdict(good=(), missing=(), malformed=(), stale=())
    assert verdict.is_good


def test_summary_names_all_wrong_ones_by_kind(tmp_path: Path) -> None:
    """The summary is one line with every wrong path, its kind and its reason."""
    names = ("gone", "stale", "bad.json", "fifo", "good", "lost")
    paths = [str(tmp_path / name) for name in names]
    (tmp_path / "stale").write_bytes(b"")
    snapshot = take_snapshot(paths)
    (tmp_path / "bad.json").write_bytes(b"[1,2,]")
    (tmp_path / "good").write_bytes(b"")
    os.mkfifo(tmp_path / "fifo")
    verdict = judge(paths, snapshot, allow_stale=False)
    assert not verdict.is_good
    assert [artifact.path for artifact in verdict.good] == [str(tmp_path / "good")]
    assert verdict.summary() == (
        f"missing: {tmp_path}/gone (does not exist), {tmp_path}/lost (does not exist)"
        f"; malformed: {tmp_path}/bad.json (line 1 column 6: trailing comma in array)"
        f", {tmp_path}/fifo (is a FIFO, not a regular file)"
        f"; stale: {tmp_path}/stale (unchanged since before this attempt)"
    )


def test_summary_stays_on_one_line(tmp_path: Path) -> None:
    """A path with a line break or an escape sequence in it cannot forge the summary."""
    summary = judged(tmp_path / "a\nb\x1b[2J").summary()
    assert summary.isprintable()
    assert "a\\x0ab\\x1b[2J" in summary
