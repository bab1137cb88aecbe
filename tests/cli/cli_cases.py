"""Run the command at a terminal or in a shell, and find its output."""

from __future__ import annotations

import errno
import os
import pty
import re
import shlex
import subprocess
import termios
from pathlib import Path

from tests.support.command import PASSING, Ended, command_of_shells, environment, stages

GOOD_RUN = (*PASSING, *stages("echo planned > planned", "echo applied > applied"))
ONCE_FAILING = 'test "$ORCHESTRATOR_ATTEMPT" -gt 1'
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def everything(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Return everything below a directory, directories too, with times and content."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(directory.rglob("*"))
    }


def through_shell(command: str, *arguments: str, cwd: Path) -> Ended:
    """Run a shell command in which `"$@"` stands for this program with these arguments."""
    done = subprocess.run(
        ["/bin/sh", "-c", command, "sh", *command_of_shells(environment()), *arguments],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def next_command(ended: Ended) -> list[str]:
    """Return the arguments of the command that a summary says to type next."""
    joined = ended.stdout.replace("\\\n", " ")
    (line,) = re.findall(r"^ +(?:next|resume) +(.*)$", joined, flags=re.MULTILINE)
    product, *arguments = shlex.split(line)
    assert product == "fsm-orchestrator"
    return arguments


def assert_one_message(ended: Ended) -> None:
    """Assert a usage error: exit 2, one short message on stderr, nothing on stdout."""
    assert ended.code == 2, ended
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) <= 4
    assert lines[0].startswith("fsm-orchestrator: ")
    assert all(line.startswith("  ") for line in lines[1:])
    assert "Traceback" not in ended.stderr
    assert "Usage:" not in ended.stderr
    assert not CONTROL.search(ended.stderr)


def on_terminal(*arguments: str, cwd: Path, **env: str) -> tuple[int, str]:
    """Run the command with stdout and stderr on a terminal; return exit code and screen text.

    The log is text, line by line: how it is redrawn is another matter.
    """
    return on_terminal_of(None, *arguments, cwd=cwd, **env)


def on_terminal_of(columns: int | None, *arguments: str, cwd: Path, **env: str) -> tuple[int, str]:
    """Do the same on a terminal with a number of columns."""
    as_text = {"FSM_ORCHESTRATOR_LOG_FORMAT": "text", "XDG_STATE_HOME": str(cwd / "state")}
    master, slave = pty.openpty()
    if columns is not None:
        termios.tcsetwinsize(slave, (24, columns))
    process = subprocess.Popen(
        [*command_of_shells(environment()), *arguments],
        cwd=cwd,
        env=environment(**{**as_text, **env}),
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen = bytearray()
    try:
        while data := os.read(master, 65536):
            seen += data
    except OSError as error:  # Linux ends a terminal that nobody holds open with EIO
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(master)
        code = process.wait(timeout=60)
    return code, seen.decode().replace("\r\n", "\n")
