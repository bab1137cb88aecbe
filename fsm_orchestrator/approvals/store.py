"""`OUT/approvals/`: the requests of a run, and the answers to them, one file each.

A file has a name that nobody else writes, and appears whole: the answers of two people at the same
time both count. Nothing here is trusted; nothing is ever removed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.approvals.request import (
    REQUEST_BYTES_MAX,
    ApprovalPredicate,
    NotARequestError,
    StoredRequest,
    predicate_of,
    request_bytes,
)
from fsm_orchestrator.approvals.said import SAID_BYTES_MAX
from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.constants import APPROVALS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.where import record_of, run_of
from fsm_orchestrator.model.approval import Said
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.vocabulary import Operation

FILES_MAX: Final = 10_000
_NUMBERED: Final = r"([a-z][a-z0-9_]*)\.([1-9][0-9]{0,8})\."
_REQUEST: Final = re.compile(_NUMBERED + r"request\.json")
_USED: Final = re.compile(_NUMBERED + r"used\.json")
_SAID: Final = re.compile(_NUMBERED + r"(approve|deny|withdraw)\.[0-9a-f]{16}\.json")
_PLAIN: Final = re.compile(_NUMBERED + r"request\.json(\.[A-Za-z0-9_@+-]+)*\.sig")


class KeptSaying(NamedTuple):
    """A file with an answer to a request.

    Attributes:
        number: the number of the request, from the file's name.
        said: the kind of answer, from the file's name; None for a plain signature of the request,
            an approval.
        written_at: the time when the file was written.
    """

    number: int
    said: Said | None
    file: str
    raw: bytes
    written_at: str


class Kept(NamedTuple):
    """The files of one gate.

    Attributes:
        requests: the requests that can be read, in order.
        used: the digests of the requests by which an approval has let a run in.
        last_number: the number of the last request; 0 if there is none.
    """

    requests: tuple[StoredRequest, ...]
    sayings: tuple[KeptSaying, ...]
    used: frozenset[str]
    last_number: int


class StoredFile(NamedTuple):
    """A file of the store, wherever it is.

    Attributes:
        name: its name without its directory.
        read: returns its bytes, at most as many as its argument says; raises OSError.
        written_at: returns the time when it was written; raises OSError.
    """

    name: str
    read: Callable[[int], bytes]
    written_at: Callable[[], str]


def kept(output: Path, gate: str) -> Kept:
    """Read the files of a gate in an output directory, as `kept_in` does."""
    return kept_in(_files(output), gate)


def kept_in(stored: Iterable[StoredFile], gate: str) -> Kept:
    """Read the files of a gate; a file that cannot be read counts as absent.

    Requests are numbered without gaps: a request behind a gap is not this program's.
    """
    requests: list[StoredRequest] = []
    sayings: list[KeptSaying] = []
    used: set[str] = set()
    numbers: set[int] = set()
    for one in stored:
        for pattern in (_REQUEST, _USED, _SAID, _PLAIN):
            found = pattern.fullmatch(one.name)
            if found is None or found[1] != gate:
                continue
            number, file = int(found[2]), f"{APPROVALS_DIRECTORY}/{one.name}"
            if pattern is _REQUEST:
                numbers.add(number)
                requests += _request(one, number, file)
            elif pattern is _USED:
                used |= set(_used(one))
            else:
                said = Said(found[3]) if pattern is _SAID else None
                sayings += _saying(one, KeptSaying(number, said, file, b"", ""))
    last = next(one for one in itertools.count(1) if one not in numbers) - 1
    ours = (one for one in requests if one.number <= last)
    return Kept(
        tuple(sorted(ours, key=lambda one: one.number)),
        tuple(sorted(sayings, key=lambda one: (one.number, one.written_at, one.file))),
        frozenset(used),
        last,
    )


def _files(output: Path) -> Iterator[StoredFile]:
    for name in _names(output):
        path = output / APPROVALS_DIRECTORY / name
        yield StoredFile(name, partial(files.read_bounded, path), partial(_written_at, path))


def _written_at(path: Path) -> str:
    return timestamp(datetime.fromtimestamp(os.lstat(path).st_mtime, UTC))


def _names(output: Path) -> list[str]:
    try:
        with os.scandir(output / APPROVALS_DIRECTORY) as entries:
            return sorted(one.name for one, _ in zip(entries, range(FILES_MAX), strict=False))
    except OSError:
        return []


def _request(one: StoredFile, number: int, file: str) -> Iterator[StoredRequest]:
    with contextlib.suppress(OSError, NotARequestError):
        raw = one.read(REQUEST_BYTES_MAX)
        yield StoredRequest(number, file, raw, predicate_of(raw))


def _saying(one: StoredFile, known: KeptSaying) -> Iterator[KeptSaying]:
    with contextlib.suppress(OSError):
        written_at = one.written_at()
        yield known._replace(raw=one.read(SAID_BYTES_MAX), written_at=written_at)


def _used(one: StoredFile) -> Iterator[str]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        yield str(json.loads(one.read(SAID_BYTES_MAX))["request_sha256"])


def keep_request(home: HeldDirectory, number: int, predicate: ApprovalPredicate) -> StoredRequest:
    """Write a new request.

    Raises:
        RecordingError: it cannot be written.
    """
    name = f"{predicate.gate}.{number}.request.json"
    raw = request_bytes(predicate)
    _write(home, name, raw)
    return StoredRequest(number, f"{APPROVALS_DIRECTORY}/{name}", raw, predicate)


def keep_use(home: HeldDirectory, request: StoredRequest, now: datetime) -> None:
    """Record that the approval of a request has let a run in, for its cycle.

    Raises:
        RecordingError: it cannot be written.
    """
    used = {"request_sha256": request.sha256, "used_at": timestamp(now)}
    name = f"{request.predicate.gate}.{request.number}.used.json"
    _write(home, name, (json.dumps(used, indent=2) + "\n").encode())


def _write(home: HeldDirectory, name: str, raw: bytes) -> None:
    directory = home.path / APPROVALS_DIRECTORY
    with (
        files.recording(Operation.APPROVAL_PERSIST, directory / name),
        files.below(home, APPROVALS_DIRECTORY) as place,
    ):
        files.replace_file(directory / name, raw, mode=0o600, within=place)
        files.sync(home.descriptor)


def keep_saying(output: Path, request: StoredRequest, said: Said | None, raw: bytes) -> str:
    """Write an answer to a request beside the existing files; return the file's name.

    `said` is None for a plain signature. The directory belongs to a run that may be at work. If an
    engine hands the run on in the meantime, the answer is also written into the epochs that follow:
    a claim copies the files that are there before it can be seen, and this looks for a claim after
    it has written.

    Raises:
        OSError: it cannot be written.
    """
    mark = sha256_of(raw)[:16]
    begin = f"{request.predicate.gate}.{request.number}"
    name = f"{begin}.request.json.{mark}.sig" if said is None else f"{begin}.{said}.{mark}.json"
    _keep(output, name, raw)
    while (latest := record_of(run_of(output))) != output:
        output = latest
        _keep(output, name, raw)
    return f"{APPROVALS_DIRECTORY}/{name}"


def _keep(output: Path, name: str, raw: bytes) -> None:
    descriptor = files.open_directory(output)
    try:
        home = HeldDirectory(output, descriptor)
        with files.below(home, APPROVALS_DIRECTORY, may_make=False) as place:
            files.replace_file(place.path / name, raw, mode=0o600, within=place)
    finally:
        os.close(descriptor)
