"""`logs` as a screen: colors of stages and their own, attempts, patterns, times."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from fsm_orchestrator.text.search import LineSearch, SearchError
from fsm_orchestrator.text.terminal import without_colors
from tests.cli.cli_cases import on_terminal
from tests.support.command import PASSING, orchestrate, stages

RED_WORD = r"printf 'a \033[31mred\033[0m word\n'"
TITLE = r"printf '\033]0;owned\007\n'"


def run_twice(cwd: Path) -> None:
    """Make a run whose manager prints in colors, and whose executor succeeds when retried."""
    executor = 'echo "number $ORCHESTRATOR_ATTEMPT" >&2; test "$ORCHESTRATOR_ATTEMPT" -gt 1'
    options = (*PASSING, *stages(f"{RED_WORD}; {TITLE}", executor))
    assert orchestrate("out", *options, cwd=cwd).code == 1
    assert orchestrate("out", "--resume", cwd=cwd).code == 0


def test_later_attempts_are_marked(tmp_path: Path) -> None:
    """The lines of a second attempt begin with its number, below those of the first."""
    run_twice(tmp_path)
    lines = orchestrate("logs", "out", "executor", cwd=tmp_path).stdout.splitlines()
    assert lines == ["executor   ! number 1", "executor.2 ! number 2"]
    only = orchestrate("logs", "out", "executor", "--attempt", "2", cwd=tmp_path).stdout
    assert only == "executor.2 ! number 2\n"


def test_colors_of_stages_and_their_own_are_for_a_terminal(tmp_path: Path) -> None:
    """A terminal gets both unless told otherwise; a pipe gets neither unless asked to."""
    run_twice(tmp_path)
    code, seen = on_terminal("logs", "out", cwd=tmp_path, NO_COLOR="", TERM="xterm")
    assert code == 0
    assert "\x1b[36mmanager    |\x1b[0m a \x1b[31mred\x1b[0m word\x1b[0m\n" in seen
    assert "\x1b[35mexecutor   !\x1b[0m number 1\n\x1b[35mexecutor.2 !\x1b[0m number 2" in seen
    assert "\\x1b]0;owned\\x07" in seen
    assert not re.search(r"\x1b[^\[]|\x07", seen)
    _, plain = on_terminal("logs", "out", cwd=tmp_path, NO_COLOR="1", TERM="xterm")
    assert "manager    | a red word\n" in plain
    assert "\x1b" not in plain
    piped = orchestrate("logs", "out", cwd=tmp_path).stdout
    assert "manager    | a red word\n" in piped
    forced = {"NO_COLOR": "", "FORCE_COLOR": "1"}
    colored = orchestrate("logs", "out", cwd=tmp_path, env=forced).stdout
    assert "a \x1b[31mred\x1b[0m word\n" in colored


def test_a_color_that_is_split_between_pieces_is_left_out() -> None:
    """An incomplete color is kept for the next piece; all other text stays unchanged."""
    assert without_colors("a\x1b[1;3") == ("a", "\x1b[1;3")
    assert without_colors("\x1b[1;3" + "1mb\x1b[2Jc\x1b") == ("b\x1b[2Jc", "\x1b")


def test_lines_are_found_by_a_pattern(tmp_path: Path) -> None:
    """Only matching lines are shown, as they are seen; the last N are counted among these."""
    run_twice(tmp_path)
    found = orchestrate("logs", "out", "--grep", r"a red w|number [12]$", cwd=tmp_path).stdout
    assert found == "manager    | a red word\nexecutor   ! number 1\nexecutor.2 ! number 2\n"
    assert orchestrate("logs", "out", "--grep", "nowhere", cwd=tmp_path).stdout == ""
    (tmp_path / "out/logs/executor.2.stderr.log").write_text("x 1\ny 2\nx 3\nz\n")
    last = orchestrate("logs", "out", "executor", "--grep", "^x", "--lines", "1", cwd=tmp_path)
    assert last.stdout == "executor.2 ! x 3\n"


@pytest.mark.parametrize("pattern", ["(", "*", "a{99999999999999999999}"])
def test_what_is_no_pattern_is_refused(pattern: str, tmp_path: Path) -> None:
    """It is a usage error with the reason and the way to search for the text itself."""
    run_twice(tmp_path)
    ended = orchestrate("logs", "out", "--grep", pattern, cwd=tmp_path)
    assert (ended.code, ended.stdout) == (2, "")
    assert "cannot search the logs with --grep: it is not a regular expression: " in ended.stderr


def test_a_pattern_that_takes_forever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search of one line has a time limit, after which it is refused with a message."""
    monkeypatch.setattr("fsm_orchestrator.text.search.SEARCH_SECONDS_MAX", 0.05)
    with pytest.raises(SearchError, match=r"more than 0.05 s for one line"):
        LineSearch("(a+)+b").finds("a" * 5000 + "c")
    assert LineSearch("(a+)+b").finds("aaab")


def test_attempts_that_printed_since_then_are_shown_whole(tmp_path: Path) -> None:
    """An attempt counts by when it printed last: the lines themselves have no times."""
    run_twice(tmp_path)
    for log in (tmp_path / "out" / "logs").iterdir():
        is_old = log.name.startswith(("manager.", "executor.1."))
        os.utime(log, (1_700_000_000, 1_700_000_000) if is_old else (1_700_003_600, 1_700_003_600))
    for since in ("2023-11-14T23:00:00Z", "2023-11-14T23:00", "2023-11-15T00:00:00+01:00"):
        shown = orchestrate("logs", "out", "--since", since, cwd=tmp_path)
        assert shown.stdout == "executor.2 ! number 2\n", shown.stderr
    assert orchestrate("logs", "out", "--since", "2099-01-01", cwd=tmp_path).stdout == ""
    refused = orchestrate("logs", "out", "--since", "yesterday", cwd=tmp_path)
    assert refused.code == 2
    assert "'yesterday' is neither a time" in refused.stderr
    os.utime(tmp_path / "out/logs/manager.1.stdout.log")
    recent = orchestrate("logs", "out", "--since", "1h30m", cwd=tmp_path).stdout
    assert "manager | a red word\n" in recent
    assert "executor" not in recent
    assert orchestrate("logs", "out", "--since", "90", cwd=tmp_path).code == 2
