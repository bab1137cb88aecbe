"""The streams of a real server: bounded events about changes, which end with the server."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.text.hidden import printable
from tests.support.command import orchestrate, stages
from tests.support.epoch_cases import taken_over
from tests.support.patience import Deadline, wait_until
from tests.web.runs import EVIL_SHOWN, at_work
from tests.web.served import Served, served


@pytest.fixture(name="moving", scope="module")
def _moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the runs that come, work and go, in `runs`."""
    folder = tmp_path_factory.mktemp("moving")
    (folder / "runs").mkdir()
    return folder


@pytest.fixture(name="watched", scope="module")
def _watched(moving: Path) -> Iterator[Served]:
    """Yield the server of these runs."""
    with served("runs", cwd=moving) as server:
        yield server


def _rows(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in document["rows"]}


def _until(events: Iterator[tuple[str, Any]], name: str) -> Any:
    return next(document for event, document in events if event == name)


def test_all_runs_are_told_at_first(server: Served) -> None:
    """Each run has its standing, reason and next command; those that need a person come first."""
    with server.events() as events:
        name, document = next(events)
        rows = _rows(document)
        while not rows["waiting"]["command"]:  # it is found apart from the looks
            rows |= _rows(_until(events, "runs"))
    assert (name, document["all"]) == ("runs", True)
    assert [*rows] == ["waiting", "failed", "done"]
    assert [row["key"] for row in document["rows"]] == document["order"]
    assert [rows[one]["group"] for one in rows] == ["person", "look", "done"]
    assert rows["failed"]["told"] == f"manager: exited with code 4: {EVIL_SHOWN}"
    assert rows["waiting"]["told"] == "waits for ci and review"
    command = rows["waiting"]["command"]
    assert command[0] == "fsm-orchestrator"
    assert command[1].endswith("/runs/waiting")
    assert command[2:] == ["--resume", "--ci-status", "success", "--review-status", "approved"]
    assert rows["done"]["command"] == []
    assert document["about"] == {
        "counts": {"waiting": 1, "failed": 1, "done": 1},
        "left_out": 0,
        "troubles": [],
    }


def test_run_is_followed_to_its_end(watched: Served, moving: Path) -> None:
    """The run appears, works with a limit, prints and is done, with no events of other runs."""
    with watched.events() as events:
        with at_work(moving) as words:
            seen = _until_row(events, "working", look="working", at_work=True)
            assert seen["at_work"][0]["limit"] == "10m"
            assert seen["at_work"][0]["stage"] == "manager"
            assert seen["at_work"][0]["doing"] == "running"
            words.write_text("the first line\n")
            _until_row(events, "working", told="the first line")
            with words.open("a") as file:
                file.write("the second line\n")
            _until_row(events, "working", told="the second line")
        done = _until_row(events, "working", look="done")
    assert done["group"] == "done"


def test_run_that_is_taken_over_is_followed(watched: Served, moving: Path) -> None:
    """The list and its own page show the work and the output of the later epoch."""
    with watched.events() as events:
        with taken_over(moving / "runs" / "taken") as take_over:
            key = _until_row(events, "taken", told="attempt 1", at_work=True)["key"]
            with watched.events(f"run/{key}/events") as of_run:
                assert _until(of_run, "lines")[0]["parts"] == [["attempt 1", "", ""]]
                take_over()
                _until_row(events, "taken", told="attempt 2", at_work=True)
                (line,) = _until(of_run, "lines")
                assert line["parts"] == [["attempt 2", "", ""]]
        done = _until_row(events, "taken", look="done")
    assert done["key"] == key


def _until_row(events: Iterator[tuple[str, Any]], name: str, **wanted: Any) -> dict[str, Any]:
    for _, document in events:
        for row in document.get("rows", ()):
            assert document["all"] or row["name"] == name, row
            if row["name"] == name and all(
                bool(row[key]) if value is True else row[key] == value
                for key, value in wanted.items()
            ):
                found: dict[str, Any] = row
                return found
    raise AssertionError("the stream has ended")


def test_run_that_is_gone_is_gone(watched: Served, moving: Path) -> None:
    """A moved run is removed from the list by its key, and its own page reports it."""
    orchestrate("./runs/passing-by", "--policy-status", "deny", *stages(), cwd=moving)
    with watched.events() as events:
        key = _rows(next(events)[1])["passing-by"]["key"]
        with watched.events(f"run/{key}/events") as of_run:
            assert _until(of_run, "standing")["look"] == "blocked"
            (moving / "runs/passing-by").rename(moving / "elsewhere")
            assert key in _until(events, "runs")["gone"]
            assert _until(of_run, "gone") == {}
    assert watched.ask(f"run/{key}/").status == 404


