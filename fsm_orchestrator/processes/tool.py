"""Runs a tool of the system, such as git, to its end: bounded in time and output, no stage.

It reads nothing of ours and outlives nothing: its whole session is killed when its time is up.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

OUTPUT_BYTES_MAX: Final = 64 * 1024**2
TOOL_SECONDS: Final = 120.0
ASKED_SECONDS: Final = 600.0
"""How long a person at a terminal may take."""
_ERROR_CHARACTERS_MAX: Final = 400


class ToolError(Exception):
    """A tool could not be run, failed, or did not end; `is_missing` when there is none."""

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


class ToolEnd(NamedTuple):
    """How a tool ended, and what it printed."""

    code: int
    stdout: bytes
    stderr: str


def run_tool(
    words: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    given: bytes = b"",
    seconds: float = TOOL_SECONDS,
) -> ToolEnd:
    """Run a tool with `given` on its stdin; return how it ended, whatever its exit code.

    Raises:
        ToolError: it is not there, was not done in time, or printed too much.
    """
    try:
        process = subprocess.Popen(
            words,
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError) and error.filename == words[0]
        said = f"cannot run {words[0]}: {error.strerror or error}"
        raise ToolError(said, is_missing=is_missing) from error
    try:
        stdout, stderr = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise ToolError(f"{words[0]} did not end within {seconds:g} seconds") from None
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left, or itself
        if process.returncode is None:
            process.communicate()
    if len(stdout) > OUTPUT_BYTES_MAX:
        raise ToolError(f"{words[0]} printed more than {OUTPUT_BYTES_MAX} bytes")
    said = " ".join(stderr.decode(errors="replace").split())
    return ToolEnd(process.returncode, stdout, said[:_ERROR_CHARACTERS_MAX])


def asked_of(words: Sequence[str], given: bytes, *, seconds: float = ASKED_SECONDS) -> ToolEnd:
    """Run a tool that may ask whoever is at the terminal, for a passphrase or a touch of a key.

    What it says on stderr goes to the terminal where there is one.

    Raises:
        ToolError: it is not there, was not done in time, or printed too much.
    """
    is_seen = os.isatty(2)
    try:
        done = subprocess.run(
            words,
            input=given,
            stdout=subprocess.PIPE,
            stderr=None if is_seen else subprocess.PIPE,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{words[0]} did not end within {seconds:g} seconds") from None
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError) and error.filename == words[0]
        said = f"cannot run {words[0]}: {error.strerror or error}"
        raise ToolError(said, is_missing=is_missing) from error
    if len(done.stdout) > OUTPUT_BYTES_MAX:
        raise ToolError(f"{words[0]} printed more than {OUTPUT_BYTES_MAX} bytes")
    said = " ".join((done.stderr or b"").decode(errors="replace").split())
    return ToolEnd(done.returncode, done.stdout, said[:_ERROR_CHARACTERS_MAX])


def paged(text: str) -> bool:
    """Show text in the pager of whoever is at the terminal; return False where there is none."""
    words = shlex.split(os.environ.get("PAGER") or "less")
    try:
        done = subprocess.run(
            words, input=text.encode(errors="replace"), env={"LESS": "R", **os.environ}, check=False
        )
    except (OSError, ValueError, IndexError):
        return False
    return done.returncode == 0


def output_of(
    words: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None
) -> bytes:
    """Run a tool that must exit with 0; return what it printed.

    Raises:
        ToolError: it did not; the message has what it said.
    """
    end = run_tool(words, env=env, cwd=cwd)
    if end.code != 0:
        raise ToolError(f"{words[0]} exited with {end.code}: {end.stderr or 'it said nothing'}")
    return end.stdout
