"""A checkpoint that a power cut took or left behind: rebuilt from the events, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.model.invocation import RebuildCause
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.checkpoint import Checkpoint
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    PASSING,
    after_a_power_cut,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
)

TEARS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "empty": lambda _: b"",
    "zeros": lambda data: bytes(len(data)),
    "cut": lambda data: data[: len(data) // 2],
    "a hole at the start": lambda data: bytes(512) + data[512:],
    "a hole": lambda data: data[:1024] + bytes(512) + data[1536:],
}
HISTORIES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "done": ((*PASSING, *stages()),),
    "failed, then done": (
        (
            *PASSING,
            *shell("manager", "true"),
            *shell("executor", "test -e seen || { touch seen; exit 3; }"),
        ),
        ("--resume",),
    ),
    "blocked again and again": (
        ("--policy-status", "deny", *stages()),
        ("--resume",),
        ("--resume",),
    ),
    "retried": (
        (
            *PASSING,
            *shell("manager", "true"),
            *shell("executor", "test -e seen || { touch seen; exit 4; }"),
            *("--executor-max-attempts", "2", "--executor-retry-exit-code", "4"),
            *("--executor-backoff-ms", "1"),
        ),
    ),
    "reviewed": (
        (
            *("--lifecycle", "reviewed_run", *PASSING, *stages()),
            *shell("reviewer", "test -e seen || { touch seen; exit 10; }"),
        ),
    ),
    "side by side": (
        (
            *("--lifecycle", "checked_run", *PASSING, *shell("executor", "true")),
            *(*shell("lint", "true"), *shell("unit-tests", "sleep 60")),
            *shell("scan", "test -e seen || { touch seen; sleep 0.2; exit 3; }"),
        ),
        ("--resume", *shell("unit-tests", "true")),
    ),
    "settings changed": (
        (*PASSING, *stages("true", "exit 3")),
        ("--resume", "--executor-bin", "/bin/true", "--timeout-ms", "5000"),
    ),
    "visited": ((*PASSING, *stages()), ("--resume",)),
}
OF_THE_MACHINE: Final = frozenset(
    {"last_event_seq", "last_event_sha256", "events", "open_attempts", "mac"}
)
"""The fields of a checkpoint about the file itself and about processes: gone after a power cut."""


def made(cwd: Path, *commands: tuple[str, ...]) -> Path:
    """Run commands in ./out one after the other, and return its path."""
    for command in commands:
        orchestrate("./out", *command, cwd=cwd)
    return cwd / "out"


def facts(record: Checkpoint) -> dict[str, Any]:
    """Return the facts of a run in a record."""
    return record.model_dump(mode="json", exclude=set(OF_THE_MACHINE))


@pytest.mark.parametrize("name", HISTORIES)
def test_record_is_made_again_from_the_events_alone(name: str, tmp_path: Path) -> None:
    """The events alone restore every field of the checkpoint, over all invocations."""
    out = made(tmp_path, *HISTORIES[name])
    before = checkpoint_reader.load(out)
    (out / CHECKPOINT).write_bytes(b"")
    saved = checkpoint_reader.load_saved(out)
    assert saved.rebuilt is not None
    assert saved.rebuilt.how.cause is RebuildCause.TORN
    assert facts(saved.checkpoint) == facts(before)


@pytest.mark.parametrize("tear", TEARS)
def test_torn_checkpoint_is_mended_by_a_resume_that_says_so(tear: str, tmp_path: Path) -> None:
    """A resume repairs a torn checkpoint, exits 0, and warns on screen, in events and records."""
    out = made(tmp_path, (*PASSING, *stages("echo x >>../ran; exit 0", "exit 3")))
    whole = (out / CHECKPOINT).read_bytes()
    (out / CHECKPOINT).write_bytes(TEARS[tear](whole))
    after_a_power_cut(tmp_path)
    assert "failed" in orchestrate("status", "out", cwd=tmp_path).stdout
    resumed = orchestrate("out", "--resume", "--executor-bin", "/bin/true", cwd=tmp_path)
    assert resumed.code == 0, resumed.stderr
    said = f"{out / CHECKPOINT} was torn, and was made again from the events"
    assert said in resumed.stdout
    assert said in report_of(out)["warnings"]
    rebuilt = report_of(out)["rebuilt"]
    assert rebuilt["cause"] == "torn"
    assert rebuilt["steps"] > 3
    assert checkpoint_of(out)["invocations"][-1]["rebuilt"] == rebuilt
    assert (
        json.loads(orchestrate("status", "out", "--json", cwd=tmp_path).stdout)["report"]["rebuilt"]
        == rebuilt
    )
    assert (
        json.loads(orchestrate("explain", "out", "--json", cwd=tmp_path).stdout)["rebuilt"]
        == rebuilt
    )
    told = "the checkpoint was torn, and was made again from the events"
    assert told in " ".join(orchestrate("explain", "out", "--all", cwd=tmp_path).stdout.split())
    assert told in orchestrate("report", "out", "--html", "-", cwd=tmp_path).stdout
    assert said in checkpoint_of(out)["invocations"][-1]["warnings"]
    assert said in [one.get("message") for one in events_of(out)]
    assert [one["status"] for one in report_of(out)["stage_executions"]] == ["skipped", "success"]
    again = orchestrate("out", "--resume", cwd=tmp_path)
    assert again.code == 0
    assert report_of(out)["rebuilt"] is None
    assert report_of(out)["earlier_invocations"][-1]["rebuilt"] == rebuilt


def test_checkpoint_that_is_behind_is_brought_up(tmp_path: Path) -> None:
    """A checkpoint from before the last steps gets them back: no completed stage runs twice."""
    copying = "cp $ORCHESTRATOR_OUTPUT_DIR/orchestrator_checkpoint.json old; echo x >>ran"
    out = made(tmp_path, (*PASSING, *stages(copying, "exit 3")))
    after = checkpoint_reader.load(out)
    (out / CHECKPOINT).write_bytes((tmp_path / "old").read_bytes())
    saved = checkpoint_reader.load_saved(out)
    assert saved.rebuilt is not None
    assert saved.rebuilt.how.cause is RebuildCause.BEHIND
    assert facts(saved.checkpoint) == facts(after)
    shown = orchestrate("status", "out", cwd=tmp_path)
    assert shown.code == 1
    assert "behind the events, which are used instead; a resume repairs it" in shown.stdout
    after_a_power_cut(tmp_path)
    resumed = orchestrate("out", "--resume", "--executor-bin", "/bin/true", cwd=tmp_path)
    assert resumed.code == 0, resumed.stderr
    assert "behind the events, and was brought up to date" in resumed.stdout
    assert (tmp_path / "ran").read_text() == "x\n"


def test_torn_checkpoint_without_all_events_is_refused(tmp_path: Path) -> None:
    """A torn checkpoint is refused if the events begin in mid-run or are gone."""
    out = made(tmp_path, (*PASSING, *stages("true", "exit 3")))
    lines = (out / EVENTS).read_bytes().splitlines(keepends=True)
    (out / CHECKPOINT).write_bytes(b"")
    for left in (b"".join(lines[3:]), b"".join(lines[:2] + lines[4:]), b"", None):
        (out / EVENTS).unlink(missing_ok=True)
        if left is not None:
            (out / EVENTS).write_bytes(left)
        with pytest.raises(CheckpointError, match="it is empty"):
            checkpoint_reader.load(out)
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert "Traceback" not in ended.stderr
    assert (out / CHECKPOINT).read_bytes() == b""


def test_checkpoint_that_says_otherwise_than_the_events_is_refused(tmp_path: Path) -> None:
    """A legal record of another walk is not the result of a power cut: it is refused and kept."""
    out = made(tmp_path, (*PASSING, *stages("true", "exit 3")))
    document = checkpoint_of(out)
    dropped = document["invocations"][-1]["transitions"].pop()
    document["current_state"] = dropped["source"]
    document["invocations"][-1] |= {"finished_at": None, "exit_code": None}
    (out / CHECKPOINT).write_text(json.dumps(document))
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert f"the events beside it say otherwise: their transition {dropped['seq']}" in ended.stderr
    assert json.loads((out / CHECKPOINT).read_bytes()) == document


def test_events_that_cannot_follow_are_refused(tmp_path: Path) -> None:
    """A transition that cannot follow the checkpoint is refused: no power cut leaves that."""
    copying = "cp $ORCHESTRATOR_OUTPUT_DIR/orchestrator_checkpoint.json old"
    out = made(tmp_path, (*PASSING, *stages(copying, "exit 3")))
    (out / CHECKPOINT).write_bytes((tmp_path / "old").read_bytes())
    events = (out / EVENTS).read_text()
    forged = events.replace('"source":"manager","dest"', '"source":"executor","dest"')
    assert forged != events
    (out / EVENTS).write_text(forged)
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert "the events beside it say otherwise" in ended.stderr