def test_odd_names_are_shown_and_asked_for(watched: Served, moving: Path) -> None:
    """Whatever the name of its directory, a run has a page, and its name is shown harmlessly."""
    orchestrate("./runs/plain", "--policy-status", "deny", *stages(), cwd=moving)
    at = os.fsencode(moving / "runs")
    before = b"plain"
    names = (
        b'a b\'s "q" <b>',
        b"esc\x1b[31m",
        "turned\u202e".encode(),
        b"bad\xff",
        b"#a?b&c",
        b"%2e%2e",
    )
    with watched.events() as events:
        for name in names:
            os.rename(os.path.join(at, before), os.path.join(at, name))
            before, shown = name, printable(os.fsdecode(name))
            row = next(
                row
                for _, document in events
                for row in document.get("rows", ())
                if row["name"] == shown
            )
            page = watched.ask(f"run/{row['key']}/")
            assert (page.status, b"\x1b" in page.body) == (200, False)
    os.rename(os.path.join(at, before), os.fsencode(moving / "odd"))


def test_output_is_told_as_it_is_printed(server: Served) -> None:
    """Lines come in parts, each text with a look; terminal control sequences are spelled out."""
    with server.events() as events:
        key = _rows(next(events)[1])["failed"]["key"]
    with server.events(f"run/{key}/events") as events:
        (line,) = _until(events, "lines")
    assert (line["name"], line["err"]) == ("manager", True)
    assert "".join(text for text, _, _ in line["parts"]) == EVIL_SHOWN
    looks = {text: look for text, look, _ in line["parts"]}
    assert looks["red"] == "tinted"
    assert looks["\\x00"] == looks["\\u202e"] == "odd"


def test_lines_are_told_as_they_are_printed(watched: Served, moving: Path) -> None:
    """Lines come one by one, soon after they were printed."""
    with at_work(moving, "printing") as words, watched.events() as events:
        key = _until_row(events, "printing", look="working")["key"]
        with watched.events(f"run/{key}/events") as of_run:
            for number in range(3):
                with words.open("a") as file:
                    file.write(f"line {number}\n")
                (line,) = _until(of_run, "lines")
                assert line["parts"] == [[f"line {number}", "", ""]]


def test_head_of_a_stream_ends(server: Served) -> None:
    """The answer has the headers of the stream and no body."""
    answer = server.ask("events", method="HEAD")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_server_ends_at_once_with_open_streams(tmp_path: Path, signum: int) -> None:
    """Streams of watchers are closed, stalled ones are abandoned, and no error is logged."""
    with served(".", cwd=tmp_path) as server, contextlib.ExitStack() as open_ones:
        for _ in range(3):
            next(open_ones.enter_context(server.events()))
        open_ones.enter_context(server.connected())
        deadline = Deadline(5)
        code, said = server.end(signum)
    assert not deadline.is_over
    assert code == 128 + signum
    assert said.splitlines() == [
        "anyone who has this address can read what it shows; Ctrl-C ends it"
    ]


def test_watchers_are_bounded(folder: Path) -> None:
    """The hundred and first is refused, and finds room once another has gone."""
    with served("runs", cwd=folder) as server:
        with contextlib.ExitStack() as watching:
            for _ in range(100):
                next(watching.enter_context(server.events()))
            answer = server.ask("events")
            assert (answer.status, answer.body) == (503, b"Too many pages are open: close some.\n")
            assert server.ask("").status == 200
        wait_until(lambda: server.ask("events", method="HEAD").status == 200)


def test_directory_that_is_a_run_is_one(folder: Path) -> None:
    """DIR may be the OUT of one run."""
    with served("runs/done", cwd=folder) as server, server.events() as events:
        document = next(events)[1]
    assert [row["name"] for row in document["rows"]] == ["done"]


def test_empty_directory_and_one_that_vanishes(tmp_path: Path) -> None:
    """An empty list is sent as such; an unreadable directory is reported until it is back."""
    (tmp_path / "runs").mkdir()
    with served("runs", cwd=tmp_path) as server, server.events() as events:
        assert next(events)[1]["rows"] == []
        (tmp_path / "runs").rename(tmp_path / "away")
        (trouble,) = _until(events, "runs")["about"]["troubles"]
        assert trouble == f"cannot read {tmp_path / 'runs'}: no such file or directory"
        (tmp_path / "away").rename(tmp_path / "runs")
        assert _until(events, "runs")["about"]["troubles"] == []
