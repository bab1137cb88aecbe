"""Every error that this package raises on purpose.

    OrchestratorError
    ├─ UsageError            exit 2    the request is wrong or refused: nothing written
    │  ├─ LifecycleError     exit 2    a lifecycle file is wrong: file, state or edge, reason
    │  └─ LeaseError         exit 2    no such lease is possible, or none for this run
    ├─ CheckpointError       exit 1    the checkpoint cannot be used: file, reason
    │  └─ TamperedError      exit 1    the record is not the one that was left: file, change
    ├─ ReportError           exit 1    a report cannot be read: file, reason
    ├─ OperationError        exit 1    the program could not do its own part: the run failed
    │  └─ RecordingError     exit 1    a file of the run cannot be written: path, cause
    ├─ BusyError             exit 75   another orchestrator holds the output directory
    ├─ FencedError           exit 75   a later epoch holds the run
    ├─ CommandError          exit 1    a command could not do what it was asked; no run is affected
    │  └─ OutputError        exit 1    its result could not be written to standard output
    └─ InternalError         exit 70   a bug in this program

An action of a stage or a gate is never an error: see `model.endings` and `gates`. A message is
lower case and says what is wrong and where; `remedy` says what to do next. Imports only the
vocabulary of this package.
"""

from __future__ import annotations

from typing import NamedTuple

from fsm_orchestrator.vocabulary import ExitCode, HeldBy, Operation


class OrchestratorError(Exception):
    """The base of all errors of this package.

    Attributes:
        remedy: what the operator can do about it, a sentence without a period, or "".
        exit_code: the exit code of the command.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class UsageError(OrchestratorError):
    """The request is wrong or refused; nothing was started and nothing was written."""

    exit_code = ExitCode.USAGE


class LifecycleError(UsageError):
    """A lifecycle file is wrong."""


class LeaseError(UsageError):
    """No such lease is possible here, or none for this run; nothing was started."""


class CheckpointError(OrchestratorError):
    """A checkpoint cannot be used; the file was left unchanged."""


class TamperedError(CheckpointError):
    """The record of a run is not the one that was left here; it was not changed."""


class ReportError(OrchestratorError):
    """A report cannot be read."""


class OperationError(OrchestratorError):
    """The program could not do its own part of the run, and the run failed with it.

    Attributes:
        operation: the operation that failed, dotted: `checkpoint.persist`, `report.persist`,
            `events.persist`, `attempt.end` …; the `command` of its stage execution.
    """

    def __init__(self, operation: Operation, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.operation = operation


class RecordingError(OperationError):
    """A file of the run could not be made durable."""

    def __init__(self, operation: Operation, path: str, cause: str) -> None:
        super().__init__(
            operation,
            f"cannot write {path}: {cause}",
            remedy="make the path writable (space, permissions, no directory in the file's place)"
            ", then resume",
        )


class ChangedCodeError(ImportError):
    """Code that this program needs has changed since its first stage began."""


def not_loaded(error: ImportError) -> OperationError:
    """Return the error of a run that needs something that cannot be loaded."""
    if isinstance(error, ChangedCodeError):
        return OperationError(
            Operation.CONTROL_VERIFY,
            f"a part of this program is not loaded: {error}",
            remedy="find out whether an upgrade or a stage did that; install it again, then resume",
        )
    return OperationError(
        Operation.ORCHESTRATOR_RUN,
        f"a part of this program cannot be loaded: {error}",
        remedy="it was upgraded or removed in the meantime, or is not completely installed:"
        " install it again with everything that it needs, then repeat or resume (PYTHONPATH is"
        " ignored)",
    )


class Holder(NamedTuple):
    """The holder of an output directory, as its lock file names it; empty until the file does."""

    pid: int | None = None
    host: str | None = None
    since: str | None = None
    run_id: str | None = None
    held_by: HeldBy | None = None
    hears: str | None = None
    """The text that a request to end its run must quote; None if the holder takes none."""

    def __str__(self) -> str:
        """Return the holder as text, without the directory."""
        if self.pid is None:
            return "a process that has not yet identified itself"
        program = ""
        if self.held_by is HeldBy.LIBRARY:
            program = " that uses the library"
        elif self.held_by is HeldBy.ENGINE:
            program = ", a worker of an engine"
        return f"process {self.pid} on {self.host}{program}, since {self.since} (run {self.run_id})"


class BusyError(OrchestratorError):
    """Another orchestrator holds the output directory; no file in it was touched.

    Attributes:
        holder: the other orchestrator.
    """

    exit_code = ExitCode.BUSY

    def __init__(self, directory: str, holder: Holder) -> None:
        super().__init__(
            f"{directory} is held by another orchestrator: {holder}",
            remedy="wait until it has ended, or use another output directory; nothing was touched",
        )
        self.holder = holder


class FencedError(OrchestratorError):
    """A later epoch holds the run; nothing was touched."""

    exit_code = ExitCode.BUSY


class CommandError(OrchestratorError):
    """A command that inspects or ends a run could not do what it was asked to do."""


class OutputError(CommandError):
    """A result could not be written to standard output.

    Attributes:
        reason: the reason, as a phrase.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot write the result to standard output: {reason}",
            remedy="send it to a place that can take all of it, and run the command again",
        )
        self.reason = reason


class InternalError(OrchestratorError):
    """The program contradicted itself: a bug, to be reported with its traceback."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, *, traceback_in: str = "the log") -> None:
        super().__init__(
            f"internal error: {message}",
            remedy=f"this is a bug: please report it with the traceback that is in {traceback_in}",
        )
