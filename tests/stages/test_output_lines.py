"""The output of a stage, as lines to be shown: whole, in order, masked before they are cut."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_orchestrator.disk.files import open_append
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import StageLog
from fsm_orchestrator.stages.output_lines import (
    CHUNK_BYTES,
    LINE_BYTES_MAX,
    LINES_MAX,
    LOOK_BYTES_MAX,
    STATE_SECONDS,
    LogReader,
    OutputLines,
)
from fsm_orchestrator.vocabulary import OutputStream

VALUE = "open-sesame-4711"
KEY = "-----BEGIN\nfirst half\nsecond half\nEND-----"
"""A value of several lines."""


class Printed:
    """Two log files that are printed to, and the lines that were reported from them."""

    def __init__(self, folder: Path, *secrets: str, before: bytes = b"") -> None:
        self.told: list[tuple[str, str, bool]] = []
        self.full = 0
        self.files: list[BinaryIO] = []
        descriptors = []
        for name in ("stdout.log", "stderr.log"):
            (folder / name).write_bytes(before)
            self.files.append((folder / name).open("ab", buffering=0))
            descriptors.append(open_append(folder / name))
        self.descriptors = (descriptors[0], descriptors[1])
        self.reader = OutputLines(self.descriptors, Masker(secrets), self._tell, self._count)

    def _tell(self, stream: OutputStream, text: str, is_cut: bool) -> None:
        self.told.append((stream.value, text, is_cut))

    def _count(self) -> None:
        self.full += 1

    def print(self, text: str | bytes, stream: int = 0) -> None:
        """Write to stdout (0) or stderr (1), as the stage would."""
        self.files[stream].write(text.encode() if isinstance(text, str) else text)

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            file.close()
        for descriptor in self.descriptors:
            os.close(descriptor)

    @property
    def texts(self) -> list[str]:
        """The lines alone."""
        return [text for _, text, _ in self.told]

    def all_of(self, text: str | bytes) -> list[tuple[str, bool]]:
        """Return what is reported of a stage that prints this and ends."""
        self.print(text)
        self.reader.finish()
        return [(line, is_cut) for _, line, is_cut in self.told]


@pytest.fixture(name="printed")
def printed_with_secrets(tmp_path: Path) -> Iterator[Printed]:
    """Yield the outputs of a stage that knows two secrets."""
    printed = Printed(tmp_path, VALUE, KEY)
    yield printed
    printed.close()


def test_lines_are_told_in_order_and_once(printed: Printed) -> None:
    """Each look reports the lines that were finished since, stdout's first."""
    printed.print("one\ntw")
    printed.print("oops\n", stream=1)
    assert printed.reader.read() is False
    assert printed.told == [("stdout", "one", False), ("stderr", "oops", False)]
    printed.reader.read()
    assert len(printed.told) == 2
    printed.print("o\n\n")
    printed.reader.read()
    assert printed.texts == ["one", "oops", "two", ""]


def test_last_line_needs_no_newline(printed: Printed) -> None:
    """An unfinished line is reported at the end, and only what exists of it."""
    printed.print("begun")
    printed.print("finished\n", stream=1)
    printed.reader.read()
    assert printed.texts == ["finished"]
    printed.reader.finish()
    assert printed.texts == ["finished", "begun"]


def test_what_was_there_before_is_not_told(tmp_path: Path) -> None:
    """Only what is printed from now on is reported: another process may have begun the log."""
    printed = Printed(tmp_path, before=b"old\n")
    assert printed.all_of("new\n") == [("new", False)]
    printed.close()


def test_log_that_was_cut_short_is_read_anew(tmp_path: Path) -> None:
    """A stage that empties its own log, and continues to print, is reported from there."""
    printed = Printed(tmp_path, VALUE, before=b"old\n")
    printed.print("a long first line\n")
    printed.reader.read()
    os.truncate(printed.descriptors[0], 0)
    printed.print(f"so {VALUE}\n")
    printed.reader.read()
    assert printed.texts == ["a long first line", "so ***"]
    printed.close()


