"""A run on a terminal: redrawn in place, and reduced to a line for each stage at the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.support.command import PASSING, events_of, report_of, shell, stages
from tests.support.patience import wait_until
from tests.support.screen import Terminal

pytestmark = pytest.mark.one_in(2)

WAITING = "until [ -e go ]; do sleep 0.05; done"


def go(folder: Path) -> None:
    """Let the waiting stage end."""
    (folder / "go").touch()


def assert_once(terminal: Terminal, *words: str) -> None:
    """Assert that each word begins one line, of all on the screen or scrolled off it."""
    for word in words:
        found = [line for line in terminal.all_lines if line.startswith(word)]
        assert len(found) == 1, "\n".join(terminal.all_lines)


@pytest.mark.parametrize("columns", [80, 40])
def test_stages_are_redrawn_in_place(tmp_path: Path, columns: int) -> None:
    """The live view has gates, the stage with its last line, and later stages; then a line each."""
    script = f"echo one; echo two; {WAITING}"
    with Terminal("out", *PASSING, *stages(script), cwd=tmp_path, columns=columns) as terminal:
        terminal.until_shown("│ two")
        gates, running = terminal.shown[-4], terminal.shown[-3]
        assert "review approved" in gates
        assert " manager " in running
        assert "s of 30s" in running
        assert terminal.shown[-1] == "· executor"
        assert terminal.is_cursor_shown
        assert terminal.cursor == (terminal.shown.index(running), 0)
        before = terminal.shown[-3]
        terminal.until(lambda now: now.shown[-3] != before)
        go(tmp_path)
        assert terminal.end() == 0
        assert_once(terminal, "✓ manager", "✓ executor", "✓ done")
        assert not any("│" in line or line.startswith("· ex") for line in terminal.all_lines)


def test_keys_and_sizes_disturb_nothing(tmp_path: Path) -> None:
    """Pressing Enter repeatedly and resizing the window leave no line twice."""
    with Terminal("out", *PASSING, *stages(WAITING), cwd=tmp_path) as terminal:
        terminal.until_shown("· executor")
        for columns, lines in ((50, 24), (50, 12), (100, 30)):
            terminal.type("\r\n")
            frames = len(terminal.raw)
            terminal.until_printed(frames + 200)
            terminal.resize(columns, lines)
            frames = len(terminal.raw)
            terminal.until_printed(frames + 200)
        go(tmp_path)
        assert terminal.end() == 0
        assert_once(terminal, "✓ manager", "✓ executor", "✓ done")
        assert not any("of 30 s" in line for line in terminal.all_lines)


def test_ctrl_c_is_answered_at_once(tmp_path: Path) -> None:
    """The answer has the stage's grace; a second Ctrl-C kills, and is reported."""
    stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    grace = ("--kill-grace", "10m")
    with Terminal("out", *PASSING, *stages(stubborn), *grace, cwd=tmp_path) as terminal:
        terminal.until_shown("│ ready")
        terminal.type("\x03")
        terminal.until_shown("stopping manager, up to 10m; again to kill")
        terminal.type("\x03")
        assert terminal.end() == 130
        (execution,) = report_of(tmp_path / "out")["stage_executions"]
        assert execution["status"] == "interrupted"
        assert (
            execution["duration_ms"] < 600_000
        )  # killed: it never ends on its own, nor on SIGTERM
        assert_once(terminal, "! manager", "! failed: run ")
        assert terminal.is_cursor_shown
        assert not any("stopping" in line for line in terminal.all_lines)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_terminal_is_left_as_it_was(tmp_path: Path, signum: int) -> None:
    """Whatever ends the run, the cursor is visible and the modes are restored."""
    with Terminal("out", *PASSING, *stages(WAITING), cwd=tmp_path) as terminal:
        modes = terminal.modes()
        terminal.until_shown("· executor")
        terminal.process.send_signal(signum)
        terminal.end()
        go(tmp_path)
        assert terminal.is_cursor_shown
        assert terminal.modes() == modes
        assert b"\x1b[?" not in terminal.raw


def test_stopped_display_makes_room_and_comes_back(tmp_path: Path) -> None:
    """Ctrl-Z removes the redrawn lines; after `fg` they are there again, once."""
    with Terminal("out", *PASSING, *stages(WAITING), cwd=tmp_path) as terminal:
        terminal.until_shown("· executor")
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.until(lambda now: not any("executor" in line for line in now.shown))
        terminal.until(lambda now: psutil.Process(now.process.pid).status() == "stopped")
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until_shown("· executor")
        go(tmp_path)
        assert terminal.end() == 0
        assert_once(terminal, "✓ manager", "✓ executor")


