"""A gate that waits: its source is asked again until it answers, or time is up."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Final

from tests.gates.evidence_cases import (
    GATE_SIGNAL,
    assert_refused,
    config_with,
    evidence_of,
    run_with,
    sha256_of,
    statement,
)
from tests.support.command import EVENTS, events_of, orchestrate, start
from tests.support.patience import PATIENCE_SECONDS
from tests.support.screen import Terminal

SUBJECT: Final = '[subject]\nfiles = ["plan.txt"]'
SIGNAL: Final = {"issuer": "ci", "issuedAt": "2026-01-01T00:00:00Z"}


def waits_of(folder: Path) -> list[dict[str, object]]:
    """Return the events of a gate that waits."""
    return [one for one in events_of(folder / "out") if one["event"] == "gate.waiting"]


def test_source_is_asked_until_its_answer_is_there(tmp_path: Path) -> None:
    """Each pause is logged, and is longer than the last; only the last answer is kept."""
    (tmp_path / "plan.txt").write_text("plan")
    digest = {"sha256": sha256_of(tmp_path / "plan.txt")}
    for name, status in (("pending", "pending"), ("success", "success")):
        text = json.dumps(statement(digest, GATE_SIGNAL, {**SIGNAL, "status": status}))
        (tmp_path / f"{name}.json").write_text(text)
    script = "echo x >> n; test $(wc -l < n) -lt 3 && cat pending.json || cat success.json"
    source = f'command = ["sh", "-c", "{script}"]\nreads = "statement"\nwait = "10m"'
    ended = run_with(tmp_path, source, more=SUBJECT)
    assert ended.code == 0
    waits = waits_of(tmp_path)
    assert [(one["gate"], one["problem"]) for one in waits] == [("ci", "check_pending")] * 2
    assert [one["wait_ms"] for one in waits] == [500, 750]
    assert evidence_of(tmp_path)["file"] == "evidence/ci.1.json"
    kept = (tmp_path / "out" / "evidence" / "ci.1.json").read_text()
    assert kept == (tmp_path / "success.json").read_text()
    told = orchestrate(
        *("run", "./out", "--config", "run.toml", "--log-format", "text"), cwd=tmp_path
    )
    assert told.code == 0


def test_wait_is_a_line_on_a_terminal(tmp_path: Path) -> None:
    """The line names what is missing, for as long as it is missing."""
    config_with(tmp_path, 'junit = ["*.xml"]\nwait = "10m"')
    with Terminal("run", "./out", "--config", "run.toml", cwd=tmp_path) as terminal:
        terminal.until_shown("! gate ci waits: no file matches")
        (tmp_path / "a.xml").write_text('<testsuite><testcase name="a"/></testsuite>')
        assert terminal.end() == 0
        assert not [line for line in terminal.all_lines if "waits" in line]


def test_time_of_a_wait_is_up(tmp_path: Path) -> None:
    """A missing answer is refused as if without a wait; the log names it."""
    config_with(tmp_path, 'junit = ["*.xml"]\nwait = "700ms"')
    words = ("run", "./out", "--config", "run.toml", "--log-format", "text")
    ended = orchestrate(*words, cwd=tmp_path)
    assert_refused(tmp_path, ended, "not_found", "missing")
    assert len(waits_of(tmp_path)) == 2
    assert "gate ci: not there yet, asked again in 500ms: no file matches" in ended.stderr


def test_what_is_final_is_not_waited_for(tmp_path: Path) -> None:
    """A failed test is final."""
    (tmp_path / "a.xml").write_text(
        '<testsuite><testcase name="a"><failure/></testcase></testsuite>'
    )
    ended = run_with(tmp_path, 'junit = ["*.xml"]\nwait = "10m"')
    assert_refused(tmp_path, ended, "check_failed", "failure")
    assert waits_of(tmp_path) == []


def test_interrupt_ends_a_wait(tmp_path: Path) -> None:
    """Ctrl-C ends it as usual: the run is failed, interrupted, and can be resumed."""
    config_with(tmp_path, 'junit = ["*.xml"]\nwait = "10m"')
    process = start("run", "./out", "--config", "run.toml", cwd=tmp_path)
    events, deadline = tmp_path / "out" / EVENTS, time.monotonic() + PATIENCE_SECONDS
    while not (events.exists() and "gate.waiting" in events.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    (tmp_path / "a.xml").write_text('<testsuite><testcase name="a"/></testsuite>')
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
