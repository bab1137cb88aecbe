"""The archive: one form for given members, which every tar reads, and no other is read."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import pytest

from fsm_orchestrator.bundle import archive_reader, headers
from fsm_orchestrator.bundle.archive_reader import ArchiveError, ArchiveProblem, members_of
from fsm_orchestrator.bundle.archive_writer import ArchiveWriter, OtherSizeError
from fsm_orchestrator.bundle.members import MemberKind, artifact_member, kind_of

LONG_NAME = f"approvals/{'g' * 64}.123.request.json.{'a' * 16}.sig"
MEMBERS: dict[str, bytes] = {
    LONG_NAME: b"who",
    artifact_member("0" * 64): b"\0\xff" * 300,
    "logs/manager.1.stdout.log": b"",
    "orchestrator_events.jsonl": b"x" * headers.BLOCK_BYTES,
    "statement.json": b"{}\n",
}


def archive_of(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of some members, in their order."""
    stream = io.BytesIO()
    writer = ArchiveWriter(stream.write)
    for name, data in members.items():
        assert writer.add(name, len(data), [data]) == hashlib.sha256(data).hexdigest()
    writer.end()
    return stream.getvalue()


def read(data: bytes | BinaryIO) -> dict[str, bytes]:
    """Return the members of an archive."""
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    return {one.name: one.read() for one in members_of(stream)}


ARCHIVE = archive_of(MEMBERS)


def test_what_was_written_is_read() -> None:
    """Names, kinds, sizes, bytes and digests are the same after reading."""
    found = []
    for one in members_of(io.BytesIO(ARCHIVE)):
        data = one.read()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one.size_bytes, one.sha256)
        found.append((one.name, one.kind, data))
    kinds = [
        *(MemberKind.APPROVAL, MemberKind.ARTIFACT, MemberKind.LOG, MemberKind.EVENTS),
        MemberKind.STATEMENT,
    ]
    names_and_data = zip(MEMBERS.items(), kinds, strict=True)
    assert found == [(name, kind, data) for (name, data), kind in names_and_data]


def test_a_member_that_nobody_reads_is_digested_and_passed() -> None:
    """A caller may look only at names; the members after them are read as well."""
    found = [*members_of(io.BytesIO(ARCHIVE))]
    assert [one.sha256 for one in found] == [
        hashlib.sha256(one).hexdigest() for one in MEMBERS.values()
    ]


