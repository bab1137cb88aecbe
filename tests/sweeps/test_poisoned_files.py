"""Whatever stands in the files of an output directory, no command takes it for a bug of ours.

Every file of OUT gets every poison and meets every command. A directory that is poisoned costs one
line where many are listed.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.cli import commands
from tests.support.command import CHECKPOINT, EVENTS, PASSING, REPORT, orchestrate, stages
from tests.sweeps.poison_cases import ANYWHERE, NUMBERS, WORDS, met, with_value

LOCK: Final = "orchestrator.lock"
EARLIER: Final = "earlier"
LOG: Final = "logs/executor.1.stdout.log"
DENIED: Final = ("--policy-status", "deny")
POISONED: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    REPORT: {"run_id": WORDS, "schema_version": NUMBERS},
    CHECKPOINT: {"run_id": WORDS, "private_ref": WORDS, "schema_version": NUMBERS},
    EVENTS: {"seq": {**NUMBERS, **WORDS}},
    LOCK: {"pid": {**NUMBERS, **WORDS}, "run_id": WORDS, "host": WORDS},
    LOG: {},
    "logs/executor.1.postmortem.json": {},
    f"archive/{EARLIER}/{REPORT}": {"run_id": WORDS},
    f"archive/{EARLIER}/{CHECKPOINT}": {"run_id": WORDS},
    f"archive/{EARLIER}/{EVENTS}": {},
}
"""The files of a directory, and the keys of each whose value is read before all is checked."""
LOOKS: Final = (
    *(("status", "out"), ("status", ".", "--json"), ("explain", "out"), ("logs", "out")),
    *(("plan", "out", "--resume"), ("report", "out"), ("report", "out", "--html", "-")),
    *(("stop", "out", "--wait-ms", "1"), ("diagram", "--run", "out")),
)
LOOKS_BACK: Final = tuple(
    (name, "out", "--run-id", EARLIER) for name in ("status", "explain", "logs", "report")
)
WORK: Final = (("out", "--resume", *DENIED), ("out", *DENIED))
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


def poisons_of(file: str) -> dict[str, bytes]:
    """Return the poisons for a file, by name."""
    return dict(ANYWHERE) | {
        f"{key} {name}": with_value(key, value)
        for key, values in POISONED[file].items()
        for name, value in values.items()
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_added", [False, True], ids=["instead", "added"])
@pytest.mark.parametrize("file", POISONED)
def test_poison_in_a_file_is_no_bug_of_ours(file: str, is_added: bool, place: Path) -> None:
    """A file that holds a poison, or ends in one, crashes no command, wherever it stands."""
    is_earlier = file.startswith("archive")
    commands_met = (*(LOOKS_BACK if is_earlier else LOOKS), *WORK[is_earlier:])
    for name, poison in poisons_of(file).items():

        def prepare(poison: bytes = poison) -> None:
            put(place / "kept", place / "out")
            with (place / "out" / file).open("ab" if is_added else "wb") as stream:
                stream.write(poison)

        for words, (code, said) in met(place, commands_met, prepare).items():
            assert code in DESIGNED, (name, words, code, said)
            assert "Traceback" not in said, (name, words, said)
