"""The facts that an attempt left: names and values, the most telling first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.explanation.explanation import Fact
from fsm_orchestrator.explanation.facts import FactName
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.inspection.quoting import Quoting
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.text.hidden import copyable, shell_line
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.terminal import last_lines
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.model.verification import Verification

TAIL_LINES_MAX: Final = 5
SHOWN_MAX: Final = 10
_MEBIBYTE: Final = 1024 * 1024


class AttemptFacts:
    """The facts that the attempts of a run have left.

    `directory` is the run's directory as it is shown.
    """

    def __init__(self, view: InspectedRun, directory: str) -> None:
        self._view = view
        self.directory = directory

    @cached_property
    def _quoting(self) -> Quoting:
        return Quoting(self._view)

    def of_end(self, execution: StageExecution) -> tuple[Fact, ...]:
        """Return the facts about the end of an attempt of the latest invocation."""
        return (
            *self._ending(execution, self._view.invocation_count),
            *_command_facts(execution),
            *_verification_facts(execution),
            *_file_facts(execution, self.directory),
        )

    def of_all(self, execution: StageExecution, invocation: int) -> tuple[Fact, ...]:
        """Return everything recorded about an attempt that ran, field by field."""
        return (
            Fact(name=FactName.WHY, value=execution.reason),
            *_command_facts(execution),
            *self._ending(execution, invocation),
            *_artifact_facts(execution),
            *_verification_facts(execution),
            *_resource_facts(execution),
            *_file_facts(execution, self.directory),
        )

    def _ending(self, execution: StageExecution, invocation: int) -> Iterator[Fact]:
        """Yield how an attempt ended, and its last output: that on stdout if stderr is empty."""
        yield from _ending_facts(execution)
        failed = execution.failed_verification
        if failed is not None:
            yield from _output_facts(failed)
            return
        tail, name = last_lines(execution.stderr_tail, TAIL_LINES_MAX), FactName.STDERR
        if not tail and execution.status is not StageStatus.SUCCESS:
            tail = self._quoting.last_of_stdout(execution, invocation, TAIL_LINES_MAX)
            name = FactName.STDOUT
        if tail:
            yield Fact(name=name, value="\n".join(tail))


def _output_facts(failed: Verification) -> Iterator[Fact]:
    """Yield the last output of a verification that failed."""
    tails = ((FactName.STDOUT, failed.stdout_tail), (FactName.STDERR, failed.stderr_tail))
    for name, text in tails:
        tail = last_lines(text, TAIL_LINES_MAX)
        if tail:
            yield Fact(name=name, value="\n".join(tail))


def _verification_facts(execution: StageExecution) -> Iterator[Fact]:
    if execution.verifications or execution.verified_attempt is not None:
        from fsm_orchestrator.explanation.verification_words import verification_lines  # noqa: PLC0415 - few are verified

        for line in verification_lines(execution):
            yield Fact(name=FactName.VERIFIED, value=line)


def open_attempt_facts(attempt: AttemptRecord) -> tuple[Fact, ...]:
    """Return the recorded facts of an attempt that has not ended."""
    facts = [
        Fact(name=FactName.WHY, value=attempt.reason),
        Fact(name=FactName.BEGAN, value=attempt.started_at),
    ]
    if attempt.work is not None:
        number = 1 + len(attempt.work.verifications)
        said = f"its process had ended, and verification {number} of what it did had begun"
        facts.append(Fact(name=FactName.VERIFIED, value=said))
    if attempt.pid is not None:
        facts.append(Fact(name=FactName.PROCESS, value=str(attempt.pid)))
    return tuple(facts)


def open_attempts_facts(attempts: Sequence[AttemptRecord]) -> tuple[Fact, ...]:
    """Return the facts of attempts that have not ended; of several, only start and processes."""
    if len(attempts) == 1:
        return open_attempt_facts(attempts[0])
    processes = ", ".join(f"{one.stage} {one.pid}" for one in attempts if one.pid is not None)
    began = Fact(name=FactName.BEGAN, value=min(one.started_at for one in attempts))
    return (began, Fact(name=FactName.PROCESS, value=processes)) if processes else (began,)


def ending_sentence(execution: StageExecution) -> str:
    """Return a sentence such as `success after 12 ms`; for a failure, also what went wrong."""
    if execution.status is StageStatus.SKIPPED:
        return f"skipped: {execution.reason}"
    if execution.status is StageStatus.INTERRUPTED and execution.error is not None:
        return execution.error
    said = ExitMeaning.of(execution.ending)
    if said is not None and execution.problem is not None:
        return f"{execution.problem.cause}, after {span_words(execution.duration_ms)}"
    took = f"{execution.status.value} after {span_words(execution.duration_ms)}"
    return took if execution.error is None else f"{took}: {execution.error}"


def _ending_facts(execution: StageExecution) -> Iterator[Fact]:
    if execution.exit_code is not None:
        yield Fact(name=FactName.EXIT_CODE, value=str(execution.exit_code))
    if execution.signal is not None:
        yield Fact(name=FactName.SIGNAL, value=execution.signal)
    for name, paths in (
        (FactName.MISSING, execution.missing_artifacts),
        (FactName.MALFORMED, execution.malformed_artifacts),
        (FactName.STALE, execution.stale_artifacts),
    ):
        for path in paths[:SHOWN_MAX]:
            yield Fact(name=name, value=copyable(path))
    for broken in execution.contract_violations[:SHOWN_MAX]:
        yield Fact(name=FactName.CONTRACT, value="\n".join(broken.lines))
    for changed in execution.protected_changes[:SHOWN_MAX]:
        yield Fact(name=FactName.PROTECTED, value=copyable(changed.sentence))
    yield from _left_out(FactName.CONTRACT, len(execution.contract_violations))
    yield from _left_out(FactName.PROTECTED, len(execution.protected_changes))
    if execution.leaked_count:
        pids = ", ".join(str(one.pid) for one in execution.leaked_processes[:SHOWN_MAX])
        yield Fact(name=FactName.LEFT_BEHIND, value=f"{execution.leaked_count} ({pids})")


def _left_out(name: FactName, count: int) -> Iterator[Fact]:
    """Yield the number of values that are not shown."""
    if count > SHOWN_MAX:
        yield Fact(name=name, value=f"and {count - SHOWN_MAX} more")


def _command_facts(execution: StageExecution) -> Iterator[Fact]:
    if execution.attempt == 0 or not execution.command:
        return
    yield Fact(name=FactName.COMMAND, value=shell_line((execution.command, *execution.args)))
    yield Fact(name=FactName.IN, value=copyable(execution.cwd))
    if execution.env_keys:
        yield Fact(name=FactName.SETS, value=", ".join(execution.env_keys))
    if execution.confinement is not None:
        from fsm_orchestrator.explanation.confinement_words import confinement_lines  # noqa: PLC0415 - only of a cage

        lines = "\n".join(confinement_lines(execution.confinement))
        yield Fact(name=FactName.CONFINED, value=lines)


def _artifact_facts(execution: StageExecution) -> Iterator[Fact]:
    for artifact in execution.artifacts[:SHOWN_MAX]:
        digest = f"{artifact.size_bytes} bytes, sha256 {artifact.sha256}"
        if artifact.files is not None:
            digest = f"{counted(artifact.files, 'file')}, {digest}"
        yield Fact(name=FactName.ARTIFACT, value=f"{copyable(artifact.path)}\n{digest}")
    for one in execution.inputs[:SHOWN_MAX]:
        yield Fact(name=FactName.INPUT, value="\n".join(one.lines))


def _resource_facts(execution: StageExecution) -> Iterator[Fact]:
    if execution.metering is not None and execution.metering.metered:
        from fsm_orchestrator.explanation.budget_words import amount_words  # noqa: PLC0415 - only with a meter

        amounts = (amount_words(one.unit, one.amount, None) for one in execution.metering.metered)
        yield Fact(name=FactName.METERED, value=", ".join(amounts))
    used = execution.resources
    if used is not None:
        spent = span_words(round((used.user_seconds + used.system_seconds) * 1000))
        words = f"{spent} of processor time"
        if used.rss_bytes_max is not None:
            words += f", {used.rss_bytes_max / _MEBIBYTE:.0f} MiB of memory at most"
        yield Fact(name=FactName.USED, value=words)


def _file_facts(execution: StageExecution, directory: str) -> Iterator[Fact]:
    """Yield the files to look at; of logs, only those that are not empty."""
    failed = execution.failed_verification
    for name, log in (
        *(() if failed is None else ((FactName.LOG, failed.stdout_log),)),
        *(() if failed is None else ((FactName.LOG, failed.stderr_log),)),
        (FactName.LOG, execution.stderr_log),
        (FactName.LOG, execution.stdout_log),
        (FactName.POSTMORTEM, execution.postmortem),
    ):
        if log is not None and _has_content(Path(directory) / log):
            yield Fact(name=name, value=copyable(f"{directory.rstrip('/')}/{log}"))
    if execution.no_postmortem is not None:
        yield Fact(name=FactName.NO_POSTMORTEM, value=execution.no_postmortem.words)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
