"""The log files of a run's stages: which there are, and the last line of one. Reads only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.vocabulary import (
    LOGS_DIRECTORY,
    STATE_NAME_PATTERN,
)

_NAME: Final = re.compile(rf"({STATE_NAME_PATTERN})\.([1-9][0-9]{{0,8}})\.(stdout|stderr)\.log")
TAIL_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, order=True)
class StageLog:
    """A log file of one attempt."""

    attempt: int
    stage: str
    is_stderr: bool
    path: Path


def logs_of(directory: Path) -> tuple[StageLog, ...]:
    """The log files in a run's directory, by stage and attempt, stdout before stderr.

    Links and anything else that is no regular file are left out.
    """
    return tuple(sorted(_found(directory), key=lambda log: (log.stage, log.attempt, log.is_stderr)))


def _found(directory: Path) -> Iterator[StageLog]:
    try:
        entries = list(os.scandir(directory / LOGS_DIRECTORY))
    except OSError:
        return
    for entry in entries:
        match = _NAME.fullmatch(entry.name)
        if match is not None and entry.is_file(follow_symlinks=False):
            yield StageLog(int(match[2]), match[1], match[3] == "stderr", Path(entry.path))


def last_line(logs: Iterable[StageLog]) -> str:
    """The last line with something in it of the log that was written last; empty if none has."""
    written = []
    for log in logs:
        try:
            found = log.path.stat()
        except OSError:
            continue
        if found.st_size:
            written.append((found.st_mtime_ns, log.path))
    for _, path in sorted(written, reverse=True):
        for line in reversed(_tail(path).splitlines()):
            if line.strip():
                return line.strip()
    return ""


def _tail(path: Path) -> str:
    try:
        descriptor = files.open_regular(path)
    except OSError:
        return ""
    try:
        size_bytes = os.fstat(descriptor).st_size
        data = os.pread(descriptor, TAIL_BYTES, max(0, size_bytes - TAIL_BYTES))
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    text = data.decode(errors="replace")
    if size_bytes <= TAIL_BYTES:
        return text
    return text.partition("\n")[2]  # what comes before may be the end of a value


def log_names(stage: str, attempt: int) -> tuple[str, str]:
    """Where an attempt's stdout and stderr go, relative to the output directory."""
    base = f"{LOGS_DIRECTORY}/{stage}.{attempt}"
    return f"{base}.stdout.log", f"{base}.stderr.log"


def postmortem_name(stage: str, attempt: int) -> str:
    """Where an attempt's black box is, relative to the output directory."""
    return f"{LOGS_DIRECTORY}/{stage}.{attempt}.postmortem.json"
