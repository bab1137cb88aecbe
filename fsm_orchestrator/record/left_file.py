"""The lines of the private state on what runs have left in an output directory: one per step.

The file is outside the reach of a confined stage. It is named after the directory's path, because
nothing in a record may say by which anchor the record is judged. A line is there before the files
that it describes, and nothing waits for it to be on disk: the page cache outlives a kill, and after
a power cut the events speak for themselves (record_check.py).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fsm_orchestrator.constants import CHECKPOINT_FILE
from fsm_orchestrator.disk import files, peek
from fsm_orchestrator.secrets.state_directory import state_directory
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.json_output import json_value

if TYPE_CHECKING:
    from fsm_orchestrator.record.left_beside import LeftBeside

SIZE_BYTES_MAX: Final = 64 * 1024
"""The size beyond which a file is started over, with the lines that still count."""
READ_BYTES_MAX: Final = 64 * 1024 * 1024
DIRECTORIES_KEPT: Final = 64
"""The number of output directories in one folder that are left once the oldest are forgotten."""
DIRECTORIES_MAX: Final = 96
"""The number at which that happens: not every run in a new directory looks for the oldest."""
KEPT_LINES: Final = 16
_NAME_BYTES_MAX: Final = 64
RUNS_KEPT: Final = 64
"""The number of earlier runs in a directory that are remembered, none of which may be put back."""


class Left(NamedTuple):
    """A line: what a run has left in its files, or is about to leave there.

    Attributes:
        run_id: the id of the run.
        boot: the boot that it was written in; "" if that is unknown.
        place: the inode number of the output directory.
        seq: the number of the last event.
        head: the digest of its line; "" before there is one.
        durable_seq: the number of the last event that is certainly durable.
        checkpoint: the digest of the checkpoint; "" before there is one.
        report: the digest of the report; "" if it is unknown.
        private: the digest of the private file; "" if there is none, or it is unknown.
        is_sealed: True if nothing follows: the invocation has ended, and left its files like this.
        is_unsure: True if the line before may be right as well: a step failed.
        events: a stamp that shows that the events were not touched since; "" if none can.
    """

    run_id: str
    boot: str
    place: str
    seq: int = 0
    head: str = ""
    durable_seq: int = 0
    checkpoint: str = ""
    report: str = ""
    private: str = ""
    is_sealed: bool = False
    is_unsure: bool = False
    events: str = ""


class LeftFile:
    """The open file of one output directory. Its first failure is kept; nothing is written after.

    Attributes:
        latest: the line that was written last.
        failure: the error that kept a line from being written; None if there was none.
    """

    def __init__(
        self, output_directory: Path, first: Left, beside: LeftBeside | None = None
    ) -> None:
        self.latest = first
        self.failure: OSError | None = None
        self._descriptor = -1
        self._output = output_directory
        self._beside = beside

    def note(self, **changes: Any) -> None:
        """Add a line: the latest one with changes; it is sealed only if the changes say that."""
        told: dict[str, Any] = {"is_sealed": False, "is_unsure": False, "events": "", **changes}
        self.latest = self.latest._replace(**told)
        if self.failure is not None:
            return
        try:
            if self._beside is not None:
                self._beside.note(self.latest)
            if self._descriptor < 0:
                self._descriptor = _open(file_of(self._output))
            files.write_all(self._descriptor, line_of(self.latest))
        except OSError as error:
            self.failure = error

    def close(self) -> None:
        """Close the file."""
        if self._beside is not None:
            self._beside.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def file_of(output_directory: Path | str) -> Path:
    """Return the path of the file with the lines of an output directory.

    Raises:
        OSError: there is no private state.
    """
    real = os.path.realpath(output_directory)
    name = sha256_of(os.fsencode(real))
    state = state_directory(Path(output_directory), real=real)
    return state / f"left-{name[:2]}" / f"{name[:32]}.jsonl"


def lines_of(output_directory: Path | str) -> tuple[Left, ...]:
    """Return the lines that are known of an output directory, oldest first; empty if none are."""
    try:
        data = files.read_bounded(file_of(output_directory), READ_BYTES_MAX)
    except OSError:
        return ()
    return tuple(one for line in data.split(b"\n") if (one := parsed(line)) is not None)


def note_report(output_directory: Path, left: Left, report: bytes) -> None:
    """Add a line with another report, that of a refused start. A failure is ignored."""
    with contextlib.closing(LeftFile(output_directory, left)) as file:
        file.note(report=sha256_of(report), events=left.events, is_unsure=True)


def note_again(output_directory: Path, run_id: str) -> None:
    """Note again what an earlier run has left in a directory, because it is put back there.

    Nothing is noted for a run of which nothing is known: its record proves itself, or does not.

    Raises:
        OSError: it cannot be noted.
    """
    known = [one for one in lines_of(output_directory) if one.run_id == run_id]
    if not known:
        return
    place = str(os.stat(output_directory).st_ino)
    descriptor = _open(file_of(output_directory))
    try:
        lines = (one._replace(place=place) for one in counting(known))
        files.write_all(descriptor, b"".join(map(line_of, lines)))
    finally:
        os.close(descriptor)


def hand_on(before: Path, after: Path, inode: int) -> None:
    """Note for a run's next epoch what is known of the one before; do nothing if nothing is.

    If a later one was claimed here and is gone by now, note what is known of that one: the record
    will be checked against it. `inode` is the number of the directory that will be `after`.

    Raises:
        OSError: it cannot be noted.
    """
    place = str(os.stat(before).st_ino)
    known = [one for one in lines_of(before) if one.place == place]
    claimed = _claimed_here(after.parent)
    if claimed > before.name:
        gone = lines_of(after.parent / claimed)
        run_id = peek.document(before / CHECKPOINT_FILE).get("run_id")
        if gone and gone[-1].run_id == run_id:
            known = [one for one in gone if one.place == gone[-1].place]
    known = [one for one in known if one.run_id == known[-1].run_id]
    if not known:
        return
    descriptor = _open(file_of(after))
    try:
        lines = (one._replace(place=str(inode)) for one in counting(known))
        files.write_all(descriptor, b"".join(map(line_of, lines)))
    finally:
        os.close(descriptor)


def note_claim(epoch: Path) -> None:
    """Note that an epoch is the latest of its run, so that its disappearance is noticed.

    Raises:
        OSError: it cannot be noted.
    """
    path = _file_of_claim(epoch.parent)
    files.make_directory(path.parent, mode=0o700, is_durable=False)
    staged = files.stage_file(path, epoch.name.encode(), mode=0o600, is_durable=False)
    try:
        staged.commit()
    finally:
        staged.discard()


def _claimed_here(epochs: Path) -> str:
    """Return the name of the latest epoch that was claimed here; empty if none is known."""
    try:
        return files.read_bounded(_file_of_claim(epochs), _NAME_BYTES_MAX).decode(
            "ascii", "replace"
        )
    except OSError:
        return ""


def _file_of_claim(epochs: Path) -> Path:
    return file_of(epochs).with_suffix(".epoch")


def forget(output_directory: Path) -> None:
    """Forget an epoch from which no record will be made anymore.

    Raises:
        OSError: its file cannot be removed.
    """
    files.remove(file_of(output_directory))


def counting(lines: Sequence[Left]) -> Sequence[Left]:
    """Return those of a directory's lines, oldest first, one of which its record has to match."""
    count = 1 if lines[-1].is_sealed else 2
    while count < len(lines) and lines[-count + 1].is_unsure:
        count += 1
    return lines[-count:]


