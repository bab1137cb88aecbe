"""A bundle with every kind of content, and ways to change it: its bytes, or its digests again."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.bundle.archive_reader import members_of
from fsm_orchestrator.bundle.archive_writer import ArchiveWriter
from fsm_orchestrator.bundle.known import Known, Wanted
from fsm_orchestrator.bundle.members import kind_of
from fsm_orchestrator.bundle.opened import OpenedBundle
from fsm_orchestrator.bundle.verified import Check, CheckState, Verification
from fsm_orchestrator.bundle.verifying import checks_of, verification_of
from tests.approvals.approval_cases import approve, begin, go_on, line, make_key, project
from tests.bundle.bundle_cases import bundle, members
from tests.gates.evidence_cases import TEST_RESULT, statement, write
from tests.support.command import CHECKPOINT, EVENTS, REPORT

STATEMENT: Final = "statement.json"
APPROVER: Final = "bob@example.org"
MAKER: Final = "ci@example.org"
NAMESPACE: Final = "fsm-orchestrator.run"


class Whole(NamedTuple):
    """A run with gates by evidence and people, and its signed bundle, artifacts included.

    Attributes:
        signers: the keys of each signer, for the verifier.
        wanted: the requirements by which the bundle is verified.
    """

    folder: Path
    path: Path
    signers: Path
    wanted: Wanted


def make_whole(folder: Path) -> Whole:
    """Make the run, and its bundle."""
    (folder / "given").write_text("what it is about\n")
    digest = hashlib.sha256((folder / "given").read_bytes()).hexdigest()
    tested = statement({"sha256": digest}, TEST_RESULT, {"result": "PASSED", "passedTests": ["a"]})
    write(folder / "ci.json", tested)
    plan = "echo I plan; echo the plan > plan.md"
    project(folder, plan=plan, more='[subject]\nfiles = ["given"]\n')
    config = (folder / "run.toml").read_text().replace('ci = "success"\n', "")
    (folder / "run.toml").write_text(config + '[gate.ci]\nstatement = "ci.json"\n')
    key, own = make_key(folder, "bob"), make_key(folder, "maker")
    signers = folder / "signers"
    signers.write_text(line(key, APPROVER) + line(own, MAKER))
    begun = begin(folder)
    assert begun.code == 3, begun.stderr
    assert approve(folder, key).code == 0
    done = go_on(folder)
    assert done.code == 0, done.stdout + done.stderr
    path = folder / "whole.fsmbundle"
    made = bundle(folder, path, "--with-artifacts", "--key", str(own))
    assert made.code == 0, made.stderr
    return Whole(folder, path, signers, Wanted(allowed_signers=str(signers)))


def made(folder: Path, path: Path, *options: str) -> bytes:
    """Bundle the run in a folder."""
    ended = bundle(folder, path, *options)
    assert ended.code == 0, ended.stderr
    return path.read_bytes()


def members_of_done(folder: Path, at: Path) -> dict[str, bytes]:
    """Return the members of the bundle, written in `at`, of the done run in a folder."""
    made(folder, at / "done")
    return members(at / "done")


def verified(data: bytes, wanted: Wanted = Wanted()) -> Verification:  # noqa: B008 - never changed
    """Verify all of a bundle."""
    found, _ = verification_of(OpenedBundle(io.BytesIO(data), "/the.fsmbundle"), wanted)
    return found


def first_broken(data: bytes, wanted: Wanted = Wanted()) -> Check | None:  # noqa: B008 - likewise
    """Return the first broken link of a bundle; later links are not checked."""
    known = Known(OpenedBundle(io.BytesIO(data), "/the.fsmbundle"), wanted)
    return next((one for one in checks_of(known) if one.state is CheckState.FAILED), None)


# -- the bytes of an archive --------------------------------------------------------------------


class Region(NamedTuple):
    """A part of an archive: the bytes of a member, or those around it."""

    member: str | None
    begins: int
    ends: int


def regions(data: bytes) -> list[Region]:
    """Return the parts of an archive, in order and without a gap."""
    found: list[Region] = []
    stream = io.BytesIO(data)
    at = 0
    for member in members_of(stream):
        begins = stream.tell()
        found.append(Region(None, at, begins))
        if member.size_bytes:
            found.append(Region(member.name, begins, begins + member.size_bytes))
        at = begins + member.size_bytes
    return [*found, Region(None, at, len(data))]


def changed(data: bytes, region: Region, draw: random.Random) -> tuple[bytes, str]:
    """Return the archive with a change that begins in a region, and the kind of change."""
    at = draw.randrange(region.begins, region.ends)
    most = min(region.ends - at, draw.choice((1, 1, 8, 600)))
    here = data[at : at + most]
    match draw.choice(("flip", "set", "zero", "insert", "cut", "double", "swap", "end")):
        case "flip":
            new, how = bytes([data[at] ^ (1 << draw.randrange(8))]) + here[1:], "in place"
        case "set":
            new, how = draw.randbytes(most), "in place"
        case "zero":
            new, how = bytes(most), "in place"
        case "swap":
            new, how = here[::-1], "in place"
        case "insert":
            new, how = here + draw.randbytes(draw.choice((1, 512))), "moved"
        case "double":
            new, how = here + here, "moved"
        case "cut":
            new, how = b"", "moved"
        case _:
            return data[:at], "moved"
    return data[:at] + new + data[at + most :], how


# -- members changed with all digests made again
# ----------------------------------------------------


def archive_of(found: Mapping[str, bytes]) -> bytes:
    """Return the archive of some members."""
    stream = io.BytesIO()
    writer = ArchiveWriter(stream.write)
    for name in sorted(found):
        writer.add(name, len(found[name]), [found[name]])
    writer.end()
    return stream.getvalue()


def listing_anew(found: dict[str, bytes]) -> dict[str, bytes]:
    """Return members whose statement lists them as they are, and has the head of their chain."""
    document = json.loads(found[STATEMENT])
    listed = sorted(
        name for name in found if (kind := kind_of(name)) is not None and kind.is_listed
    )
    document["predicate"]["members"] = [
        {
            "name": name,
            "kind": kind_of(name),
            "sha256": hashlib.sha256(found[name]).hexdigest(),
            "sizeBytes": len(found[name]),
        }
        for name in listed
    ]
    lines = found[EVENTS].splitlines()
    head = hashlib.sha256(lines[-1]).hexdigest()
    document["predicate"]["chain"] = {"lastSeq": json.loads(lines[-1])["seq"], "head": head}
    return {**found, STATEMENT: as_written(document)}


def as_written(document: Any) -> bytes:
    """Return a document as the program writes the statement and similar ones."""
    return (json.dumps(document, indent=2) + "\n").encode()


def unsigned(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return members without signatures."""
    return {name: data for name, data in found.items() if not name.startswith("signatures/")}


