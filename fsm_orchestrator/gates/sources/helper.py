"""A program that runs for a source, contained like a stage: nothing that it started survives it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from tempfile import TemporaryFile
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.constants import DEFAULT_KILL_GRACE_MS
from fsm_orchestrator.gates.sources.base import AskedToEndError
from fsm_orchestrator.model.ending_words import problem_of
from fsm_orchestrator.model.endings import (
    BudgetEnded,
    Exited,
    Interrupted,
    LimitExceeded,
    Lost,
    NotSpawned,
    OutputExceeded,
    ProcessEnd,
    Signaled,
    TimedOut,
    WentQuiet,
)
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.runner import ProcessRunner

TAIL_BYTES: Final = 4096


class SilentWatch:
    """A watch on a running program that notes nothing."""

    def started(self, pid: int, /) -> None:
        """Do nothing."""

    def slow(self, elapsed_ms: int) -> None:
        """Do nothing."""

    def suspended(self, paused_ms: int) -> None:
        """Do nothing."""

    def ending(
        self, stopped: TimedOut | WentQuiet, processes: tuple[int, ...], silent_seconds: float
    ) -> None:
        """Do nothing."""


class HelperEnd(NamedTuple):
    """The end of a helper, and its output: all of stdout, the last of stderr."""

    end: ProcessEnd
    stdout: bytes
    stderr: str


def run_helper(
    runner: ProcessRunner,
    words: Sequence[str],
    env: Mapping[str, str],
    *,
    timeout_ms: int,
    output_bytes: int,
) -> HelperEnd:
    """Run a program of the operator's that writes no log; return its end and its output.

    Raises:
        AskedToEndError: the run was asked to end while the program ran.
    """
    limits = Limits(
        timeout_ms=timeout_ms,
        kill_grace_ms=DEFAULT_KILL_GRACE_MS,
        output_limit_bytes=output_bytes,
    )
    program, *arguments = words
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        command = Command(
            command=program,
            args=tuple(arguments),
            cwd=os.curdir,
            env=env,
            search_path=env.get("PATH"),
            stdout=stdout.fileno(),
            stderr=stderr.fileno(),
        )
        end = runner.run(command, limits, SilentWatch()).end
        if isinstance(end, Interrupted):
            raise AskedToEndError
        printed = os.pread(stdout.fileno(), output_bytes, 0)
        return HelperEnd(end, printed, last_words(stderr.fileno()))


def last_words(descriptor: int) -> str:
    """Return the end of the output in a file."""
    size_bytes = os.fstat(descriptor).st_size
    return os.pread(descriptor, TAIL_BYTES, max(0, size_bytes - TAIL_BYTES)).decode(
        errors="replace"
    )


def problem_with_end(end: ProcessEnd) -> tuple[EvidenceProblem | None, str]:
    """Return the meaning of a command's end for its gate, and a sentence about it.

    Raises:
        AskedToEndError: it was ended because the run was asked to end.
    """
    problem = problem_of(end)
    said = "it exited with 0" if problem is None else problem.sentence
    match end:
        case Exited(code=0):
            return None, said
        case Exited():
            return EvidenceProblem.EXIT_CODE, said
        case Signaled() | Lost() | LimitExceeded() | BudgetEnded():
            return EvidenceProblem.KILLED, said
        case TimedOut() | WentQuiet():
            return EvidenceProblem.TIMED_OUT, said
        case OutputExceeded():
            return EvidenceProblem.OUTPUT_LIMIT, said
        case NotSpawned():
            return EvidenceProblem.NOT_STARTED, said
        case Interrupted():
            raise AskedToEndError
        case _:
            assert_never(end)
