"""Runs that had only begun before a power cut, and how each command treats their remains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    PASSING,
    REPORT,
    accepting,
    orchestrate,
    stages,
    tree_of,
)
from tests.support.copies import own_copy

CUTS: Final = (1, 10, 23, 40)
"""The bytes that are left of a file: too few to hold the name of the program."""
READERS: Final = (
    ("status", "out"),
    ("explain", "out"),
    ("logs", "out"),
    ("report", "out"),
    ("report", "out", "--html", "page.html"),
)


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a run in `out` whose second stage failed."""
    directory = tmp_path_factory.mktemp("failed")
    options = (*PASSING, *stages("echo planned", "exit 3"), "--manager-env", "A=value-of-a")
    assert orchestrate("out", *options, cwd=directory).code == 1
    return directory


@pytest.mark.one_in(3)
@pytest.mark.parametrize("size_bytes", CUTS)
@pytest.mark.parametrize("name", [CHECKPOINT, REPORT, EVENTS])
def test_file_cut_near_its_start_is_a_run_s_and_is_archived(
    failed: Path, tmp_path: Path, name: str, size_bytes: int
) -> None:
    """A resume refuses a lone cut file and names the remedy; a new run archives the file."""
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes((failed / "out" / name).read_bytes()[:size_bytes])
    resumed = orchestrate("out", "--resume", cwd=tmp_path)
    assert resumed.code == 1, resumed
    assert "start a" in resumed.stderr
    assert "without --resume" in resumed.stderr
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    assert name in [Path(path).name for path in tree_of(out / "archive")]


def test_evidence_of_a_run_that_left_nothing_else_is_archived(tmp_path: Path) -> None:
    """Evidence may be on disk before the first event: it is archived beside an empty event log."""
    out = tmp_path / "out"
    for place in ("evidence/ci.1.json", "logs/gate.ci.1.stdout.log"):
        (out / place).parent.mkdir(parents=True)
        (out / place).write_text("{}\n")
    refused = orchestrate("out", *PASSING, *stages(), cwd=tmp_path)
    assert refused.code == 2  # It may belong to another program.
    assert sorted(tree_of(out)) == ["evidence/ci.1.json", "logs/gate.ci.1.stdout.log"]
    (out / EVENTS).touch()
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    archived = tree_of(out / "archive" / "unreadable")
    assert {"evidence/ci.1.json", "logs/gate.ci.1.stdout.log"} <= archived.keys()
    assert not (out / "evidence").exists()


@pytest.mark.parametrize("name", ["manager.1.stdout.log", "gate.Other.1.stdout.log"])
def test_logs_that_no_gate_wrote_are_not_taken_for_a_run_s(tmp_path: Path, name: str) -> None:
    """Other logs beside an empty event log are foreign, for a stage's logs need a written one."""
    (tmp_path / "out" / "logs").mkdir(parents=True)
    (tmp_path / "out" / "logs" / name).write_text("mine\n")
    (tmp_path / "out" / EVENTS).touch()
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 2
    assert sorted(tree_of(tmp_path / "out")) == [f"logs/{name}", EVENTS]


def test_readers_say_that_a_torn_record_is_told_by_its_events(failed: Path, tmp_path: Path) -> None:
    """Readers say that a resume repairs the torn record; logs stay masked; nothing is written."""
    out = tmp_path / "out"
    shutil.copytree(failed, tmp_path, dirs_exist_ok=True)
    (out / CHECKPOINT).write_bytes(bytes(512) + (out / CHECKPOINT).read_bytes()[512:])
    before = tree_of(out)
    told = {" ".join(words): orchestrate(*words, cwd=tmp_path) for words in READERS}
    said = f"{out / CHECKPOINT} is torn, and the events are used instead; a resume repairs it"
    for words, code in (("status out", 1), ("explain out", 0), ("report out", 1)):
        shown = " ".join((told[words].stdout + told[words].stderr).split())
        assert told[words].code == code, told[words]
        assert said in shown, words
    assert "a resume repairs it" in (tmp_path / "page.html").read_text()
    assert told["logs out"].code == 0
    assert "planned" in told["logs out"].stdout
    assert tree_of(out) == before


def test_readers_say_what_helps_where_nothing_is_known(failed: Path, tmp_path: Path) -> None:
    """With report or checkpoint cut and no events, no resume is offered: it would be refused."""
    out = tmp_path / "out"
    out.mkdir()
    for name, other in ((CHECKPOINT, REPORT), (REPORT, CHECKPOINT)):
        (out / other).unlink(missing_ok=True)
        (out / name).write_bytes((failed / "out" / name).read_bytes()[:700])
        for words in READERS:
            ended = orchestrate(*words, cwd=tmp_path)
            assert ended.code == 1, ended
            assert "start a new run without --resume" in ended.stderr, ended
            assert "writes it again" not in ended.stderr


@pytest.mark.parametrize("left", [(CHECKPOINT, REPORT), (REPORT,), (CHECKPOINT,)])
def test_list_and_status_agree_on_an_end_that_the_files_do_not_have(
    failed: Path, tmp_path: Path, left: tuple[str, ...]
) -> None:
    """Both use the later end, which the events have, whichever file the cut has set back."""
    out = tmp_path / "out"
    shutil.copytree(failed / "state", tmp_path / "state", dirs_exist_ok=True)
    own_copy(failed / "out", out)
    shutil.copytree(failed / "state", tmp_path / "state", dirs_exist_ok=True)
    moved = (*accepting(out), *PASSING, *stages("echo planned", "exit 0"), "--manager-env")
    resumed = orchestrate("out", *moved, "A=value-of-a", "--rerun", "manager", cwd=tmp_path)
    assert resumed.code == 0, resumed.stderr
    for name in left:
        shutil.copy(failed / "out" / name, out / name)
    one = json.loads(orchestrate("status", "out", "--json", cwd=tmp_path).stdout)
    assert one["report"]["terminal_state"] == "done"
    (listed,) = json.loads(orchestrate("status", ".", "--json", cwd=tmp_path).stdout)["runs"]
    assert (listed["standing"], listed["run_id"]) == ("done", one["report"]["run_id"])
    assert listed["current_state"] == one["report"]["current_state"] == "done"
    assert listed["trouble"] == one["checkpoint_trouble"]
