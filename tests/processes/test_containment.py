"""No process of a stage is alive once the stage has ended, whatever it does, however it ends."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.processes import animals, living
from tests.processes.containment_cases import (
    GENTLY,
    LIMIT,
    LOGS,
    TOGETHER,
    WAYS,
    Run,
    Witness,
    assert_reported,
    end_in,
    led,
)
from tests.support.command import COMMAND, events_of, report_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a child subreaper and /proc")
NEVER_STILL: Final = {"chain"}
"""Animals whose current processes cannot be known at any moment."""


# Every animal, every way


@pytest.mark.one_in(2)
@pytest.mark.parametrize("way", ["exits", "timeout", "SIGKILL"])
@pytest.mark.parametrize("animal", [*sorted(animals.ANIMALS.keys() - {"retort"}), "jobs"])
def test_animal_is_gone_with_its_stage(
    tmp_path: Path, witness: Witness, animal: str, way: str
) -> None:
    """An animal is gone when its stage has ended, however it tries to get away."""
    run = end_in(WAYS[way], animal, tmp_path, witness)
    if way != "SIGKILL":
        assert witness.adopted() == []
        assert_reported(run, WAYS[way], is_still=animal not in NEVER_STILL)


@pytest.mark.parametrize("way", WAYS)
def test_all_animals_are_gone_however_their_stage_ends(
    tmp_path: Path, witness: Witness, way: str
) -> None:
    """However a stage full of animals ends, nothing is left and the report is right.

    The command and its keeper are executed here, as for an operator.
    """
    run = end_in(WAYS[way], TOGETHER, tmp_path, witness, command=COMMAND)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(run.words("port")[0])))
    if way != "SIGKILL":
        assert witness.adopted() == []
        assert_reported(run, WAYS[way], is_still=True)
    if way == "output":
        assert sum((run.output / log).stat().st_size for log in LOGS) == LIMIT


# Leftovers


@pytest.mark.parametrize(("code", "ending"), [("0", "leaked"), ("3", "exited")])
def test_leak_fails_a_stage_where_that_was_asked_for(
    tmp_path: Path, witness: Witness, code: str, ending: str
) -> None:
    """With `--on-leak fail` a stage that left something fails; its own failure takes precedence."""
    run = Run(tmp_path, witness)
    run.start(led("deaf,daemon", "exit", code), *GENTLY, "--on-leak", "fail")
    assert run.end() == 1
    assert witness.adopted() == []
    execution = report_of(run.output)["stage_executions"][0]
    assert (execution["status"], execution["ending"]) == ("failed", ending)
    assert execution["exit_code"] == int(code)
    assert {str(one["pid"]) for one in execution["leaked_processes"]} == set(run.words("left"))
    if code == "0":
        assert "left 2 processes running" in execution["error"]


def test_what_ends_a_moment_after_its_leader_was_not_left_behind(
    tmp_path: Path, witness: Witness
) -> None:
    """The tail of a pipeline may end a little after its stage: that is no leak and no failure."""
    run = Run(tmp_path, witness)
    tail = "sleep 0.02 | (cat; echo the last line) & exit 0"
    run.start(("/bin/sh", "-c", tail), "--on-leak", "fail")
    assert run.end() == 0
    report = report_of(run.output)
    assert report["stage_executions"][0]["leaked_processes"] == []
    assert report["warnings"] == []
    assert (run.output / LOGS[0]).read_text() == "the last line\n"


def test_leak_is_told_with_what_it_is(tmp_path: Path, witness: Witness) -> None:
    """A leftover process is reported with its command, age and memory, in an event too."""
    began = time.monotonic()
    run = Run(tmp_path, witness)
    run.start(led("glutton,nameless", "exit", "0"), *GENTLY)
    assert run.end() == 0
    leaked = report_of(run.output)["stage_executions"][0]["leaked_processes"]
    nameless, glutton = sorted(leaked, key=lambda one: one["rss_bytes"])
    assert nameless["rss_bytes"] < living.GLUTTON_BYTES <= glutton["rss_bytes"]
    assert nameless["command"].startswith("[kworker/0:1] ")
    assert "lead glutton,nameless" in glutton["command"]
    assert all(0 <= one["age_seconds"] <= time.monotonic() - began for one in leaked)
    told = [event for event in events_of(run.output) if event["event"] == "process.leaked"]
    assert [event["process"] for event in told] == leaked
