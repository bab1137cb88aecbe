"""The end of a log: masked before it is cut, and its last line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsm_orchestrator.disk.files import open_append
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import LatestLog, StageLog
from fsm_orchestrator.stages.output_tail import TAIL_BYTES, last_line, read_tail, tail_of

VALUE = "open-sesame-4711"


def log_of(path: Path, data: bytes) -> StageLog:
    """Return a log with this content."""
    path.write_bytes(data)
    return StageLog(1, "manager", is_stderr=False, path=path)


def latest(log: StageLog) -> LatestLog:
    """Return the same as a stage's last log."""
    return LatestLog(log.attempt, log.stage, log.is_stderr, str(log.path), log.path.stat())


@pytest.mark.parametrize("after", range(TAIL_BYTES - len(VALUE) - 1, TAIL_BYTES + 2))
def test_no_piece_of_a_value_is_left_where_the_tail_begins(after: int, tmp_path: Path) -> None:
    """A value is masked whole before the cut, wherever the cut falls."""
    log = log_of(tmp_path / "log", b"x" * 9000 + VALUE.encode() + b"y" * after)
    tail = tail_of(log, Masker([VALUE]))
    assert tail is not None
    assert set(tail.text) <= set("x*y")
    assert (tail.is_cut, tail.size_bytes) == (True, 9000 + len(VALUE) + after)


def test_tail_begins_where_it_is_told_to(tmp_path: Path) -> None:
    """Content before an offset is no part of the tail, even after the file was cut short."""
    log_of(tmp_path / "log", b"old\nnew\n")
    descriptor = open_append(tmp_path / "log")
    try:
        tail = read_tail(descriptor, Masker(()), start=4)
        assert (tail.text, tail.is_cut, tail.size_bytes) == ("new\n", False, 8)
        os.truncate(descriptor, 2)
        assert read_tail(descriptor, Masker(()), start=4).text == ""
    finally:
        os.close(descriptor)


def test_log_that_cannot_be_read_has_no_tail(tmp_path: Path) -> None:
    """The tail of a missing log is None, and it has no last line."""
    log = log_of(tmp_path / "gone", b"said\n")
    seen = latest(log)
    log.path.unlink()
    assert tail_of(log, Masker(())) is None
    assert last_line([seen], Masker(())) == ""


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"one\ntwo\n", "two"),
        (b"one\n  \n\n", "one"),
        (b"one\nso %s\n" % VALUE.encode(), "so ***"),
        (b"x" * 9000 + b"\nlast", "last"),
        (b"x" * 9000, ""),
        (b"", ""),
    ],
    ids=["whole", "blank lines after it", "masked", "after a long one", "a piece", "empty"],
)
def test_last_line_is_whole_and_masked(data: bytes, shown: str, tmp_path: Path) -> None:
    """It is the last line with content; a line whose beginning is unknown is left out."""
    assert last_line([latest(log_of(tmp_path / "log", data))], Masker([VALUE])) == shown


def test_last_line_is_of_the_log_written_last(tmp_path: Path) -> None:
    """The younger log counts, unless it is empty."""
    old, new = log_of(tmp_path / "old", b"old\n"), log_of(tmp_path / "new", b"new\n")
    os.utime(old.path, ns=(0, 1))
    assert last_line([latest(new), latest(old)], Masker(())) == "new"
    new.path.write_bytes(b"")
    assert last_line([latest(new), latest(old)], Masker(())) == "old"