def chained_anew(lines: list[bytes]) -> bytes:
    """Return a log whose lines are chained to each other, whatever their content."""
    prev, chained = None, []
    for text in lines:
        event = json.loads(text)
        if prev is not None:
            event["prev"] = prev
        event.pop("mac", None)
        line_now = json.dumps(event).encode()
        prev = hashlib.sha256(line_now).hexdigest()
        chained.append(line_now)
    return b"".join(one + b"\n" for one in chained)


def made_up(found: Mapping[str, bytes], lies: Mapping[str, str]) -> dict[str, bytes]:
    """Return the members of an invented run: texts are replaced everywhere, and all agree.

    Events are chained again, and checkpoint, report and statement have the new end of the chain.
    """
    new = {}
    for name, data in unsigned(found).items():
        new[name] = data
        for text, lie in lies.items():
            new[name] = new[name].replace(text.encode(), lie.encode())
    new[EVENTS] = chained_anew(new[EVENTS].splitlines())
    lines = {json.loads(one)["seq"]: one for one in new[EVENTS].splitlines()}
    checkpoint, report = json.loads(new[CHECKPOINT]), json.loads(new[REPORT])
    head = hashlib.sha256(lines[checkpoint["last_event_seq"]]).hexdigest()
    mark = checkpoint["events"]
    mark["last_line_sha256"] = hashlib.sha256(lines[mark["last_seq"]]).hexdigest()
    mark["size_bytes"] = sum(len(one) + 1 for seq, one in lines.items() if seq <= mark["last_seq"])
    checkpoint.update(last_event_sha256=head, mac=None)
    report["events_head"]["sha256"] = head
    new[CHECKPOINT] = json.dumps(checkpoint, ensure_ascii=False).encode() + b"\n"
    new[REPORT] = (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()
    return listing_anew(new)


Path_ = tuple[str | int, ...]


def scalars(document: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Yield the places of the texts, numbers and booleans in a document."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from scalars(value, (*at, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from scalars(value, (*at, index))
    elif document is not None:
        yield at


def with_other(document: Any, at: Path_) -> Any:
    """Return a document in which one value is replaced by another of its kind."""
    if not at:
        return other_than(document)
    copy: Any = dict(document) if isinstance(document, dict) else [*document]
    copy[at[0]] = with_other(document[at[0]], at[1:])
    return copy


def other_than(value: Any) -> Any:
    """Return another value of the same kind; for a digest, a time or an id a similar one."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value + 1.0
        case str() if value and value[-1].isdigit():
            return value[:-1] + str((int(value[-1]) + 1) % 10)
        case str() if value.endswith("Z"):
            return value[:-2] + str((int(value[-2]) + 1) % 10) + "Z"
        case str() if value and value[-1] in "abcdef" and len(value) in {40, 64}:
            return value[:-1] + "0"
        case _:
            return f"{value}x"


Edit = Callable[[dict[str, bytes]], dict[str, bytes]]


def edited(path: Path, edit: Edit) -> bytes:
    """Return a bundle with members changed, its digests made again, and unsigned."""
    return archive_of(listing_anew(edit(unsigned(members(path)))))
