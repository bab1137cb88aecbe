"""The verification of an attempt's work: commands, one after another, each contained on its own.

Loaded only for stages that have any. They run in the stage's surroundings, except for the
variables, the time and, if asked for, the cage.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import TRACE_PARENT_VARIABLE
from fsm_orchestrator.disk import files
from fsm_orchestrator.model.ending_words import problem_of
from fsm_orchestrator.model.endings import (
    Exited,
    Interrupted,
    NotSpawned,
    ProcessEnd,
    Signaled,
    TimedOut,
    WentQuiet,
    interrupted_ending,
    kind_of,
    signal_name,
)
from fsm_orchestrator.model.option_kinds import INHERIT_MINIMAL
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.model.stop_words import asked_words
from fsm_orchestrator.model.verification import Verification, without_end
from fsm_orchestrator.model.verified import (
    VerificationCutShort,
    VerificationFailed,
    VerificationResult,
)
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.observing import ProcessReport
from fsm_orchestrator.processes.output_watch import LogLostError
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.stages.artifacts import JudgingCutShortError
from fsm_orchestrator.stages.environment import environment_of
from fsm_orchestrator.stages.output_files import check_logs, log_names, open_logs
from fsm_orchestrator.stages.output_tail import TAIL_LINES, read_tail
from fsm_orchestrator.text.hidden import shell_line
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.terminal import last_lines, shown_line
from fsm_orchestrator.vocabulary import Operation

if TYPE_CHECKING:
    from fsm_orchestrator.model.execution import StageExecution
    from fsm_orchestrator.model.limits import Limits
    from fsm_orchestrator.stages.asked import Asked
    from fsm_orchestrator.stages.confining import Cage
    from fsm_orchestrator.stages.protected import Changed

COMMAND_CHARACTERS_MAX: Final = 120
LINE_CHARACTERS_MAX: Final = 160
LINES_QUOTED_MAX: Final = 3
"""The number of lines of each output that are quoted of a verification that failed."""
NUMBER_VARIABLE: Final = "ORCHESTRATOR_VERIFICATION"


class Verifying(Protocol):
    """An observer of verifications as they begin and end."""

    def begins(
        self, work: StageExecution, number: int, words: tuple[str, ...], limits: Limits
    ) -> None:
        """Note that one is about to start; `work` is the record of what it verifies."""

    def ends(self, number: int, verification: Verification) -> None:
        """Note that one has ended."""

    def slow(self, number: int, elapsed_ms: int, stdout_tail: str, stderr_tail: str) -> None:
        """Note that one has run for another `slow_after_ms`."""


class Verified(NamedTuple):
    """The result of verifying: each verification, and the failure, or None if the work is good."""

    verifications: tuple[Verification, ...]
    failure: VerificationResult | None
    changes: tuple[Changed, ...] = ()
    """The changes of protected paths since before the stage: the verification is not credible."""


def verify(asked: Asked, runner: ProcessRunner, told: Verifying, work: StageExecution) -> Verified:
    """Run the verifications of a stage, up to the first that fails.

    `work` is the record of the attempt if all goes well.

    Raises:
        RecordingError: its files cannot be written; no process is left alive.
        OperationError: one of its processes could not be ended.
    """
    made: tuple[Verification, ...] = ()
    for number, words in enumerate(asked.settings.verify, 1):
        shown = shown_command(asked.masker.mask_all(words))
        changes = _changes(asked)
        if changes:
            return Verified(made, None, changes)
        signum = asked.asked_to_end()
        if signum is not None:
            return Verified((*made, _not_run(asked, number, words, signum)), _cut(signum, shown))
        one = _One(asked, told, number, words)
        told.begins(work.model_copy(update={"verifications": made}), number, one.masked, one.limits)
        verification, end = one.run(runner)
        made = (*made, verification)
        told.ends(number, verification)
        if isinstance(end, Interrupted):
            return Verified(made, _cut(end.signum, shown, end.sibling))
        if verification.problem is not None:
            said = _quoted(verification)
            return Verified(made, VerificationFailed(shown, verification.problem, said))
    return Verified(made, None, _changes(asked))


def _changes(asked: Asked) -> tuple[Changed, ...]:
    """Return the changes since before the stage of what a verification may use.

    Return none if the run is to end: its success does not count then.
    """
    if asked.guard is None or asked.guard.baseline is None:
        return ()

    def ask(_path: str) -> None:
        if asked.asked_to_end() is not None:
            raise JudgingCutShortError

    try:
        return asked.guard.baseline.changes_since(ask)
    except JudgingCutShortError:
        return ()


def _cut(signum: int, shown: str, sibling: str | None = None) -> VerificationCutShort:
    return VerificationCutShort(signum, shown, sibling)


def _not_run(asked: Asked, number: int, words: tuple[str, ...], signum: int) -> Verification:
    """Return the record of a verification that was not started: the run is to end."""
    cause = f"not started: the run {asked_words(signum)}"
    logs = log_names(asked.record.stage, asked.record.attempt, number)
    return without_end(
        asked.masker.mask_all(words),
        interrupted_ending(signum),
        Problem(cause=cause, details=()),
        logs,
        at=timestamp(asked.clock.now()),
    )


def shown_command(words: tuple[str, ...]) -> str:
    """Return a masked command as it appears in a sentence."""
    line = shell_line(words)
    return line if len(line) <= COMMAND_CHARACTERS_MAX else f"{line[:COMMAND_CHARACTERS_MAX]}..."


def _quoted(verification: Verification) -> tuple[str, ...]:
    tails = (verification.stdout_tail, verification.stderr_tail)
    lines = [one for tail in tails for one in last_lines(tail, LINES_QUOTED_MAX)]
    cut = LINE_CHARACTERS_MAX
    shown = [shown_line(one).strip() for one in lines]
    return tuple(one if len(one) <= cut else f"{one[:cut]}..." for one in shown if one)


class _One:
    """One verification at work; the observer of its own process."""

    _outputs: tuple[int, int]
    _starts: tuple[int, int]

    def __init__(self, asked: Asked, told: Verifying, number: int, words: tuple[str, ...]) -> None:
        self._asked, self._told, self._number, self._words = asked, told, number, words
        self.masked = asked.masker.mask_all(words)
        settings = asked.settings
        timeout_ms = settings.verify_timeout_ms or asked.limits.timeout_ms
        self.limits = asked.within(asked.limits._replace(timeout_ms=timeout_ms))
        self._settings = _settings_of(settings)
        self._names = asked.record.stage, asked.record.attempt, number

    def run(self, runner: ProcessRunner) -> tuple[Verification, ProcessEnd]:
        """Run it to its end; return its record, and its end."""
        asked = self._asked
        started_at, began = timestamp(asked.clock.now()), time.monotonic()
        with self._caged() as cage, open_logs(asked.home, *self._names) as (stdout, stderr):
            self._outputs = (stdout, stderr)
            self._starts = (os.fstat(stdout).st_size, os.fstat(stderr).st_size)
            reader = asked.reader_of(self._outputs)
            if cage is not None and cage.refusal is not None:
                report = ProcessReport(cage.refusal)
            else:
                try:
                    report = runner.run(self._command(cage), self.limits, self, reader)
                except LogLostError as lost:
                    path = asked.output_directory / log_names(*self._names)[lost.number]
                    with files.recording(Operation.LOGS_PERSIST, path):
                        raise OSError(lost.errno, os.strerror(lost.errno)) from lost
            duration_ms = asked.clock.elapsed_ms(began)
            if reader is not None:
                reader.finish()
            if report.survivors:
                from fsm_orchestrator.stages.problems import not_ended  # noqa: PLC0415 - rare

                raise not_ended(asked.record.stage, report.survivors)
            kept = zip(self._starts, report.kept_bytes, strict=True)
            check_logs(asked.home, self._names, self._outputs, [a + b for a, b in kept])
            tails = self._tail(0), self._tail(1)
        stdout_log, stderr_log = log_names(*self._names)
        own = report.end.by_then if isinstance(report.end, Interrupted) else report.end
        return Verification(
            command=self.masked[0],
            args=self.masked[1:],
            ending=kind_of(report.end)[0],
            problem=self._problem(report),
            start_problem=report.end.failure if isinstance(report.end, NotSpawned) else None,
            started_at=started_at,
            duration_ms=duration_ms,
            exit_code=own.code if isinstance(own, Exited) else None,
            signal=signal_name(own.signum) if isinstance(own, Signaled) else None,
            stdout_log=stdout_log,
            stderr_log=stderr_log,
            stdout_tail=tails[0],
            stderr_tail=tails[1],
            leaked_count=report.leaked_count,
            confinement=None if cage is None else cage.record(report.cage, asked.masker),
        ), report.end

    def _problem(self, report: ProcessReport) -> Problem | None:
        """Return the problem; processes that were left running are ended, and count as one."""
        problem, mask = problem_of(report.end), self._asked.masker.mask
        left = counted(report.leaked_count, "process") if report.leaked_count else ""
        if problem is None:
            said = f"exited with code 0, but left {left} running"
            return Problem(cause=said, details=()) if left else None
        details = [*problem.details, *([f"it left {left} running"] if left else [])]
        return Problem(cause=mask(problem.cause), details=tuple(map(mask, details)))

    def _caged(self) -> contextlib.AbstractContextManager[Cage | None]:
        if self._settings.confine is None:
            return contextlib.nullcontext()
        from fsm_orchestrator.stages.confining import cage_of  # noqa: PLC0415 - only with a cage

        return cage_of(self._settings, self._asked.record.token, self._asked.home)

    def _command(self, cage: Cage | None) -> Command:
        stdout, stderr = self._outputs
        ours = {
            **self._asked.our_variables,
            NUMBER_VARIABLE: str(self._number),
            **_traced(self._asked.environment, self._number),
            **({} if cage is None else {"TMPDIR": cage.temporary}),
        }
        return Command(
            command=self._words[0],
            args=self._words[1:],
            cwd=self._settings.cwd,
            env=environment_of(self._settings, ours),
            search_path=os.environ.get("PATH"),
            stdout=stdout,
            stderr=stderr,
            cage=None if cage is None else cage.order,
        )

    def _tail(self, output: int) -> str:
        masker, start = self._asked.output_masker, self._starts[output]
        tail = read_tail(self._outputs[output], masker, start=start)
        return "\n".join(last_lines(tail.text, TAIL_LINES))

    # -- the observer of its process --------------------------------------------------------

    def started(self, pid: int, /) -> None:
        """Report that it has started: after a kill, its processes are found by that."""
        self._asked.on_started(pid)

    def slow(self, elapsed_ms: int) -> None:
        """Report that it is slow, with its latest output."""
        self._told.slow(self._number, elapsed_ms, self._tail(0), self._tail(1))

    def suspended(self, paused_ms: int) -> None:
        """Report that it was suspended."""
        self._asked.on_suspended(0 if self._asked.clock.is_fixed else paused_ms)

    def ending(
        self, stopped: TimedOut | WentQuiet, processes: tuple[int, ...], silent_seconds: float
    ) -> None:
        """Record nothing: its output is all that there is to say."""


def _traced(environment: Mapping[str, str], number: int) -> dict[str, str]:
    """Return the variable with a verification's own span; none if the attempt has no trace."""
    parent = environment.get(TRACE_PARENT_VARIABLE)
    if parent is None:
        return {}
    from fsm_orchestrator.model.trace import parent_in, span_of_verification  # noqa: PLC0415 - few are traced

    trace = parent_in({TRACE_PARENT_VARIABLE: parent})
    if trace is None or trace.parent_id is None:
        return {}
    return {TRACE_PARENT_VARIABLE: trace.parent_of(span_of_verification(trace.parent_id, number))}


def _settings_of(settings: StageSettings) -> StageSettings:
    """Return the settings of a stage as they apply to its verifications."""
    if settings.clean_env:
        settings = settings._replace(env={}, secrets={}, env_inherit=INHERIT_MINIMAL)
    if settings.confine is None:
        return settings
    if settings.verify_unconfined:
        return settings._replace(confine=None)
    return settings
