"""Tools of the system: their output is bounded while it is read, and they are always ended."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest

from fsm_orchestrator.processes import tool
from fsm_orchestrator.processes.tool import ToolError, asked_of, run_tool

ENDLESS = "echo $$ >pid; exec cat /dev/zero"


@pytest.mark.parametrize("is_asked", [False, True], ids=["run", "asked"])
def test_endless_output_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_asked: bool
) -> None:
    """No more is read than may be printed, and the tool is gone."""
    monkeypatch.setattr(tool, "OUTPUT_BYTES_MAX", 1_000_000)
    monkeypatch.chdir(tmp_path)
    began = time.process_time()
    with pytest.raises(ToolError, match="sh printed more than 1000000 bytes"):
        (asked_of(("sh", "-c", ENDLESS), b"") if is_asked else run_tool(("sh", "-c", ENDLESS)))
    assert time.process_time() - began < 5
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_what_is_given_is_read_while_it_answers() -> None:
    """Neither side waits for the other, however much data passes."""
    given = bytes(range(256)) * 4_000
    end = run_tool(("cat",), given=given)
    assert (end.code, end.stdout, end.stderr) == (0, given, "")


def test_tool_that_does_not_read_is_no_error() -> None:
    """A tool that does not read its input loses it, and its exit code counts."""
    end = run_tool(("sh", "-c", "exec <&-; echo said >&2; exit 3"), given=b"x" * 1_000_000)
    assert (end.code, end.stderr) == (3, "said")


def test_words_on_stderr_are_cut() -> None:
    """A flood on stderr is read and dropped, so that the tool can end."""
    end = run_tool(("sh", "-c", "yes no | head -c 3000000 >&2; echo done"))
    assert (end.code, end.stdout) == (0, b"done\n")
    assert 0 < len(end.stderr) <= 400


@pytest.mark.parametrize(
    "script", ["exec sleep 60", "exec >&- 2>&-; sleep 60", "sleep 60 & exit 0"]
)
def test_tool_that_takes_too_long_is_ended_with_all_it_started(script: str) -> None:
    """The tool is ended, whether it or a process that it left holds its outputs."""
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    with pytest.raises(ToolError, match=r"did not end within 0\.3 seconds"):
        run_tool(("sh", "-c", script), seconds=0.3)
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]


def test_missing_tool_is_named() -> None:
    """A missing tool is distinguished from one that failed."""
    with pytest.raises(ToolError, match="cannot run no-such-tool-here") as told:
        run_tool(("no-such-tool-here",))
    assert told.value.is_missing
    assert run_tool(("sh", "-c", "kill -TERM $$")).code == -signal.SIGTERM
