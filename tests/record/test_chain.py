"""The chain of events: each line names the one before it, over the whole life of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.lifecycle.model import Lifecycle
from tests.support.command import (
    EVENTS,
    ORCHESTRATOR_PID,
    PASSING,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
)

KILLING: Final = f"test -e once || {{ touch once; kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"


def digest(data: bytes) -> str:
    """Return a SHA-256 as the chain writes it."""
    return hashlib.sha256(data).hexdigest()


def relation_of(kept: Mapping[str, Any]) -> str:
    """Return the digest of what never changes in the lifecycle of a run."""
    return Lifecycle.model_validate_json(json.dumps(kept["lifecycle"])).relation_sha256


def assert_chained(output: Path) -> list[dict[str, Any]]:
    """Assert that each line has the digest of the one before; report and checkpoint, the last."""
    lines, events = (output / EVENTS).read_bytes().splitlines(), events_of(output)
    kept, report = checkpoint_of(output), report_of(output)
    first = digest(f"{kept['run_id']}\n{relation_of(kept)}".encode())
    assert [one["prev"] for one in events] == [first, *map(digest, lines)][:-1]
    last = digest(lines[kept["last_event_seq"] - 1])
    assert kept["last_event_sha256"] == last
    if kept["invocations"][-1]["finished_at"] is not None:
        assert kept["events"]["last_line_sha256"] == last == digest(lines[-1])
        assert report["events_head"] == {"seq": len(lines), "sha256": last}
    return events


def test_lines_are_chained_over_failures_retries_kills_and_visits(tmp_path: Path) -> None:
    """A run that failed, was killed in mid-stage, ended as done and was visited is one chain."""
    retried = ("--executor-max-attempts", "2", "--executor-retry-exit-code", "4")
    again = (*retried, "--executor-backoff-ms", "1")
    assert orchestrate("out", *PASSING, *stages(executor="exit 4"), *again, cwd=tmp_path).code == 1
    assert_chained(tmp_path / "out")
    assert orchestrate("out", "--resume", *shell("executor", KILLING), cwd=tmp_path).code == -9
    events = assert_chained(tmp_path / "out")
    assert events[-1]["event"] == "stage.started"
    for _ in range(2):
        assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
        events = assert_chained(tmp_path / "out")
    assert not [one for one in events if one["event"] == "chain.gap"]


def test_torn_line_is_said_in_the_chain(tmp_path: Path) -> None:
    """The line that replaces a cut-off one says so and names the digest in the checkpoint.

    It is chained to the last whole line, like any other line.
    """
    assert orchestrate("out", *PASSING, *shell("executor", KILLING), cwd=tmp_path).code == -9
    path = tmp_path / "out" / EVENTS
    whole = len(events_of(tmp_path / "out"))
    torn = b'{"seq": 99, "at": "20'
    with path.open("ab") as stream:
        stream.write(torn)
    checkpoint = (tmp_path / "out" / "orchestrator_checkpoint.json").read_bytes()
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    gap = assert_chained(tmp_path / "out")[whole]
    said = {key: gap[key] for key in ("event", "cause", "cut_bytes", "checkpoint_sha256")}
    assert said == {
        "event": "chain.gap",
        "cause": "torn",
        "cut_bytes": len(torn),
        "checkpoint_sha256": digest(checkpoint),
    }


@pytest.mark.parametrize("change", ["edited", "taken out"])
def test_lines_behind_the_record_that_are_not_chained_are_refused(
    tmp_path: Path, change: str
) -> None:
    """A checkpoint that is behind is brought up to its events only along the chain."""
    script = "cp ../out/orchestrator_checkpoint.json ../old.json"
    assert (
        orchestrate(
            "out", *PASSING, *shell("manager", f"mkdir -p x; cd x; {script}"), cwd=tmp_path
        ).code
        == 0
    )
    path = tmp_path / "out" / EVENTS
    lines = path.read_text().splitlines()
    behind = json.loads((tmp_path / "old.json").read_bytes())["last_event_seq"]
    if change == "edited":
        lines[behind] = lines[behind].replace('"at": "2', '"at": "1', 1)
    else:
        del lines[behind]
        lines[behind:] = [
            one.replace(f'"seq": {n}', f'"seq": {n - 1}', 1)
            for n, one in enumerate(lines[behind:], behind + 2)
        ]
    path.write_text("\n".join(lines) + "\n")
    (tmp_path / "old.json").rename(tmp_path / "out" / "orchestrator_checkpoint.json")
    ended = orchestrate(
        "out", "--resume", cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "x")}
    )
    assert (ended.code, "is not chained to the one before it" in ended.stderr) == (1, True)