def test_two_descriptors_of_one_file_are_one_output(tmp_path: Path) -> None:
    """A file that both outputs go to is reported once, as stdout."""
    told: list[tuple[str, str]] = []
    descriptor = open_append(tmp_path / "log")
    again = open_append(tmp_path / "log")
    reader = OutputLines(
        (descriptor, again), Masker(()), lambda name, text, _: told.append((name, text)), told.clear
    )
    os.write(again, b"one\n")
    os.write(descriptor, b"two\n")
    reader.finish()
    assert told == [("stdout", "one"), ("stdout", "two")]
    for one in (descriptor, again):
        os.close(one)


def test_bytes_that_are_not_utf8_are_replaced(printed: Printed) -> None:
    """Whatever is printed becomes text; a character that comes in two pieces is whole."""
    printed.print(b"caf\xc3")
    printed.reader.read()
    printed.print(b"\xa9 \xff\x1b[31m\xe2\x82")
    assert printed.all_of(b"\nend\xc3") == [
        ("caf\u00e9 \ufffd\x1b[31m\ufffd", False),
        ("end\ufffd", False),
    ]


# -- masked before it is cut -----------------------------------------------------------------


@pytest.mark.parametrize("before", range(CHUNK_BYTES - len(VALUE) - 1, CHUNK_BYTES + 2))
def test_value_across_two_chunks_is_masked(printed: Printed, before: int) -> None:
    """A value is masked wherever a read or the cut divides it."""
    ((line, is_cut),) = printed.all_of("x" * before + VALUE + "!\n")
    assert line == ("x" * before + "***!")[:LINE_BYTES_MAX]
    assert is_cut is (before + 4 > LINE_BYTES_MAX)


def test_value_that_comes_in_pieces_is_masked(printed: Printed) -> None:
    """A value that the stage prints letter by letter, each read at once, is masked."""
    for letter in f"a {VALUE} b\n":
        printed.print(letter)
        printed.reader.read()
    assert printed.texts == ["a *** b"]


def test_value_of_several_lines_is_masked_as_a_whole(printed: Printed) -> None:
    """No line of it is reported alone, even if it begins in what is cut off a long line."""
    for line in f"a{KEY}b\n{'x' * 9000}{KEY}c\nd\n".splitlines(keepends=True):
        printed.print(line)
        printed.reader.read()
    assert printed.texts == ["a***b", "x" * LINE_BYTES_MAX, "d"]


@pytest.mark.parametrize("length", range(6, len(VALUE)))
def test_end_in_the_middle_of_a_value_is_masked(printed: Printed, length: int) -> None:
    """A stage that is ended while it prints a value leaves no half of it in the log."""
    assert printed.all_of(f"token {VALUE[:length]}") == [("token ***", False)]


def test_line_is_told_at_once_where_no_value_can_follow(printed: Printed) -> None:
    """A finished line does not wait, though its end is how a value begins."""
    printed.print("open-sesame\n")
    printed.reader.read()
    assert printed.texts == ["open-sesame"]
    printed.print("-----BEGIN\n")
    printed.reader.read()
    assert printed.texts == ["open-sesame"]
    printed.print("other\n")
    printed.reader.read()
    assert printed.texts == ["open-sesame", "***", "other"]  # each line of a value is secret


@given(
    secrets=st.lists(st.text("ab\nc ", min_size=3, max_size=9), max_size=3),
    pieces=st.lists(st.text("ab\nc ", max_size=30), max_size=6),
)
def test_lines_are_those_of_the_whole_text_masked(
    secrets: Sequence[str], pieces: Sequence[str]
) -> None:
    """However output comes in pieces, its lines are those of the whole, masked at once."""
    with tempfile.TemporaryDirectory() as folder:
        printed = Printed(Path(folder), *secrets)
        for piece in pieces:
            printed.print(piece)
            printed.reader.read()
        printed.print("~\n")
        printed.reader.finish()
        printed.close()
    whole = Masker(secrets).mask("".join(pieces) + "~\n")
    assert "".join(f"{text}\n" for text in printed.texts) == whole


# -- read again from the file ------------------------------------------------------------------


