"""A record that was accepted as found: the bundle says who and when, and it proves nothing."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fsm_orchestrator.bundle.verified import Link, Verdict, Verification
from tests.bundle.bundle_cases import bundle
from tests.bundle.proof_cases import made, verified
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    PASSING,
    accepting,
    orchestrate,
    read_json,
    report_of,
    stages,
)


def _another_name(out: Path) -> None:
    record = read_json(out / CHECKPOINT)
    record["invocations"][0]["warnings"] = ["of somebody else"]
    (out / CHECKPOINT).write_text(json.dumps(record) + "\n")


def _edited_events(out: Path) -> None:
    log = out / EVENTS
    log.write_bytes(log.read_bytes().replace(b'"seq": 5,', b'"seq":  5,'))


def _cut_events(out: Path) -> None:
    lines = (out / EVENTS).read_bytes().splitlines(keepends=True)
    (out / EVENTS).write_bytes(b"".join(lines[:-3]))


def _nothing(_out: Path) -> None:
    """Leave the record unchanged: its private state is gone, so nothing proves it."""


@pytest.mark.parametrize(
    ("change", "link", "what"),
    [
        (_another_name, Link.RECORD, f": {CHECKPOINT} was changed"),
        (_edited_events, Link.CHAIN, f": {EVENTS} was changed (line 5 "),
        (_cut_events, None, f": {EVENTS} was cut short"),
        (_nothing, None, ", whose origin could not be checked: "),
    ],
)
def test_who_accepted_a_record_is_told(
    tmp_path: Path, change: Callable[[Path], None], link: Link | None, what: str
) -> None:
    """A broken link stays broken for a changed record; the events say who continued from it."""
    out = tmp_path / "out"
    assert orchestrate("./out", *PASSING, *stages("exit 0", "exit 3"), cwd=tmp_path).code == 1
    change(out)
    env = {"XDG_STATE_HOME": str(tmp_path / "other")} if change is _nothing else {}
    ended = orchestrate("./out", *accepting(out), cwd=tmp_path, env=env)
    assert ended.code == 1, ended.stderr
    at = report_of(out)["started_at"]
    path = tmp_path / "it.fsmbundle"
    ended = bundle(tmp_path, path, **env)
    assert ended.code == 0, ended.stderr
    is_warned = "somebody continued from a record" in " ".join(ended.stdout.split())
    assert is_warned is (change is not _nothing)
    found = verified(path.read_bytes())
    assert found.first_broken is link
    assert found.verdict is (Verdict.CONSISTENT if link is None else Verdict.BROKEN)
    said = f"{getpass.getuser()} on "
    how = f" accepted the record before it, with --accept-record at {at}{what}"
    told = _told(found)
    assert told, found
    assert all(said in one and how in one for one in told), told


def _told(found: Verification) -> list[str]:
    """Return where a reader finds it: at the broken link, or else under what is not proved."""
    if found.broken is not None:
        return [found.broken.detail]
    return [one for one in found.not_verified if "is a gap (accepted)" in one]


def test_nobody_is_named_where_nobody_accepted_anything(tmp_path: Path) -> None:
    """Sentences of acceptance come only from events of acceptance."""
    orchestrate("./out", *PASSING, *stages("exit 0", "exit 3"), cwd=tmp_path)
    orchestrate("./out", "--resume", cwd=tmp_path)
    data = made(tmp_path, tmp_path / "plain")
    assert "accept" not in verified(data).model_dump_json()
