"""No content of the files in an output directory causes a bug of this program in any command.

Every file of OUT gets every poison and meets every command; without `SOAK=1` a third of the
meetings take place, drawn by the seed. A poisoned directory takes one line where many are listed.
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
        commands: those that open it, or would if its content were believed.
        keys: those that are read before the whole file is checked.
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
"""The number of meetings of a poison and a command, for each that takes place."""
HUGE_BYTES: Final = 2 ** (30 if SOAK else 28)
"""A size above what is read of any file at once."""
DESIGNED: Final = frozenset({0, 1, 2, 3, 75})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a timed-out run, an archived one, and a good run beside it."""
    cwd = tmp_path_factory.mktemp("place")
    assert orchestrate("out", *DENIED, "--run-id", EARLIER, cwd=cwd).code == 3
    slow = (*stages("echo hi", "echo out; exec sleep 60"), "--executor-timeout-ms", "200")
    assert orchestrate("out", *PASSING, *slow, "--manager-env", "A=b", cwd=cwd).code == 124
    assert orchestrate("good", *DENIED, cwd=cwd).code == 3
    shutil.copytree(cwd / "out", cwd / "kept")
    for module in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
        importlib.import_module(module.name)  # once, and not in each forked process
    return cwd


def put(kept: Path, output: Path) -> None:
    """Fill an output directory with its kept content."""
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
    """Assert that every command that meets a poison in the file ends as designed."""
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
    """A poison as a whole file crashes no command, in any place."""
    assert_designed(place, file, turn, is_added=False)


@pytest.mark.parametrize("file", [EVENTS, LOG])
def test_poison_at_the_end_of_a_file_is_no_bug_of_ours(file: str, place: Path, turn: int) -> None:
    """A poison at the end of a file crashes no command, however the file is read."""
    assert_designed(place, file, turn, is_added=True)


def test_poison_in_a_lock_that_is_held_is_no_bug_of_ours(
    place: Path, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that is named by a poison counts as one that has not named itself."""
    monkeypatch.setattr(lock, "LOOKERS_WAIT_SECONDS", 0.0005)  # each command is tried as often
    assert_designed(place, LOCK, turn, is_added=False, is_held=True)


@pytest.mark.parametrize("file", TARGETS)
def test_huge_file_is_refused_or_passed_over(file: str, place: Path) -> None:
    """An endless line with more bytes than are read takes neither memory nor time."""

    def prepare() -> None:
        put(place / "kept", place / "out")
        os.truncate(place / "out" / file, HUGE_BYTES)

    commands_met = [one for one in TARGETS[file].commands if one not in {LOGS, PAGE}]
    for one in met(place, [Meeting("size", words, prepare) for words in commands_met]):
        assert one.code in DESIGNED, one


def test_poisoned_directory_costs_one_line_of_many(place: Path) -> None:
    """A listing shows an unreadable run in its line, and lists the others."""
    put(place / "kept", place / "out")
    (place / "out" / REPORT).write_bytes(b'{"schema_version": 1e400}')
    many = orchestrate("status", ".", "--json", cwd=place)
    listed = {one["output_directory"]: one for one in json.loads(many.stdout)["runs"]}
    assert many.code == 1
    assert REPORT in listed["./out"]["trouble"]
    assert (listed["./good"]["trouble"], listed["./good"]["standing"]) == (None, "blocked")
