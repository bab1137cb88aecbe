"""Runs a program for a gate, like a stage: limits, its own logs, nothing left behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from fsm_orchestrator.constants import LOGS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.gates.sources.base import EVIDENCE_BYTES_MAX, AskedToEndError, Tools
from fsm_orchestrator.gates.sources.helper import SilentWatch, last_words, problem_with_end
from fsm_orchestrator.model.endings import Interrupted, ProcessEnd
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.vocabulary import Operation


class ToRun(NamedTuple):
    """A program, its arguments, and the directory that it runs in."""

    program: str
    arguments: tuple[str, ...]
    directory: str


class Ran(NamedTuple):
    """The result of a program.

    Attributes:
        end: how it ended.
        survivors: the pids of its processes that could not be ended.
        printed: its stdout, cut off after the most that counts as evidence.
        said: the end of its stdout, if no log keeps it.
        complained: the end of its stderr, if no log keeps it.
        log: the log of its stdout, a file in the output directory; None if there is none.
        error_log: the log of its stderr, likewise.
        has_complained: True if it printed to stderr.
    """

    end: ProcessEnd
    survivors: tuple[int, ...]
    printed: bytes
    said: str
    complained: str
    log: str | None
    error_log: str | None
    has_complained: bool

    @property
    def telling_log(self) -> str | None:
        """The log to look at: that of stdout, unless the program printed only to stderr."""
        return self.error_log if self.has_complained and not self.printed else self.log


def run_for_gate(tools: Tools, what: ToRun, environment: Mapping[str, str], limits: Limits) -> Ran:
    """Run a program to its end; a bare name is looked up on PATH.

    Raises:
        AskedToEndError: the run was asked to end while the program ran.
        RecordingError: its logs cannot be written.
    """
    with _outputs(tools) as (stdout, stderr, (log, error_log)):
        # It may have been asked before.
        start, error_start = os.fstat(stdout).st_size, os.fstat(stderr).st_size
        command = Command(
            command=what.program,
            args=what.arguments,
            cwd=what.directory,
            env=environment,
            search_path=os.environ.get("PATH"),
            stdout=stdout,
            stderr=stderr,
        )
        report = tools.runner.run(command, limits, SilentWatch())
        if isinstance(report.end, Interrupted):
            raise AskedToEndError
        printed = os.pread(stdout, EVIDENCE_BYTES_MAX + 1, start)
        has_complained = os.fstat(stderr).st_size > error_start
        said, complained = ("", "") if log else (last_words(stdout), last_words(stderr))
    return Ran(
        report.end, report.survivors, printed, said, complained, log, error_log, has_complained
    )


@contextlib.contextmanager
def _outputs(tools: Tools) -> Iterator[tuple[int, int, tuple[str | None, str | None]]]:
    """Open the two logs, or files without a name if nothing may be written."""
    if tools.home is None:
        with TemporaryFile() as stdout, TemporaryFile() as stderr:
            yield stdout.fileno(), stderr.fileno(), (None, None)
        return
    names = [f"gate.{tools.rule.name}.{tools.number}.{one}.log" for one in ("stdout", "stderr")]
    descriptors: list[int] = []
    try:
        directory = tools.output_directory / LOGS_DIRECTORY
        with (
            files.recording(Operation.LOGS_PERSIST, directory),
            files.below(tools.home, LOGS_DIRECTORY) as logs,
        ):
            for name in names:
                path = Path(directory, name)
                descriptors.append(files.open_append(path, mode=0o600, within=logs))
        log, error_log = (f"{LOGS_DIRECTORY}/{name}" for name in names)
        yield descriptors[0], descriptors[1], (log, error_log)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def problem_with(ran: Ran) -> tuple[EvidenceProblem | None, str]:
    """Return the meaning of a program's end for its gate, and a sentence about it."""
    if ran.survivors:
        pids = ", ".join(map(str, ran.survivors))
        return EvidenceProblem.KILLED, f"some of its processes cannot be ended: {pids}"
    return problem_with_end(ran.end)