def _open(path: Path) -> int:
    """Open a file of lines for appending; start a long one over, and forget old ones."""
    files.make_directory(path.parent, mode=0o700, is_durable=False)
    if not os.path.lexists(path):
        _forget_old(path.parent)
    descriptor = files.open_append(path, mode=0o600)
    size_bytes = os.fstat(descriptor).st_size
    if size_bytes <= SIZE_BYTES_MAX:
        if size_bytes and os.pread(descriptor, 1, size_bytes - 1) != b"\n":  # a torn line
            files.write_all(descriptor, b"\n")
        return descriptor
    os.close(descriptor)
    found = files.read_bounded(path, READ_BYTES_MAX).split(b"\n")
    kept = _still_counting([one for line in found if (one := parsed(line)) is not None])
    staged = files.stage_file(path, b"".join(map(line_of, kept)), mode=0o600, is_durable=False)
    try:
        staged.commit()
    finally:
        staged.discard()
    return files.open_append(path, mode=0o600)


def _still_counting(lines: list[Left]) -> list[Left]:
    """Return the latest lines, and before them the lines of each earlier run that still count."""
    earlier: dict[str, list[Left]] = {}
    for one in lines[:-KEPT_LINES]:
        earlier.setdefault(one.run_id, []).append(one)
    kept = [one for of_run in [*earlier.values()][-RUNS_KEPT:] for one in counting(of_run)]
    return [*kept, *lines[-KEPT_LINES:]]


def _forget_old(folder: Path) -> None:
    """Make room for one more directory."""
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            there = list(entries)
        if len(there) < DIRECTORIES_MAX:
            return
        found = [(one.stat().st_mtime_ns, one.path) for one in there]
        for _, path in sorted(found, reverse=True)[DIRECTORIES_KEPT - 1 :]:
            files.remove(Path(path))


def line_of(left: Left) -> bytes:
    """Return a line as it is stored."""
    return json_value(list(left)).encode() + b"\n"


def parsed(line: bytes) -> Left | None:
    """Return the content of a line, or None if it is torn or not of this program."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kinds = tuple(type(one) for one in Left("", "", ""))
    if not isinstance(values, list) or tuple(map(type, values)) != kinds:
        return None
    return Left(*values)