def test_every_tar_reads_it(tmp_path: Path) -> None:
    """Python's tarfile and tar(1) find the same members, private, at a fixed time."""
    with tarfile.open(fileobj=io.BytesIO(ARCHIVE)) as found:
        infos = found.getmembers()
        contents = [found.extractfile(one) for one in infos]
        assert [one.read() for one in contents if one] == [*MEMBERS.values()]
    assert {(one.mode, one.uid, one.gid, one.uname, one.mtime) for one in infos} == {
        (0o600, 0, 0, "", 315_532_800)
    }
    tar = shutil.which("tar")
    if tar is None:
        pytest.skip("tar is not installed")
    (tmp_path / "it.fsmbundle").write_bytes(ARCHIVE)
    told = subprocess.run(
        [tar, "-xvf", "it.fsmbundle"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [*MEMBERS]
    assert told.stderr == ""
    assert all((tmp_path / name).read_bytes() == data for name, data in MEMBERS.items())


def test_a_large_member_has_its_size_in_an_extended_header() -> None:
    """A size over 8 GiB does not fit into the octal digits of a block."""
    size = 9 * 1024**3
    made = headers.header_of("logs/a.1.stdout.log", size)
    info = tarfile.TarInfo.frombuf(made[:512], "utf-8", "strict")
    assert (info.type, headers.extended_in(made[512 : 512 + info.size])) == (b"x", (None, size))
    assert headers.header_of("logs/a.1.stdout.log", 8 * 1024**3 - 1)[156:157] == b"0"


CUTS = (1, 511, 512, 700, 1024, 1536, 2048, len(ARCHIVE) - 1024, len(ARCHIVE) - 1)


@pytest.mark.parametrize("at", CUTS)
def test_a_cut_archive_is_refused(at: int) -> None:
    """An archive that ends anywhere too early is reported as cut."""
    with pytest.raises(ArchiveError) as caught:
        read(ARCHIVE[:at])
    assert caught.value.problem is ArchiveProblem.CUT


def test_every_changed_byte_outside_of_members_is_refused() -> None:
    """Each byte of headers, padding and end is compared with what the writer writes."""
    with tarfile.open(fileobj=io.BytesIO(ARCHIVE)) as found:
        inside = {
            at
            for one in found.getmembers()
            for at in range(one.offset_data, one.offset_data + one.size)
        }
    for at in set(range(len(ARCHIVE))) - inside:
        changed = bytearray(ARCHIVE)
        changed[at] ^= 1
        with pytest.raises(ArchiveError):
            read(bytes(changed))


def _block(**changes: object) -> bytes:
    info = tarfile.TarInfo("statement.json")
    info.mtime, info.mode = 315_532_800, 0o600
    for key, value in changes.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT)


REFUSED: dict[str, tuple[Callable[[], bytes], ArchiveProblem]] = {
    "nothing": (lambda: b"", ArchiveProblem.EMPTY),
    "no member": (lambda: headers.END, ArchiveProblem.EMPTY),
    "text": (lambda: b"hello" * 1000, ArchiveProblem.NOT_CANONICAL),
    "gzip": (lambda: b"\x1f\x8b" + bytes(2000), ArchiveProblem.NOT_CANONICAL),
    "a link": (
        lambda: _block(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        ArchiveProblem.NOT_CANONICAL,
    ),
    "a directory": (lambda: _block(type=tarfile.DIRTYPE), ArchiveProblem.NOT_CANONICAL),
    "a device": (lambda: _block(type=tarfile.CHRTYPE), ArchiveProblem.NOT_CANONICAL),
    "another owner": (lambda: _block(uid=1000), ArchiveProblem.NOT_CANONICAL),
    "another mode": (lambda: _block(mode=0o4755), ArchiveProblem.NOT_CANONICAL),
    "another time": (lambda: _block(mtime=1), ArchiveProblem.NOT_CANONICAL),
    "extended without need": (
        lambda: _block(pax_headers={"path": "statement.json"}),
        ArchiveProblem.NOT_CANONICAL,
    ),
    "a foreign key": (
        lambda: _block(name=LONG_NAME, pax_headers={"comment": "x"}),
        ArchiveProblem.NOT_CANONICAL,
    ),
    "a large extended header": (
        lambda: _block(pax_headers={"comment": "x" * 10_000}),
        ArchiveProblem.NOT_CANONICAL,
    ),
    "a name that leads out": (
        lambda: headers.header_of("../x", 0) + headers.END,
        ArchiveProblem.UNKNOWN_MEMBER,
    ),
    "an absolute name": (
        lambda: headers.header_of("/etc/passwd", 0) + headers.END,
        ArchiveProblem.UNKNOWN_MEMBER,
    ),
    "a name below a directory of ours": (
        lambda: headers.header_of("logs/../../x", 0) + headers.END,
        ArchiveProblem.UNKNOWN_MEMBER,
    ),
    "twice": (
        lambda: headers.header_of("statement.json", 0) * 2 + headers.END,
        ArchiveProblem.ORDER,
    ),
    "out of order": (
        lambda: headers.header_of("vsa.json", 0) + headers.header_of("statement.json", 0),
        ArchiveProblem.ORDER,
    ),
    "a statement of 65 MiB": (
        lambda: headers.header_of("statement.json", 65 * 1024**2),
        ArchiveProblem.TOO_LARGE,
    ),
    "something behind the end": (lambda: ARCHIVE + b"\0", ArchiveProblem.TRAILING),
    "records of ten kilobytes, as tar(1) writes": (
        lambda: ARCHIVE + bytes(-len(ARCHIVE) % 10_240),
        ArchiveProblem.TRAILING,
    ),
    "one block of zeros": (
        lambda: headers.header_of("statement.json", 0) + bytes(512) + b"x" * 512,
        ArchiveProblem.NOT_CANONICAL,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_writer_does_not_write_is_refused(case: str) -> None:
    """Each kind of archive that another program would accept is refused with its problem."""
    make, problem = REFUSED[case]
    with pytest.raises(ArchiveError) as caught:
        read(make())
    assert caught.value.problem is problem


def test_the_count_of_members_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One member over the maximum is refused."""
    monkeypatch.setattr(archive_reader, "MEMBERS_MAX", len(MEMBERS))
    assert len(read(ARCHIVE)) == len(MEMBERS)
    monkeypatch.setattr(archive_reader, "MEMBERS_MAX", len(MEMBERS) - 1)
    with pytest.raises(ArchiveError) as caught:
        read(ARCHIVE)
    assert (caught.value.problem, caught.value.member) == (
        ArchiveProblem.TOO_MANY,
        "statement.json",
    )


def test_the_size_of_all_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that would exceed the maximum is not read."""
    monkeypatch.setattr(archive_reader, "ARCHIVE_BYTES_MAX", 4096)
    with pytest.raises(ArchiveError) as caught:
        read(ARCHIVE)
    assert caught.value.problem is ArchiveProblem.TOO_LARGE


class _Slow(io.BytesIO):
    """A stream that gives three bytes at a time, as a pipe may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(3, size) if size is not None and size > 0 else size)


def test_a_pipe_is_read_as_well() -> None:
    """The reader does not seek, and continues after short reads."""
    assert read(_Slow(ARCHIVE)) == MEMBERS


@pytest.mark.parametrize("data", [b"", b"12", b"1234"])
def test_a_member_of_another_size_is_not_written(data: bytes) -> None:
    """A file that shrinks or grows while it is read makes no archive."""
    writer = ArchiveWriter(io.BytesIO().write)
    with pytest.raises(OtherSizeError):
        writer.add("statement.json", 3, [data])


@pytest.mark.parametrize(
    "name",
    [
        *("", "x", "statement.json\n", "Statement.json", "./statement.json", "logs", "logs/"),
        *("logs/a.0.stdout.log", "logs/a.1.stdout.log/x", "artifacts/../statement.json"),
        *("artifacts/" + "A" * 64, "artifacts/" + "0" * 63, "signatures/statement.0.sig"),
        *("approvals/g.1.request.json./x", "approvals/g.1.request.json.\u0430.sig"),
        *("evidence/g.1.json.tmp", "évidence/g.1.json", "orchestrator.lock"),
        f"logs/{'a' * 65}.1.stdout.log",
    ],
)
def test_no_other_name_is_a_member(name: str) -> None:
    """The list of possible names is closed."""
    assert kind_of(name) is None
