"""Whatever stands in the files of an output directory, no command takes it for a bug of ours.

Every file of OUT gets every poison and meets every command; without `SOAK=1` a third of the
meetings take place, drawn by the seed. A directory that is poisoned costs one line where many are
listed.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import pkgutil
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from fsm_orchestrator.cli import commands
from fsm_orchestrator.disk import lock
from fsm_orchestrator.vocabulary import ExitCode
from tests.support.command import CHECKPOINT, EVENTS, PASSING, REPORT, orchestrate, stages
from tests.support.soak import SOAK
from tests.sweeps.poison_cases import ANYWHERE, NUMBERS, WORDS, Meeting, met, with_value

LOCK: Final = "orchestrator.lock"
EARLIER: Final = "earlier"
LOG: Final = "logs/executor.1.stdout.log"
DENIED: Final = ("--policy-status", "deny")
STATUS: Final = ("status", "out")
ALL: Final = ("status", ".", "--json")
EXPLAIN: Final = ("explain", "out")
LOGS: Final = ("logs", "out")
PAGE: Final = ("report", "out", "--html", "-")
RESUME: Final = ("out", "--resume", *DENIED)
RUN: Final = ("out", *DENIED)


class Target(NamedTuple):
    """A file to poison.

    Attributes:
        commands: those that open it, or would if it were believed.
        keys: what is read of it before all of it is checked.
    """

    commands: tuple[tuple[str, ...], ...]
    keys: Mapping[str, Mapping[str, str]] = {}


TARGETS: Final = {
    REPORT: Target(
        (STATUS, ALL, EXPLAIN, ("report", "out"), ("diagram", "--run", "out"), RESUME, RUN),
        {"run_id": WORDS, "schema_version": NUMBERS},
    ),
    CHECKPOINT: Target(
        (STATUS, ALL, EXPLAIN, LOGS, ("plan", "out", "--resume"), RESUME, RUN),
        {"private_ref": WORDS, "schema_version": NUMBERS},
    ),
    EVENTS: Target((STATUS, EXPLAIN, RESUME, RUN), {"seq": {**NUMBERS, **WORDS}}),
    LOCK: Target(
        (STATUS, ALL, EXPLAIN, ("stop", "out", "--wait-ms", "1"), RESUME),
        {"pid": {**NUMBERS, **WORDS}, "host": WORDS},
    ),
    LOG: Target((ALL, LOGS, PAGE)),
    "logs/executor.1.postmortem.json": Target((EXPLAIN, RESUME)),
    f"archive/{EARLIER}/{REPORT}": Target(
        (STATUS, (*STATUS, "--run-id", EARLIER), (*EXPLAIN, "--run-id", EARLIER), RUN)
    ),
    f"archive/{EARLIER}/{CHECKPOINT}": Target(
        ((*STATUS, "--run-id", EARLIER), (*LOGS, "--run-id", EARLIER), RUN)
    ),
}
ONE_IN: Final = 1 if SOAK else 3
"""Of the meetings of a poison and a command, how many there are for each that takes place."""
HUGE_BYTES: Final = 2 ** (30 if SOAK else 28)
"""More than is read of any file at once."""
DESIGNED: Final = frozenset({0, 1, 2, 3, 75})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a run that ended at a timeout, an archived one, and a good run beside it."""
    cwd = tmp_path_factory.mktemp("place")
    assert orchestrate("out", *DENIED, "--run-id", EARLIER, cwd=cwd).code == 3
    slow = (*stages("echo hi", "echo out; exec sleep 60"), "--executor-timeout-ms", "200")
    assert orchestrate("out", *PASSING, *slow, "--manager-env", "A=b", cwd=cwd).code == 124
    assert orchestrate("good", *DENIED, cwd=cwd).code == 3
    shutil.copytree(cwd / "out", cwd / "kept")
    for module in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
        importlib.import_module(module.name)  # once, and not in each process that is forked
    return cwd


def put(kept: Path, output: Path) -> None:
    """Fill an output directory with what was kept of it."""
    with os.scandir(output) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry)
            else:
                os.unlink(entry)
    shutil.copytree(kept, output, dirs_exist_ok=True)


def poisons_of(target: Target) -> dict[str, bytes]:
    """Return the poisons for a file, by name."""
    return dict(ANYWHERE) | {
        f"{key} {name}": with_value(key, value)
        for key, values in target.keys.items()
        for name, value in values.items()
    }


def assert_designed(
    place: Path, file: str, turn: int, *, is_added: bool, is_held: bool = False
) -> None:
    """Every command that meets a poison in the file ends as it was designed to."""
    target = TARGETS[file]
    held: list[object] = []

    def prepare(poison: bytes) -> None:
        held.clear()
        put(place / "kept", place / "out")
        stream = (place / "out" / file).open("ab" if is_added else "wb", buffering=0)
        stream.write(poison)
        if is_held:
            fcntl.flock(stream, fcntl.LOCK_EX)
            held.append(stream)

    meetings = [
        Meeting(name, words, partial(prepare, poison))
        for name, poison in poisons_of(target).items()
        for words in target.commands
    ]
    for one in met(place, meetings[turn % ONE_IN :: ONE_IN]):
        assert one.code in DESIGNED, one
        assert "Traceback" not in one.said, one
        assert not is_held or one.words != RESUME or one.code == ExitCode.BUSY


@pytest.mark.timeout(600)
@pytest.mark.parametrize("file", TARGETS)
def test_poison_instead_of_a_file_is_no_bug_of_ours(file: str, place: Path, turn: int) -> None:
    """A file that holds a poison crashes no command, wherever it stands."""
    assert_designed(place, file, turn, is_added=False)


@pytest.mark.parametrize("file", [EVENTS, LOG])
def test_poison_at_the_end_of_a_file_is_no_bug_of_ours(file: str, place: Path, turn: int) -> None:
    """What is read from its end, or in one go, may end in anything."""
    assert_designed(place, file, turn, is_added=True)


def test_poison_in_a_lock_that_is_held_is_no_bug_of_ours(
    place: Path, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that is named by a poison is one that has not said who it is."""
    monkeypatch.setattr(lock, "LOOKERS_WAIT_SECONDS", 0.0005)  # each command is tried as often
    assert_designed(place, LOCK, turn, is_added=False, is_held=True)


@pytest.mark.parametrize("file", TARGETS)
def test_huge_file_is_refused_or_passed_over(file: str, place: Path) -> None:
    """A line of more bytes than are read, and no end in sight, takes neither memory nor time."""

    def prepare() -> None:
        put(place / "kept", place / "out")
        os.truncate(place / "out" / file, HUGE_BYTES)

    commands_met = [one for one in TARGETS[file].commands if one not in {LOGS, PAGE}]
    for one in met(place, [Meeting("size", words, prepare) for words in commands_met]):
        assert one.code in DESIGNED, one


def test_poisoned_directory_costs_one_line_of_many(place: Path) -> None:
    """Where runs are listed, what cannot be read is told in its line, and the others are listed."""
    put(place / "kept", place / "out")
    (place / "out" / REPORT).write_bytes(b'{"schema_version": 1e400}')
    many = orchestrate("status", ".", "--json", cwd=place)
    listed = {one["output_directory"]: one for one in json.loads(many.stdout)["runs"]}
    assert many.code == 1
    assert REPORT in listed["./out"]["trouble"]
    assert (listed["./good"]["trouble"], listed["./good"]["standing"]) == (None, "blocked")
