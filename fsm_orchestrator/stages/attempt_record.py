"""The record of an attempt that has ended, as it is kept and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fsm_orchestrator.model.endings import (
    ArtifactsWrong,
    BudgetEnded,
    ByExitCode,
    Exited,
    Failings,
    Interrupted,
    NotSpawned,
    PostmortemGap,
    Signaled,
    SpawnFailure,
    StageResult,
    TimedOut,
    WentQuiet,
    kind_of,
    signal_name,
    stage_result,
)
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.problem import Problem, gone_wrong
from fsm_orchestrator.model.program import ProgramFile
from fsm_orchestrator.model.promises import HeldHow, TimeLimit
from fsm_orchestrator.processes.observing import ProcessReport
from fsm_orchestrator.stages.artifacts import ArtifactsVerdict, masked_artifacts, masked_paths
from fsm_orchestrator.stages.output_files import log_names, postmortem_name
from fsm_orchestrator.vocabulary import OnLeak, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import BudgetStop, Metering, UnitAmount
    from fsm_orchestrator.model.confinement import ExceededLimit
    from fsm_orchestrator.processes.memory_kills import MemoryKill
    from fsm_orchestrator.stages.asked import Asked
    from fsm_orchestrator.stages.confining import Cage
    from fsm_orchestrator.stages.earning import Earned, EarnedRecord
    from fsm_orchestrator.stages.verifying import Verified

COMMAND_CHARACTERS_MAX: Final = 300


class Ended(NamedTuple):
    """The observations of an attempt, up to its end.

    Attributes:
        was_judged: False if its time was up while its artifacts were judged.
        black_box: one line about its black box, which may be empty; None if there is none.
        metered: the amounts that it metered; None if it had no meter.
        verified: the result of verifying its work; None before that.
    """

    report: ProcessReport
    verdict: ArtifactsVerdict
    duration_ms: int
    stderr_tail: str
    judged_ms: int
    was_judged: bool
    cage: Cage | None
    black_box: str | None
    memory_kill: MemoryKill | None
    program: tuple[ProgramFile, ...]
    metered: tuple[UnitAmount, ...] | None = None
    verified: Verified | None = None
    earned: Earned | None = None


def record_of(asked: Asked, ended: Ended) -> StageExecution:
    """Return the record of an attempt that has ended."""
    end, masker, verified = ended.report.end, asked.masker, ended.verified
    own_end = end.by_then if isinstance(end, Interrupted | BudgetEnded) else end
    of_earned = None
    if ended.earned is not None:
        from fsm_orchestrator.stages.earning import earned_record  # noqa: PLC0415 - rare

        of_earned = earned_record(asked, ended.verdict, ended.earned)
    result = _result_of(asked, ended, of_earned)
    ending, status = kind_of(result)
    problem = start_problem = exceeded = None
    if status is not StageStatus.SUCCESS:
        problem, start_problem, exceeded = _problem_of(asked, ended, result, of_earned)
    names = asked.record.stage, asked.record.attempt
    stdout_log, stderr_log = log_names(*names)
    return StageExecution(
        stage=asked.record.stage,
        attempt=asked.record.attempt,
        idempotency_key=asked.key,
        status=status,
        ending=ending,
        flaky=status is StageStatus.SUCCESS and asked.is_retry,
        reason=asked.record.reason,
        **gone_wrong(problem),
        start_problem=start_problem,
        command=masker.mask(asked.settings.command),
        args=masker.mask_all(asked.settings.args),
        env_keys=tuple(asked.settings.variables),
        cwd=masker.mask(asked.settings.cwd),
        program=() if isinstance(end, NotSpawned) else ended.program,
        limit_exceeded=exceeded,
        usage_held_by=_usage_held_by(asked, ended.report),
        confinement=None if ended.cage is None else ended.cage.record(ended.report.cage, masker),
        metering=_metering(ended),
        started_at=asked.record.started_at,
        artifacts_judged_ms=ended.judged_ms,
        duration_ms=ended.duration_ms,
        exit_code=own_end.code if isinstance(own_end, Exited) else None,
        signal=signal_name(own_end.signum) if isinstance(own_end, Signaled) else None,
        missing_artifacts=masked_paths(ended.verdict.missing, masker),
        malformed_artifacts=masked_paths(ended.verdict.malformed, masker),
        stale_artifacts=masked_paths(ended.verdict.stale, masker),
        artifacts=masked_artifacts(ended.verdict, masker),
        stdout_log=stdout_log,
        stderr_log=stderr_log,
        stderr_tail=ended.stderr_tail,
        postmortem=None if ended.black_box is None else postmortem_name(*names),
        no_postmortem=_postmortem_gap(ended),
        leaked_count=ended.report.leaked_count,
        leaked_processes=tuple(
            process.model_copy(
                update={"command": masker.mask(process.command)[:COMMAND_CHARACTERS_MAX]}
            )
            for process in ended.report.leaked
        ),
        resources=None if asked.clock.is_fixed else ended.report.resources,
        verifications=() if verified is None else verified.verifications,
        **_earned_fields(
            asked,
            ended,
            of_earned,  # verified work is kept: it may be verified again
            is_complete=status is StageStatus.SUCCESS or verified is not None,
        ),
    )


def _result_of(asked: Asked, ended: Ended, of_earned: EarnedRecord | None) -> StageResult:
    """Return what the end means, including all that is wrong with what the process left."""
    if ended.verified is not None and ended.verified.failure is not None:
        return ended.verified.failure
    return stage_result(
        ended.report.end,
        Failings(
            protected=of_earned.protected if of_earned else "",
            artifacts="" if ended.verdict.is_good else ended.verdict.summary(),
            contracts=of_earned.contracts if of_earned else "",
        ),
        ended.report.leaked_count if asked.on_leak is OnLeak.FAIL else 0,
        asked.exit_codes,
    )


def _metering(ended: Ended) -> Metering | None:
    """Return what was metered, and the part of the run's budget that ended the attempt."""
    end = ended.report.end
    is_out_of_time = isinstance(end, TimedOut) and end.limit is not TimeLimit.STAGE
    if ended.metered is None and not is_out_of_time:
        return None
    from fsm_orchestrator.model.budget import Metering, TimeStop  # noqa: PLC0415 - only with a budget

    stop: BudgetStop | None = end.stop if isinstance(end, BudgetEnded) else None
    if isinstance(end, TimedOut) and is_out_of_time:
        stop = TimeStop(kind="time", limit=end.limit, allowed_ms=end.allowed_ms)
    return Metering(metered=ended.metered or (), stopped_by=stop)


