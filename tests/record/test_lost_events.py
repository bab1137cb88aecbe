"""Events that are lost between two invocations: noticed, reported, and never numbered twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    ORCHESTRATOR_PID,
    PASSING,
    accepting,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
)

DENIED = ("--policy-status", "deny")


def blocked(cwd: Path) -> Path:
    """Leave a blocked run in ./out, and return its events file."""
    assert orchestrate("out", *DENIED, *stages(), cwd=cwd).code == 3
    return cwd / "out" / EVENTS


def numbers(cwd: Path) -> list[int]:
    """Return the numbers of the events in ./out."""
    return [event["seq"] for event in events_of(cwd / "out")]


def without_last_line(data: bytes) -> bytes:
    """Return the file as it was before its last line."""
    return data[: data.rstrip(b"\n").rfind(b"\n") + 1]


CUTS: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "last line": without_last_line,
    "last byte": lambda data: data[:-1],
    "first line": lambda data: data[data.index(b"\n") + 1 :],
}
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "last event": lambda data: data[:-20] + b'"x":' + data[-16:],
    "other lines": lambda data: b"{}\n" * (len(data) // 3 + 1),
    "no lines": lambda data: b"\0" * len(data),
}


@pytest.mark.parametrize("how", [*CUTS, *CHANGES])
def test_events_that_were_cut_or_changed_are_refused_until_accepted(
    how: str, tmp_path: Path
) -> None:
    """A resume names the lost events and leaves the file; once accepted, numbers continue."""
    events = blocked(tmp_path)
    last = numbers(tmp_path)[-1]
    events.write_bytes(changed := (CUTS | CHANGES)[how](events.read_bytes()))
    looked = orchestrate("status", "out", cwd=tmp_path)
    assert looked.code == 1
    word = "was cut to" if how in CUTS else "was changed"
    assert f"{EVENTS} {word}" in looked.stdout
    resumed = orchestrate("out", "--resume", *PASSING, cwd=tmp_path)
    assert resumed.code == 1
    report = report_of(tmp_path / "out")
    assert report["terminal_state"] == "failed"
    (failure,) = report["stage_executions"]
    assert failure["command"] == "record.verify"
    assert f"{EVENTS} was c" in failure["error"]
    assert events.read_bytes() == changed
    again = orchestrate("out", *accepting(tmp_path / "out"), *PASSING, cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert json.loads(events.read_bytes().splitlines()[-1])["seq"] > last
    assert report_of(tmp_path / "out")["accepted"]["changes"][0]["file"] == "events"
    assert orchestrate("status", "out", cwd=tmp_path).code == 0
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


@pytest.mark.parametrize("how", CUTS)
def test_events_that_were_cut_fail_the_run_once_where_no_key_is(how: str, tmp_path: Path) -> None:
    """Without a key only the checkpoint knows of lost events: one resume fails, the next runs."""
    events = blocked(tmp_path)
    last = numbers(tmp_path)[-1]
    events.write_bytes(CUTS[how](events.read_bytes()))
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    resumed = orchestrate("out", "--resume", *PASSING, cwd=tmp_path, env=elsewhere)
    if how != "first line":  # the chain does not begin where it should
        (failure,) = report_of(tmp_path / "out")["stage_executions"]
        assert failure["command"] == "events.verify"
        assert f"{EVENTS} was cut to" in failure["error"]
        assert f"{last} events in" in failure["error"]
    assert resumed.code == 1


def test_events_that_are_gone_are_told_and_numbers_go_on(tmp_path: Path) -> None:
    """Once accepted, a resume without its events file begins a new one at the last number."""
    events = blocked(tmp_path)
    last = numbers(tmp_path)[-1]
    events.rename(tmp_path / "aside")
    assert f"{EVENTS} is gone" in orchestrate("status", "out", cwd=tmp_path).stdout
    refused = orchestrate("out", "--resume", *PASSING, cwd=tmp_path)
    assert (refused.code, f"{EVENTS} was removed" in refused.stderr) == (1, True)
    assert orchestrate("out", *accepting(tmp_path / "out"), *PASSING, cwd=tmp_path).code == 0
    accepted, gone = report_of(tmp_path / "out")["warnings"]
    assert f"{EVENTS} was removed" in accepted
    assert f"{EVENTS} is gone" in gone
    assert numbers(tmp_path)[0] == last + 1
    assert orchestrate("status", "out", cwd=tmp_path).code == 0


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "emptied"])
def test_events_of_a_killed_invocation_are_told(is_gone: bool, tmp_path: Path) -> None:
    """Lost events that were written but not yet durable at a kill are reported as well."""
    killing = f"test -e once || {{ touch once; kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"
    orchestrate("out", *PASSING, *shell("manager", killing), cwd=tmp_path)
    events = tmp_path / "out" / EVENTS
    last = checkpoint_of(tmp_path / "out")["last_event_seq"]
    assert last > 1
    if is_gone:
        events.unlink()
    else:
        events.write_bytes(b"")
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    assert orchestrate("out", *accepting(tmp_path / "out"), cwd=tmp_path).code == 0
    warnings = report_of(tmp_path / "out")["warnings"]
    assert any(f"{last} had been written" in warning for warning in warnings), warnings
    assert numbers(tmp_path)[0] == last + 1


def test_events_of_a_done_run_are_missed_too(tmp_path: Path) -> None:
    """A visit to a done run whose events were cut is refused until that is accepted."""
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    events = tmp_path / "out" / EVENTS
    events.write_bytes(without_last_line(events.read_bytes()))
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert orchestrate("out", *accepting(tmp_path / "out"), cwd=tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"] is True


def test_lines_that_others_add_are_left_and_numbers_go_on(tmp_path: Path) -> None:
    """Once accepted, lines that others appended stay, are not counted, and do no harm."""
    events = blocked(tmp_path)
    last = numbers(tmp_path)[-1]
    foreign = (
        b'{"seq": 1e400}\n{"seq": NaN}\n{"seq": 2}\n{"seq": 1, "seq": 3}\n[1]\n'
        + b"x" * 200_000
        + b"\n"
        + b"torn" * 50_000
    )
    with events.open("ab") as stream:
        stream.write(foreign)
    assert orchestrate("out", "--resume", *DENIED, cwd=tmp_path).code == 1
    assert orchestrate("out", *accepting(tmp_path / "out"), *DENIED, cwd=tmp_path).code == 3
    kept, added = events.read_bytes().split(b"x" * 200_000 + b"\n")
    assert kept.endswith(b"[1]\n")
    assert json.loads(added.splitlines()[0])["seq"] == last + 1
    (accepted,) = report_of(tmp_path / "out")["warnings"]
    assert f"{EVENTS} was changed" in accepted


@pytest.mark.parametrize("number", [2**53, 10**26])
def test_number_that_no_event_can_have_is_refused(tmp_path: Path, number: int) -> None:
    """An edited record cannot make numbers of events exceed what readers can count."""
    blocked(tmp_path)
    path = tmp_path / "out" / CHECKPOINT
    last = checkpoint_of(tmp_path / "out")["last_event_seq"]
    text = path.read_text()
    path.write_text(text.replace(f'"last_event_seq":{last}', f'"last_event_seq":{number}'))
    ended = orchestrate("out", "--resume", *DENIED, cwd=tmp_path)
    assert (ended.code, "last_event_seq" in ended.stderr) == (1, True)


def test_events_that_cannot_be_read_are_not_said_to_be_gone(tmp_path: Path) -> None:
    """A directory in the place of the events is named, and its events are not reported as gone."""
    events = blocked(tmp_path)
    events.rename(tmp_path / "kept")
    events.mkdir()
    assert orchestrate("out", *accepting(tmp_path / "out"), *DENIED, cwd=tmp_path).code == 1
    report = report_of(tmp_path / "out")
    assert len(report["warnings"]) == 1  # that it was accepted
    assert report["stage_executions"][0]["command"] == "events.persist"


def test_record_says_where_the_events_end(tmp_path: Path) -> None:
    """After an invocation the checkpoint has the last number and the size of the events."""
    events = blocked(tmp_path)
    document = checkpoint_of(tmp_path / "out")
    assert document["events"]["last_seq"] == document["last_event_seq"] == numbers(tmp_path)[-1]
    assert document["events"]["size_bytes"] == events.stat().st_size
    assert not list((tmp_path / "out").glob(f".{CHECKPOINT}*"))
