"""Runs a tool of the system, such as git, to its end, bounded in time and output; not for stages.

The tool reads none of this program's input and outlives nothing: its whole session is killed when
its time is up.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

OUTPUT_BYTES_MAX: Final = 64 * 1024**2
TOOL_SECONDS: Final = 120.0
ASKED_SECONDS: Final = 600.0
"""The time that a person at a terminal may take."""
_ERROR_CHARACTERS_MAX: Final = 400
_ERROR_BYTES_MAX: Final = 16 * 1024
_CHUNK_BYTES: Final = 64 * 1024


class ToolError(Exception):
    """A tool could not be run, failed, or did not end; `is_missing` if it does not exist."""

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


class ToolEnd(NamedTuple):
    """The exit code of a tool, and its output."""

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
        ToolError: it does not exist, was not done in time, or printed too much.
    """
    with _started(words, env=env, cwd=cwd, stderr=subprocess.PIPE, new_session=True) as process:
        try:
            stdout, stderr = _exchange(process, words[0], given, seconds)
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)  # what the tool left, or the tool itself
    return _end_of(process, stdout, stderr)


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """Create a directory for a tool's files, which nobody else can read; remove it afterward.

    Raises:
        OSError: it cannot be created.
    """
    import tempfile  # noqa: PLC0415 - not for every tool

    with tempfile.TemporaryDirectory(prefix="fsm-orchestrator-") as place:
        yield Path(place)


def asked_of(words: Sequence[str], given: bytes, *, seconds: float = ASKED_SECONDS) -> ToolEnd:
    """Run a tool that may ask the person at the terminal for a passphrase or a touch of a key.

    Its stderr goes to the terminal if there is one.

    Raises:
        ToolError: it does not exist, was not done in time, or printed too much.
    """
    is_seen = os.isatty(2)
    stderr = None if is_seen else subprocess.PIPE
    with _started(words, env=None, cwd=None, stderr=stderr, new_session=False) as process:
        try:
            printed = _exchange(process, words[0], given, seconds)
        finally:
            process.kill()
    return _end_of(process, *printed)


def _started(
    words: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    cwd: str | None,
    stderr: int | None,
    new_session: bool,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=new_session,
        )
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError) and error.filename == words[0]
        said = f"cannot run {words[0]}: {error.strerror or error}"
        raise ToolError(said, is_missing=is_missing) from error


def _exchange(
    process: subprocess.Popen[bytes], name: str, given: bytes, seconds: float
) -> tuple[bytes, bytes]:
    """Write `given` and read the output until both streams are closed and the tool has ended.

    Raises:
        ToolError: it takes too long, or prints too much: no more than that is ever read.
    """
    deadline = time.monotonic() + seconds
    stdout, stderr = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream, printed in ((process.stdout, stdout), (process.stderr, stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, printed)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            for key, _ in selector.select(_left(deadline, name, seconds)):
                if key.data is None:
                    given = _written(key.fd, given)
                    is_over = not given
                else:
                    data = os.read(key.fd, _CHUNK_BYTES)
                    is_over = not data
                    key.data.extend(data)
                if is_over:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]  # a stream of the process
            if len(stdout) > OUTPUT_BYTES_MAX:
                raise ToolError(f"{name} printed more than {OUTPUT_BYTES_MAX} bytes")
            del stderr[_ERROR_BYTES_MAX:]
    try:
        process.wait(_left(deadline, name, seconds))
    except subprocess.TimeoutExpired:
        _left(0.0, name, seconds)
    return bytes(stdout), bytes(stderr)


def _written(descriptor: int, given: bytes) -> bytes:
    """Write what a pipe takes; return the rest, or nothing if nobody reads the pipe."""
    try:
        return given[os.write(descriptor, given[:_CHUNK_BYTES]) :] if given else given
    except BrokenPipeError:
        return b""


def _left(deadline: float, name: str, seconds: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ToolError(f"{name} did not end within {seconds:g} seconds")
    return left


def _end_of(process: subprocess.Popen[bytes], stdout: bytes, stderr: bytes) -> ToolEnd:
    said = " ".join(stderr.decode(errors="replace").split())
    return ToolEnd(process.returncode, stdout, said[:_ERROR_CHARACTERS_MAX])


def paged(text: str) -> bool:
    """Show text in the pager of the person at the terminal; return False if there is none."""
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
        ToolError: it did not; the message includes its stderr.
    """
    end = run_tool(words, env=env, cwd=cwd)
    if end.code != 0:
        raise ToolError(f"{words[0]} exited with {end.code}: {end.stderr or 'it said nothing'}")
    return end.stdout