def test_log_is_read_from_where_it_was_left_off(tmp_path: Path) -> None:
    """Each reading has the lines finished since; at the end also one without its newline."""
    path = tmp_path / "log"
    reader = LogReader(StageLog(1, "manager", is_stderr=False, path=path))
    masker = Masker([VALUE, KEY])
    assert list(reader.new_pieces(masker, is_over=False)) == []
    path.write_bytes(b"one\r\ntw")
    assert list(reader.new_pieces(masker, is_over=False)) == [("one\r", True)]
    with path.open("ab") as file:
        file.write(f"o\n{KEY}\nso {VALUE[:9]}".encode())
    assert list(reader.new_pieces(masker, is_over=False)) == [("two", True), ("***", True)]
    assert [text for text, _ in reader.new_pieces(masker, is_over=True)] == ["so ***"]
    assert list(reader.new_pieces(masker, is_over=True)) == []


def test_long_line_of_a_log_comes_in_pieces(tmp_path: Path) -> None:
    """A long line comes whole, in pieces of whole characters."""
    path = tmp_path / "log"
    line = "\u20ac" * LINE_BYTES_MAX
    path.write_text(f"{line}\nnext\n")
    reader = LogReader(StageLog(1, "manager", is_stderr=False, path=path))
    *pieces, last = (text for text, _ in reader.new_pieces(Masker(()), is_over=True))
    assert ("".join(pieces), last) == (line, "next")
    assert max(len(piece.encode()) for piece in pieces) <= LINE_BYTES_MAX


# -- bounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("x" * LINE_BYTES_MAX, "x" * LINE_BYTES_MAX),
        ("x" * (LINE_BYTES_MAX + 1), "x" * LINE_BYTES_MAX),
        ("x" * (LINE_BYTES_MAX - 1) + "\u00e9", "x" * (LINE_BYTES_MAX - 1)),
        ("\u00e9" * LINE_BYTES_MAX, "\u00e9" * (LINE_BYTES_MAX // 2)),
    ],
    ids=["as long as may be", "one byte more", "a character at the cut", "characters"],
)
def test_long_line_is_cut_between_characters(printed: Printed, line: str, shown: str) -> None:
    """A line longer than 8 KiB is reported as cut; the next one is whole."""
    assert printed.all_of(f"{line}\nnext\n") == [(shown, line != shown), ("next", False)]


def test_last_allowed_line_is_the_last(printed: Printed) -> None:
    """As many lines as allowed are reported silently; one more is one too many."""
    printed.print("x\n" * LINES_MAX)
    printed.reader.read()
    assert (len(printed.told), printed.full) == (LINES_MAX, 0)
    printed.print("too many\n", stream=1)
    assert printed.reader.read() is False
    assert (len(printed.told), printed.full) == (LINES_MAX, 1)
    printed.print("and more\n")
    printed.reader.finish()
    assert (len(printed.told), printed.full) == (LINES_MAX, 1)


def test_look_and_memory_are_bounded(printed: Printed) -> None:
    """A huge line is read in pieces: a bounded amount in one look, and never all in memory."""
    size_bytes = 8 * 1024 * 1024
    os.truncate(printed.descriptors[0], size_bytes)
    tracemalloc.start()
    try:
        looks = 1
        while printed.reader.read():
            looks += 1
        printed.reader.finish()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert looks >= size_bytes // LOOK_BYTES_MAX
    assert printed.told == [("stdout", "\0" * LINE_BYTES_MAX, True)]
    assert peak_bytes < 1024 * 1024


# -- lines that are written over ------------------------------------------------------------


def test_line_that_is_written_over_is_its_latest_state(printed: Printed) -> None:
    """A progress bar is reported in its current state, even if it is longer than a line may be."""
    assert printed.all_of("1%\r2%\r3%\nnext\r\n") == [("3%", False), ("next", False)]


def test_long_progress_bar_is_its_latest_state(printed: Printed) -> None:
    """Overwritten text does not count towards the length of a line."""
    bar = "".join(f"step {number} of 5000\r" for number in range(5001))
    assert printed.all_of(f"{bar}\n") == [("step 5000 of 5000", False)]


def test_line_that_does_not_end_is_told_now_and_then(
    printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a line is overwritten, its state is reported every few seconds if it is new."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    for number in range(100):
        printed.print(f"\rstep {number}.")
        printed.reader.read()
        now += 0.1
    now += STATE_SECONDS
    printed.reader.read()
    now += STATE_SECONDS
    printed.reader.read()
    assert len(printed.texts) == 6
    assert printed.texts[-1] == "step 99."
