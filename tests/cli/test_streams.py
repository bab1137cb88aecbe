"""Standard output and standard error: what goes to each, also if one is closed or full."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from fsm_orchestrator.cli.console import Console
from tests.cli.cli_cases import CONTROL, GOOD_RUN, on_terminal, through_shell
from tests.support.command import (
    CHECKPOINT,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    environment,
    events_of,
    orchestrate,
    read_json,
    report_of,
    spawned,
    stages,
)

# Where the result and the log go


def test_result_on_stdout_and_log_on_stderr(tmp_path: Path) -> None:
    """Stdout has the result alone; stderr has, if requested, the events as JSON lines.

    Events that are only for the record are left out.
    """
    ended = orchestrate("./out", *GOOD_RUN, cwd=tmp_path)
    assert "done: " in ended.stdout.splitlines()[0]
    assert str(tmp_path / "out" / REPORT) in ended.stdout
    shown = [one for one in events_of(tmp_path / "out") if one["level"] != "debug"]
    assert [json.loads(line) for line in ended.stderr.splitlines()] == shown


def test_log_as_text_when_asked_for(tmp_path: Path) -> None:
    """`--log-format text` gives readable lines and no JSON, whatever the reader is."""
    ended = orchestrate("./out", *GOOD_RUN, "--log-format", "text", cwd=tmp_path)
    assert ended.events == []
    assert "manager: started" in ended.stderr
    assert "gate policy: allow" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (GOOD_RUN, 0),
        (stages(), 3),
        ((*PASSING, *stages("exit 5")), 1),
        ((*PASSING, *stages("sleep 60"), "--timeout-ms", "50"), 124),
        (("--resume",), 1),
    ],
    ids=["done", "blocked", "failed", "timeout", "refused for its checkpoint"],
)
def test_json_prints_exactly_the_report(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    """Stdout is the report file with `--json`, byte by byte, for every outcome."""
    (tmp_path / "out").mkdir()
    ended = orchestrate("./out", *arguments, "--json", cwd=tmp_path)
    assert ended.code == code
    assert ended.stdout == (tmp_path / "out" / REPORT).read_text()
    assert json.loads(ended.stdout)["exit_code"] == code


def test_terminal_gets_text_for_a_person(tmp_path: Path) -> None:
    """On a terminal log and result are lines for a person: no JSON, no control characters."""
    code, seen = on_terminal("./out", *GOOD_RUN, cwd=tmp_path)
    assert code == 0
    assert "manager: started" in seen
    assert "done: " in seen
    assert '{"' not in seen
    assert not CONTROL.search(seen)
    code, seen = on_terminal("./again", *GOOD_RUN, "--log-format", "json", cwd=tmp_path)
    assert code == 0
    assert '{"seq": 1,' in seen


@pytest.mark.parametrize(
    "options", [(), ("--log-format", "json"), ("--json",)], ids=["text", "json log", "json report"]
)
def test_stage_cannot_drive_the_terminal(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Control characters that a stage prints never reach the terminal raw."""
    script = r"printf '\033[31mred\007 \302\23331m \177 \b\r end\n' >&2; exit 1"
    code, seen = on_terminal("./out", *PASSING, *stages(script), *options, cwd=tmp_path)
    assert code == 1
    assert "red" in seen
    assert " end" in seen
    assert not CONTROL.search(seen)
    code, seen = on_terminal("status", "./out", cwd=tmp_path)
    assert code == 0
    assert not CONTROL.search(seen)


# Streams that are closed, full or not read

WATCHED_RUN = (
    *PASSING,
    *stages("cp out/orchestrator.lock holder; echo planned; echo note >&2", "echo applied"),
)


def assert_undisturbed(cwd: Path) -> None:
    """Assert that the run did the same as with good streams, and no text is in its files."""
    out = cwd / "out"
    report = report_of(out)
    assert (report["terminal_state"], report["exit_code"]) == ("done", 0)
    assert report["warnings"] == []
    assert spawned(report) == ["manager", "executor"]
    assert [event["seq"] for event in events_of(out)] == [*range(1, len(events_of(out)) + 1)]
    assert read_json(out / CHECKPOINT)["current_state"] == "done"
    assert read_json(cwd / "holder")["run_id"] == report["run_id"]
    logs = {path.name: path.read_text() for path in (out / "logs").iterdir()}
    assert logs == {
        "manager.1.stdout.log": "planned\n",
        "manager.1.stderr.log": "note\n",
        "executor.1.stdout.log": "applied\n",
        "executor.1.stderr.log": "",
    }


@pytest.mark.parametrize(
    "redirection",
    [
        ">&-",
        "2>&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        ">/dev/full",
        "2>/dev/full",
        ">/dev/full 2>&1",
        "2>&1 | head -1",
    ],
)
def test_broken_stream_changes_nothing(tmp_path: Path, redirection: str) -> None:
    """A stream that is closed or full changes neither the run nor its exit code."""
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("this platform has no /dev/full")
    command = f'{{ "$@"; echo $? > code; }} {redirection}'
    through_shell(command, "./out", *WATCHED_RUN, "--json", cwd=tmp_path)
    assert (tmp_path / "code").read_text() == "0\n"
    assert_undisturbed(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to look at descriptors")
@pytest.mark.parametrize(
    ("redirection", "closed"), [(">&-", "1"), ("2>&-", "2"), ("<&- >&- 2>&-", "0 1 2")]
)
def test_closed_stream_is_never_another_file(tmp_path: Path, redirection: str, closed: str) -> None:
    """No file or pipe of the run gets the number of a closed stream, where text would be sent."""
    script = f"p={ORCHESTRATOR_PID}; for n in {closed}; do readlink /proc/$p/fd/$n; done > targets"
    command = f'"$@" {redirection}'
    assert through_shell(command, "./out", *PASSING, *stages(script), cwd=tmp_path).code == 0
    assert set((tmp_path / "targets").read_text().split()) <= {os.devnull}


def full_pipe() -> tuple[int, int]:
    """Return a pipe that takes no more bytes."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"\0" * 65536)
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


SHORT_PATIENCE = """\
import sys
from fsm_orchestrator.cli import console, log_stream
from fsm_orchestrator.cli.main import run_command_line

console.RESULT_PATIENCE_SECONDS = console.LOG_PATIENCE_SECONDS
log_stream.LAST_PATIENCE_SECONDS = console.LOG_PATIENCE_SECONDS
sys.exit(run_command_line(sys.argv[1:]))
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_unread_pipe_changes_nothing(tmp_path: Path, stream: str) -> None:
    """A full pipe that nobody reads neither stops the run nor changes its end."""
    reader, writer = full_pipe()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    try:
        done = subprocess.run(
            [sys.executable, "-c", SHORT_PATIENCE, "./out", *WATCHED_RUN],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            stdout=pipes["stdout"],
            stderr=pipes["stderr"],
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
        os.close(reader)
    assert done.returncode == 0
    assert "done" in (done.stderr if stream == "stdout" else done.stdout)
    assert_undisturbed(tmp_path)


def test_console_gives_up_an_unread_pipe_for_good() -> None:
    """A stopped reader is waited for once; later text is dropped without waiting."""
    reader, writer = full_pipe()
    console = Console(writer, patience_seconds=0.01)
    console.write("lost")
    while select.select([reader], [], [], 0)[0]:
        assert set(os.read(reader, 65536)) == {0}
    console.write("also lost")
    os.close(writer)
    assert os.read(reader, 100) == b""
    os.close(reader)
