"""`gates --watch` asks until every gate is decided; a table is redrawn, or a change is a line."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest

from tests.gates.evidence_cases import config_with
from tests.gates.github_cases import CHECKS, SUBJECT, StandIn, check
from tests.support.command import COMMAND, environment, orchestrate, start
from tests.support.patience import PATIENCE_SECONDS
from tests.support.screen import Terminal

WATCH: Final = ("gates", "--config", "run.toml", "--watch", "--interval", "100ms")
JUNIT: Final = 'junit = ["*.xml"]'
GOOD: Final = '<testsuite><testcase name="a"/></testsuite>'
BAD: Final = '<testsuite><testcase name="a"><failure/></testcase></testsuite>'


def said(printed: str) -> list[str]:
    """Return the lines without marks and times."""
    return [line.split("Z  ", 1)[1] for line in printed.splitlines()]


def test_change_is_a_line(tmp_path: Path) -> None:
    """Off a terminal each gate has one line at first, and another when it changes."""
    github = StandIn(tmp_path)
    github.has_checks([check("build"), check("test", None)])
    github.has_checks([check("build"), check("test")], suffix=".next")
    config_with(tmp_path, CHECKS, more=SUBJECT)
    ended = orchestrate(*WATCH, cwd=tmp_path, env=github.env)
    assert ended.code == 0, ended.stderr
    lines = said(ended.stdout)
    assert [line.partition(":")[0] for line in lines] == [
        *("policy allow, passed", "ci pending, awaited", "review approved, passed"),
        "ci success, passed",
    ]
    assert lines[1].endswith("pending: test (in_progress, github-actions) (check_pending)")
    assert "2 of 2 checks succeeded" in lines[3]
    assert ended.stdout.startswith("✓ ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("report", "code"), [(GOOD, 0), (BAD, 3)])
def test_decided_gate_ends_it_at_once(tmp_path: Path, report: str, code: int) -> None:
    """A final answer ends the watch, whether it passes or not; the JSON is unchanged."""
    config_with(tmp_path, JUNIT)
    (tmp_path / "a.xml").write_text(report)
    ended = orchestrate(*WATCH[:4], cwd=tmp_path)
    assert ended.code == code
    assert len(ended.stdout.splitlines()) == 3
    ended = orchestrate(*WATCH[:4], "--json", cwd=tmp_path)
    assert ended.code == code
    assert json.loads(ended.stdout)["have_passed"] is (code == 0)


def test_typed_refusal_is_final(tmp_path: Path) -> None:
    """A typed signal that is stricter than the awaited one decides the gate."""
    config_with(tmp_path, JUNIT)
    config = (tmp_path / "run.toml").read_text()
    (tmp_path / "run.toml").write_text(config.replace("[gates]", '[gates]\nci = "failure"'))
    assert orchestrate(*WATCH, cwd=tmp_path).code == 3


def test_command_that_has_answered_is_not_run_again(tmp_path: Path) -> None:
    """A command is run once in an invocation; files are read again each time."""
    command = f'command = ["sh", "-c", "echo x >> {tmp_path}/count"]'
    more = f"[gate.review]\n{JUNIT}"
    config_with(tmp_path, command, more=more)
    config = (tmp_path / "run.toml").read_text()
    (tmp_path / "run.toml").write_text(config.replace('review = "approved"', ""))
    process = start(*WATCH, "--json", cwd=tmp_path)
    time.sleep(0.5)
    (tmp_path / "a.xml").write_text(GOOD)
    printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert json.loads(printed)["have_passed"] is True
    assert (tmp_path / "count").read_text() == "x\n"


def test_interval_goes_with_watch(tmp_path: Path) -> None:
    """Without --watch, --interval is refused."""
    config_with(tmp_path, JUNIT)
    ended = orchestrate("gates", "--config", "run.toml", "--interval", "1s", cwd=tmp_path)
    assert ended.code == 2
    assert "add --watch" in ended.stderr


def test_interrupt_ends_it(tmp_path: Path) -> None:
    """SIGINT ends the wait, whatever the interval."""
    config_with(tmp_path, JUNIT)
    process = start(*WATCH[:4], "--interval", "1h", cwd=tmp_path)
    assert process.stdout is not None
    assert "policy allow, passed" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130


def test_reader_that_goes_away_has_read_enough(tmp_path: Path) -> None:
    """A watch without a reader ends at the next change."""
    config_with(tmp_path, 'command = ["sh", "-c", "date +%N > a.xml"]')
    config = (tmp_path / "run.toml").read_text()
    more = '[gate.review]\njunit = ["*.nothing"]\n'
    (tmp_path / "run.toml").write_text(more + config.replace('review = "approved"', ""))
    words = [*COMMAND, *WATCH]
    env = environment(XDG_STATE_HOME=str(tmp_path / "state"))
    process = subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=PATIENCE_SECONDS) == 3


@pytest.mark.parametrize("columns", [80, 120, 40])
def test_table_is_redrawn_in_place(tmp_path: Path, columns: int) -> None:
    """Each gate has one row, whatever the width; the whole table stays at the end."""
    config_with(tmp_path, JUNIT)
    with Terminal(*WATCH, cwd=tmp_path, columns=columns) as terminal:
        terminal.until_shown("Ctrl-C ends" if columns > 60 else "asked at")
        shown = terminal.shown
        (row,) = [line for line in shown if line.startswith("! ci ")]
        assert ("awaited" in row) is (columns > 60)
        assert terminal.cursor == (shown.index(next(one for one in shown if "gate" in one)), 0)
        frames = len(terminal.raw)
        terminal.until_printed(frames + 400)
        assert len([one for one in terminal.all_lines if " ci " in one]) == 1
        (tmp_path / "a.xml").write_text(GOOD)
        assert terminal.end() == 0
        lines = [one for one in terminal.all_lines if one]
        assert [one.split()[1] for one in lines if one.startswith(("✓", "!"))] == [
            *("policy", "ci", "review"),
        ]
        assert not [one for one in lines if "asked at" in one or "awaited" in one]


def test_ctrl_c_leaves_what_is_known(tmp_path: Path) -> None:
    """The table stays, and no terminal mode has to be restored."""
    config_with(tmp_path, JUNIT)
    with Terminal(*WATCH, cwd=tmp_path) as terminal:
        modes = terminal.modes()
        terminal.until_shown("Ctrl-C ends")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert terminal.modes() == modes
        assert [one for one in terminal.all_lines if "ci" in one and "awaited" in one]
        assert not [one for one in terminal.all_lines if "asked at" in one]
