"""Files are watched: by the kernel where it notifies, and by polling elsewhere."""

from __future__ import annotations

import glob
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fsm_orchestrator.inspection import watching
from fsm_orchestrator.inspection.watching import Watcher
from tests.support.patience import PATIENCE_SECONDS

SOON_SECONDS = 0.3


@pytest.fixture
def idle() -> Iterator[int]:
    """Yield a descriptor that never becomes readable."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def patterns(place: Path) -> tuple[str, ...]:
    """Return what is watched: a file, and the files of a directory that is missing at first."""
    return glob.escape(str(place / "file")), f"{glob.escape(str(place / 'made' / 'later'))}/*.xml"


def replace(place: Path) -> None:
    """Replace a file by a rename."""
    (place / "new").write_text("other")
    (place / "new").replace(place / "file")


def link(place: Path) -> None:
    """Give a file one of the watched names, as a store does that never overwrites."""
    (place / "made" / "later").mkdir(parents=True)
    (place / "whole").write_text("linked")
    os.link(place / "whole", place / "made" / "later" / "a.xml")


def make(place: Path) -> None:
    """Make directories and a file in them."""
    (place / "made" / "later").mkdir(parents=True)
    (place / "made" / "later" / "a.xml").write_text("made")


CHANGES = {
    "written": lambda place: (place / "file").write_text("more than before"),
    "replaced": replace,
    "removed": lambda place: (place / "file").unlink(),
    "linked": link,
    "made with its directories": make,
}


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "looked at"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_change_ends_the_wait(
    change: Callable[[Path], object],
    tmp_path: Path,
    idle: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_told: bool,
) -> None:
    """Any change of a watched file ends the wait, with the kernel's notification and without."""
    if not is_told:
        monkeypatch.setattr(sys, "platform", "other")
        monkeypatch.setattr(watching, "LOOK_SECONDS", 0.05)
        monkeypatch.setattr(watching, "_SETTLE_UNTOLD_SECONDS", 0.05)
    (tmp_path / "file").write_text("before")
    with closing(Watcher(patterns(tmp_path))) as watcher:
        threading.Timer(0.05, change, [tmp_path]).start()
        assert watcher.wait(idle, time.monotonic() + PATIENCE_SECONDS)
        assert not watcher.wait(idle, time.monotonic())


def test_nothing_is_looked_at_while_nothing_happens(
    tmp_path: Path, idle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the kernel's notification, a wait looks only at its beginning and its end."""
    looks: list[Watcher] = []
    real = Watcher._look

    def counted(watcher: Watcher) -> watching.Seen:
        looks.append(watcher)
        return real(watcher)

    monkeypatch.setattr(Watcher, "_look", counted)
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.01)
    with closing(Watcher(patterns(tmp_path))) as watcher:
        (tmp_path / "another").write_text("not watched")
        assert not watcher.wait(idle, time.monotonic() + 2 * SOON_SECONDS)
    assert len(looks) <= 4


def test_file_is_seen_once_it_is_whole(tmp_path: Path, idle: int) -> None:
    """A file that is open for writing is not seen, neither empty nor in part."""
    with closing(Watcher(patterns(tmp_path))) as watcher:
        with (tmp_path / "file").open("w") as stream:
            assert not watcher.wait(idle, time.monotonic() + SOON_SECONDS)
            stream.write("half")
        assert watcher.wait(idle, time.monotonic() + PATIENCE_SECONDS)


def test_request_to_end_ends_the_wait(tmp_path: Path) -> None:
    """The caller's own descriptor comes first, and stays to be read."""
    reader, writer = os.pipe()
    with closing(Watcher(patterns(tmp_path))) as watcher:
        threading.Timer(0.05, os.write, [writer, b"!"]).start()
        assert not watcher.wait(reader, time.monotonic() + PATIENCE_SECONDS)
    assert os.read(reader, 9) == b"!"
    os.close(reader)
    os.close(writer)


def test_other_hosts_are_not_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that is shared or unknown is polled."""
    with closing(Watcher(patterns(tmp_path))) as watcher:
        assert watcher._watch()
        for kinds in ({os.stat(tmp_path).st_dev: "nfs4"}, {}):
            monkeypatch.setattr(watching, "_file_systems", lambda kinds=kinds: kinds)
            assert not watcher._watch()
