"""Poisons for the files of an output directory, and commands that meet them in a forked process."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.vocabulary import ExitCode

HOLDER: Final = {"pid": 1, "host": "h", "since": "2026-01-01T00:00:00.000Z", "run_id": "r"}
NUMBERS: Final[Mapping[str, str]] = {
    "infinite": "1e400",
    "long": "9" * 5_000,
    "wide": "9" * 30,
    "negative": "-1",
    "not a number": "NaN",
    "nested": "[" * 50_000 + "]" * 50_000,
}
WORDS: Final[Mapping[str, str]] = {
    "surrogate": '"\\ud800"',
    "nul": '"\\u0000"',
    "object": "{}",
    "way up": '"../.."',
}
ANYWHERE: Final[Mapping[str, bytes]] = {
    "empty": b"",
    "nul": b"\0" * 4096,
    "lines": b"\n" * 4096,
    "bytes": bytes(range(256)) * 16,
    "latin-1": "grün\n".encode("latin-1"),
    "surrogates": b'{"run_id": "\xed\xa0\x80"}\n',
    "utf-16": '{"run_id": "r"}\n'.encode("utf-16"),
    "number": b"9" * 100_000,
    "null": b"null\n",
    "list": b"[1, 2]\n",
    "nested": b'{"a":' * 100_000,
}


def with_value(key: str, value: str) -> bytes:
    """Return a line of JSON that has `value`, as it is spelled, under a key."""
    written = json.dumps({"product": "fsm-orchestrator", "schema_version": 1, **HOLDER, key: "@@"})
    return written.replace('"@@"', value).encode() + b"\n"


@contextmanager
def _own_streams(directory: Path) -> Iterator[None]:
    """Send the output to files, in a process that will not need its streams again."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        opened = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    yield


class Meeting(NamedTuple):
    """A command, and the poison that it meets."""

    poison: str
    words: Sequence[str]
    prepare: Callable[[], None]


class Met(NamedTuple):
    """The end of a command that met a poison, and its messages."""

    poison: str
    words: Sequence[str]
    code: int
    said: str


def met(cwd: Path, meetings: Sequence[Meeting]) -> list[Met]:
    """Run commands one after the other in `cwd`; return how each ended.

    One forked process runs all of them: each takes milliseconds where a command's own process takes
    half a second. An exception of a command counts as the code of a bug.
    """
    told = cwd / "told"
    pid = os.fork()
    if pid == 0:
        try:
            _meet(cwd, meetings, told)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    found = [json.loads(line) for line in told.read_text().splitlines()]
    assert len(found) == len(meetings), f"ended within {meetings[len(found)]}"
    return [Met(one.poison, one.words, *ended) for one, ended in zip(meetings, found, strict=True)]


def _meet(cwd: Path, meetings: Sequence[Meeting], told: Path) -> None:
    os.chdir(cwd)
    os.environ["XDG_STATE_HOME"] = str(cwd / "state")
    with told.open("w") as answers, _own_streams(cwd):
        for one in meetings:
            one.prepare()
            os.ftruncate(2, 0)
            try:
                code = run_command_line(one.words)
            except BaseException:  # noqa: BLE001 - told to the test
                code = ExitCode.INTERNAL
                os.write(2, traceback.format_exc().encode())
            said = (cwd / "stderr").read_bytes().replace(b"\0", b"").decode(errors="replace")
            answers.write(json.dumps([int(code), said[-2_000:]]) + "\n")
            answers.flush()