def test_terminal_that_stands_still_holds_nothing_up(tmp_path: Path) -> None:
    """Without a reader (Ctrl-S) the run continues to its end, and is shown once it is read."""
    script = "for i in $(seq 400); do echo $i; sleep 0.002; done"
    with Terminal("out", *PASSING, *stages(script), cwd=tmp_path) as terminal:
        events = tmp_path / "out" / "orchestrator_events.jsonl"
        terminal.type("\x13")
        wait_until(lambda: events.exists() and '"run.ended"' in events.read_text())
        assert events_of(tmp_path / "out")[-1]["event"] == "run.ended"
        terminal.type("\x11")
        assert terminal.end() == 0
        assert_once(terminal, "✓ manager", "✓ executor")


def test_retry_counts_down(tmp_path: Path) -> None:
    """It shows the wait, the number of the attempt and why; the last line says which succeeded."""
    once = 'echo boom >&2; test "$ORCHESTRATOR_ATTEMPT" -gt 1 || exit 3'
    retry = ("--manager-max-attempts", "3", "--manager-retry-exit-code", "3")
    wait = ("--manager-backoff-ms", "1500")
    arguments = (*PASSING, *stages(once), *retry, *wait)
    with Terminal("out", *arguments, cwd=tmp_path) as terminal:
        terminal.until_shown("again in 1.")
        (line,) = [one for one in terminal.shown if one.startswith("↻ manager")]
        assert "attempt 2 of 3" in line
        assert "exited with code 3" in line
        assert terminal.end() == 0
        (line,) = [one for one in terminal.all_lines if one.startswith("✓ manager")]
        assert line.endswith("attempt 2 of 3")


def test_plain_colors_and_symbols(tmp_path: Path) -> None:
    """Without colors, and without UTF-8, the same lines have the same words."""
    env = {"NO_COLOR": "1", "LC_ALL": "C"}
    with Terminal("out", *PASSING, *stages(WAITING), cwd=tmp_path, env=env) as terminal:
        terminal.until_shown("-  executor")
        go(tmp_path)
        assert terminal.end() == 0
        assert_once(terminal, "ok manager", "ok executor", "ok done")
        assert b"\x1b[3" not in terminal.raw
        assert terminal.raw.isascii()


@pytest.mark.parametrize("env", [{"CI": "true"}, {"TERM": "dumb"}])
def test_jobs_and_dumb_terminals_get_lines(tmp_path: Path, env: dict[str, str]) -> None:
    """They get one line for each event, and no cursor movement."""
    arguments = ("out", *PASSING, *stages())
    with Terminal(*arguments, cwd=tmp_path, env={**env, "NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
        assert "manager: started, attempt 1, limit 30s (the default)" in terminal.all_lines
        assert b"\x1b" not in terminal.raw


def test_result_in_a_pipe_is_whole(tmp_path: Path) -> None:
    """The summary names the stages itself if stdout is elsewhere, without colors."""
    reader, writer = os.pipe()
    with Terminal("out", *PASSING, *stages(), cwd=tmp_path, stdout=writer) as terminal:
        os.close(writer)
        assert terminal.end() == 0
        assert_once(terminal, "✓ manager", "✓ executor")
        assert not any("done" in line for line in terminal.all_lines)
    with os.fdopen(reader) as file:
        summary = file.read()
    assert "\x1b" not in summary
    assert [line.split()[1] for line in summary.splitlines()[:3]] == [
        "done:",
        "manager",
        "executor",
    ]


def test_secrets_are_masked_in_the_last_line(tmp_path: Path) -> None:
    """The output of a stage is shown masked, and can drive no terminal."""
    script = f"printf 'key %s \\033[2J\\n' \"$TOKEN\"; {WAITING}"
    arguments = (*PASSING, *shell("manager", script), "--manager-secret", "TOKEN")
    with Terminal("out", *arguments, cwd=tmp_path, env={"TOKEN": "open-sesame"}) as terminal:
        terminal.until_shown(r"│ key *** \x1b[2J")
        go(tmp_path)
        assert terminal.end() == 0
        assert b"sesame" not in terminal.raw