def _earned_fields(
    asked: Asked, ended: Ended, of_earned: EarnedRecord | None, *, is_complete: bool
) -> dict[str, Any]:
    """Return the fields of a stage that has more to earn than an exit code of 0."""
    if of_earned is None or ended.earned is None:
        return {}
    kept = None if asked.guard is None else asked.guard.protection
    told = {"is_compared": ended.earned.is_compared}
    return {
        "contract_violations": of_earned.violations,
        "protected_changes": of_earned.changes,
        "protection": None if kept is None else kept.model_copy(update=told),
        "inputs": ended.earned.inputs if is_complete else (),
    }


def _usage_held_by(asked: Asked, report: ProcessReport) -> HeldHow | None:
    """Return how the usage of the attempt was limited, or None if it was not."""
    limits = asked.limits
    if limits.memory_bytes_max is None and limits.processes_max is None:
        return None
    return HeldHow.CGROUP if report.is_in_cgroup else HeldHow.SAMPLED


def _postmortem_gap(ended: Ended) -> PostmortemGap | None:
    """Return why there is no black box, or None if there is one or none is due."""
    if ended.black_box is not None or not isinstance(ended.report.end, TimedOut | WentQuiet):
        return None
    by_keeper, by_itself = PostmortemGap.ENDED_BY_KEEPER, PostmortemGap.ENDED_BY_ITSELF
    return by_keeper if ended.report.was_unheard else by_itself


def _problem_of(
    asked: Asked, ended: Ended, result: StageResult, of_earned: EarnedRecord | None
) -> tuple[Problem | None, SpawnFailure | None, ExceededLimit | None]:
    """Return the problem, the failure to start and the limit exceeded, None where there is none.

    Wrong artifacts are a detail of the problem, unless they are its cause.
    """
    from fsm_orchestrator.model.ending_words import problem_of  # noqa: PLC0415 - rare
    from fsm_orchestrator.stages.problems import (  # noqa: PLC0415 - rare
        exceeded_limit,
        how_given,
        start_problem_of,
    )

    problem, mask = problem_of(result), asked.masker.mask
    if problem is None:
        return None, None, None
    start_problem = start_problem_of(ended.report.end, asked.settings.command)
    given = how_given(result, ended.verdict, asked.settings, asked.given_paths())
    details = [*problem.details, *given]
    if not ended.was_judged:
        what = "its expected artifacts were" if of_earned is None else "its work was"
        details = [f"its process had ended, and {what} still being judged"]
    if start_problem is not None and not isinstance(result, NotSpawned):
        details.append(start_problem.detail)
    if ended.memory_kill is not None:
        details.append(ended.memory_kill.value)
    if ended.black_box:
        details.append(f"at that time: {ended.black_box}")
    if not (ended.verdict.is_good or isinstance(result, ArtifactsWrong | ByExitCode)):
        details.append(f"its expected artifacts are wrong too: {ended.verdict.summary()}")
    if of_earned is not None:
        details += of_earned.too(result)
    told = Problem(cause=mask(problem.cause), details=tuple(map(mask, details)))
    exceeded = exceeded_limit(result, is_in_cgroup=ended.report.is_in_cgroup)
    return told, start_problem and start_problem.failure, exceeded
