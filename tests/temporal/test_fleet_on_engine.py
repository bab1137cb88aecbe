"""A fleet on an engine: submitted some at a time, followed, left, and resumed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fsm_orchestrator.fleet.definition import read_fleet
from fsm_orchestrator.fleet.fleet import FleetOptions
from fsm_orchestrator.fleet.observing import FleetView
from fsm_orchestrator.fleet.report import FleetEntry
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.temporal.connecting import Connection, connected, server_of
from fsm_orchestrator.temporal.fleet import Engine, run_fleet_on_engine
from fsm_orchestrator.temporal.submission import Wish
from tests.support import temporal_server
from tests.support.command import COMMAND, Ended, environment, orchestrate
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.temporal_workers import Worker, at_work
from tests.support.tethered import tethered

pytestmark = pytest.mark.one_in(2)

GATES = 'gates = { policy = "allow", ci = "success", review = "approved" }'
NOTES = 'echo "$ORCHESTRATOR_RUN_ID" >> began.$0'


class Desk:
    """A directory with a fleet, and its server and queue."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self.queue = f"fleet-{uuid4().hex[:12]}"
        self.file = folder / "fleet.toml"

    def define(self, **executors: str | Mapping[str, Any]) -> None:
        """Write a fleet of runs by name, each with the words of its executor, or more keys."""
        lines = [
            "[defaults]",
            GATES,
            f'task_queue = "{self.queue}"',
            '[defaults.stage.manager]\nbin = "true"',
            f'[defaults.stage.executor]\nbin = "/bin/sh"\ncwd = {json.dumps(str(self.folder))}',
        ]
        for name, given in executors.items():
            words, keys = (given, {}) if isinstance(given, str) else (given["sh"], given)
            args = ["-c", f"{NOTES}; {words}", name]
            lines += [f'[[run]]\nname = "{name}"']
            lines += [f"{key} = {json.dumps(one)}" for key, one in keys.items() if key != "sh"]
            lines += [f"stage.executor.args = {json.dumps(args)}"]
        self.file.write_text("\n".join(lines) + "\n")

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments of the command."""
        return ("fleet", "fleet.toml", "--engine", "temporal", "--address", self.address)

    def run(self, *more: str) -> Ended:
        """Run the fleet to its end."""
        return orchestrate(*self.words, *more, cwd=self.folder)

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the fleet, and return at once."""
        return subprocess.Popen(
            tethered(*COMMAND, *self.words, *more),
            cwd=self.folder,
            env=environment(XDG_STATE_HOME=str(self.folder / "state")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """The entry of each run in fleet.json."""
        report = json.loads((self.folder / "fleet" / "fleet.json").read_text())
        return {one["name"]: one for one in report["runs"]}

    def began(self, name: str) -> int:
        """Return the number of times that a run's executor was started."""
        path = self.folder / f"began.{name}"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def release(self, name: str) -> None:
        """Let the waiting executor of a run continue."""
        (self.folder / f"go.{name}").touch()

    def wait_for(self, name: str) -> None:
        """Wait until the executor of a run was started."""
        wait_until(lambda: self.began(name) > 0, f"{name} does not begin")


WAITS = "until test -e go.$0; do sleep 0.05; done"


@pytest.fixture
def desk(tmp_path: Path, temporal_address: str) -> Iterator[Desk]:
    """Yield a desk whose queue one worker serves."""
    made = Desk(tmp_path, temporal_address)
    worker = Worker(tmp_path / "host", temporal_address, made.queue, "--jobs", "4")
    with at_work(worker):
        yield made


def test_each_run_ends_as_alone_and_the_worst_counts(desk: Desk) -> None:
    """The records are where a fleet's are, fleet.json has each standing, and the worst counts."""
    desk.define(one="true", two="exit 3", three="true")
    ended = desk.run()
    assert ended.code == 1, ended.stderr
    assert {name: (one["course"], one["standing"]) for name, one in desk.entries.items()} == {
        "one": ("ran", "done"),
        "two": ("ran", "failed"),
        "three": ("ran", "done"),
    }
    assert "exited with code 3" in desk.entries["two"]["reason"]
    assert "1 failed, 2 done of 3 runs" in ended.stdout
    assert "done: run" in orchestrate("status", "fleet/one", cwd=desk.folder).stdout
    again = desk.run()
    assert again.code == 1
    assert [desk.began(name) for name in ("one", "two", "three")] == [1, 1, 1]
    assert {name: one["course"] for name, one in desk.entries.items()} == {
        "one": "skipped",
        "two": "left",
        "three": "skipped",
    }
    assert "--engine temporal" in again.stdout


class Watcher:
    """An observer that records which stages of a fleet are seen at work."""

    interval_seconds: float | None = 0.05
    wants_words = True

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()
        self.has_closed = False

    def has_changed(self, view: FleetView, entry: FleetEntry) -> None:
        """Look at the fleet."""
        del entry
        self.look(view)

    def look(self, view: FleetView) -> None:
        """Record the stages at work."""
        self.seen |= {(one.name, one.stage) for one in view.working.values()}

    def close(self, view: FleetView) -> None:
        """Record that the fleet is over."""
        self.has_closed = not view.working


def test_stage_at_work_is_shown_as_the_record_says(desk: Desk) -> None:
    """The table shows each run's stage as a fleet on this machine would."""
    desk.define(one="sleep 2")
    watcher = Watcher()

    async def follow() -> int | None:
        server = server_of(Connection(address=desk.address))
        engine = Engine(await connected(server), server, Wish())
        fleet, directory = read_fleet(str(desk.file)), desk.folder / "fleet"
        with Interrupts() as interrupts:
            report = await run_fleet_on_engine(
                fleet, directory, FleetOptions(jobs=2), engine, interrupts, watcher
            )
        return report.exit_code

    assert asyncio.run(follow()) == 0
    assert ("one", "executor") in watcher.seen
    assert watcher.has_closed


def test_failed_runs_are_gone_on_with_where_that_is_asked(desk: Desk) -> None:
    """The waiting workflow resumes a failed run, and the engine holds it all the time."""
    desk.define(one="test -e repaired")
    assert desk.run().code == 1
    (desk.folder / "repaired").touch()
    assert desk.run("--retry-failed").code == 0
    assert desk.entries["one"]["course"] == "resumed"
    assert desk.began("one") == 2


def test_only_so_many_are_submitted_at_once(desk: Desk) -> None:
    """No more runs than the limit are submitted, and never two with one key."""
    alone = "mkdir at.work || touch overlap; sleep 0.2; rmdir at.work"
    desk.define(**{f"run{number}": alone for number in range(3)})
    assert desk.run("--jobs", "1").code == 0
    assert not (desk.folder / "overlap").exists()
    keyed = {"sh": alone.replace("at.work", "keyed"), "concurrency_key": "k"}
    desk.define(first=keyed, second=keyed)
    assert desk.run("--dir", "./keyed-fleet").code == 0
    assert not (desk.folder / "overlap").exists()


def test_ended_it_leaves_the_runs_to_the_engine_and_follows_them_again(desk: Desk) -> None:
    """Ctrl-C ends only the following, and the next start starts nothing twice."""
    desk.define(one=WAITS, two={"sh": WAITS, "priority": -1})
    process = desk.start("--jobs", "1")
    desk.wait_for("one")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, stderr
    assert b"1 left to the engine, 1 not started of 2 runs" in stdout
    assert desk.entries["one"]["course"] == "submitted"
    assert desk.entries["one"]["reason"] == "the engine continues it"
    assert desk.entries["two"]["course"] == "not_started"
    desk.release("one")
    desk.release("two")
    assert desk.run("--jobs", "1").code == 0
    assert (desk.began("one"), desk.began("two")) == (1, 1)


def test_killed_it_starts_nothing_twice(desk: Desk) -> None:
    """A killed fleet finds its runs by the request beside each one and by the engine."""
    desk.define(one=WAITS, two=WAITS)
    process = desk.start()
    desk.wait_for("one")
    desk.wait_for("two")
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    second = desk.start()
    wait_until(
        lambda: all(one["course"] == "working" for one in desk.entries.values()),
        "the runs are not followed",
    )
    desk.release("one")
    desk.release("two")
    second.communicate(timeout=PATIENCE_SECONDS)
    assert second.returncode == 0
    assert (desk.began("one"), desk.began("two")) == (1, 1)


def test_server_that_is_away_for_a_while_ends_nothing(tmp_path: Path) -> None:
    """The fleet continues once the server answers again."""
    if reason := temporal_server.why_not():
        pytest.skip(reason)
    with temporal_server.own_server(tmp_path / "server", in_file=True) as server:
        desk = Desk(tmp_path, server.address)
        worker = Worker(tmp_path / "host", server.address, desk.queue)
        with at_work(worker):
            desk.define(one=WAITS, two="true")
            process = desk.start()
            desk.wait_for("one")
            server.end()
            wait_until(lambda: not server_answers(server.address), "the server is there")
            server.start()
            desk.release("one")
            _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
            assert process.returncode == 0, stderr
            assert (desk.began("one"), desk.began("two")) == (1, 1)


def server_answers(address: str) -> bool:
    """Return True if something listens at an address."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
        return True
    return False


def test_run_that_waits_for_people_is_done_with(desk: Desk) -> None:
    """A run that waits for people is blocked for its fleet; the next fleet sees it done."""
    desk.define(one={"sh": "true", "gates": {"review": "missing"}})
    text = desk.file.read_text().replace(
        'gates = {"review": "missing"}', 'gates.review = "missing"'
    )
    desk.file.write_text(text)
    assert desk.run().code == 3
    assert desk.entries["one"]["standing"] == "waiting"
    told = ("temporal", "signal", "fleet/one", "--gate", "review", "approved")
    assert orchestrate(*told, "--address", desk.address, cwd=desk.folder).code == 0
    wait_until(lambda: desk.run().code == 0, "it is not done")
    assert desk.began("one") == 1


def test_definition_of_a_run_that_was_submitted_may_not_change(desk: Desk) -> None:
    """A changed definition of a submitted run is refused, and nothing is submitted."""
    desk.define(one="exit 3")
    assert desk.run().code == 1
    desk.define(one="true", two="true")
    ended = desk.run("--retry-failed")
    assert ended.code == 2
    assert "1 run submitted" in ended.stderr
    assert desk.began("two") == 0


def test_run_that_cannot_be_submitted_is_refused_and_the_others_are_not(desk: Desk) -> None:
    """A run that cannot be submitted is refused, and the others are not."""
    secret = {"sh": "true", "lifecycle": "./no-such.toml"}
    desk.define(one=secret, two="true")
    assert desk.run().code == 1
    assert desk.entries["one"]["course"] == "refused"
    assert "no-such.toml" in desk.entries["one"]["reason"]
    assert desk.entries["two"]["standing"] == "done"


def test_options_of_an_engine_go_with_one(tmp_path: Path) -> None:
    """Options of an engine need one, and the key of the records belongs to the workers."""
    (tmp_path / "fleet.toml").write_text('[[run]]\nname = "one"\n')
    ended = orchestrate("fleet", "fleet.toml", "--address", "localhost:1", cwd=tmp_path)
    assert ended.code == 2
    assert "add --engine temporal" in ended.stderr
    pytest.importorskip("temporalio")
    given = ("--engine", "temporal", "--state-key-file", "key")
    ended = orchestrate("fleet", "fleet.toml", *given, cwd=tmp_path)
    assert ended.code == 2
    assert "give it to the workers" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="runs are held by leases on Linux only")
def test_server_that_does_not_answer_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    """A silent server is reported before any directory is made."""
    pytest.importorskip("temporalio")
    (tmp_path / "fleet.toml").write_text('[[run]]\nname = "one"\n')
    given = ("--engine", "temporal", "--address", "127.0.0.1:1")
    ended = orchestrate("fleet", "fleet.toml", *given, cwd=tmp_path)
    assert ended.code == 1
    assert "cannot be reached" in ended.stderr
    assert not (tmp_path / "fleet").exists()
