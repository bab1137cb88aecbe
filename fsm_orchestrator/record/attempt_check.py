"""Finds what is wrong with the attempts, skips and completions of a record as it is replayed.

history_check.py checks the walk itself. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.open_attempt import AttemptRecord, cycle_in, idempotency_key
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.record.replay import Replay
from fsm_orchestrator.vocabulary import Ending, Outcome, StageStatus

_OF_OWN_WORK: Final = {StageStatus.FAILED, StageStatus.TIMEOUT, StageStatus.ARTIFACT_MISSING}
"""The statuses of work that the program itself could not do, or had no time for."""

_FAILED_WITH_ZERO: Final = frozenset(
    {
        *(Ending.LEAKED, Ending.PROTECTED_CHANGED, Ending.CONTRACT_VIOLATED),
        *(Ending.VERIFICATION_FAILED, Ending.BUDGET_EXHAUSTED),
    }
)
"""The endings of failures whose process may have exited with 0."""


def stage_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Find settings of unknown stages, and stages that have settings and were passed over."""
    unknown = set(checkpoint.stages) - set(checkpoint.lifecycle.stages)
    if unknown:
        yield f"stages: the lifecycle has no stage {min(unknown)!r}"
    # The settings are those of the last invocation that took a transition.
    last = next((one for one in reversed(checkpoint.invocations) if one.transitions), None)
    for stage in () if last is None else last.passed_over:
        if stage in checkpoint.stages:
            yield f"passed_over: {stage!r} has a binary, and such a stage is not passed over"


def execution_problems(replay: Replay, execution: StageExecution, at: str) -> Iterator[str]:
    """Find contradictions in an execution, by itself and at the place where it is recorded."""
    stage, attempt = execution.stage, execution.attempt
    if attempt == 0:
        if not _is_own_work(execution):
            yield f"{at}.attempt: attempts are counted from 1"
        return
    if stage not in replay.draft.lifecycle.stages:
        yield f"{at}.stage: the lifecycle has no stage {stage!r}"
    if stage not in replay.configured:
        yield f"stages: the settings of {stage!r}, which has run, are missing"
    yield from _place_problems(replay, execution, at)
    yield from _status_problems(execution, at)
    yield from _ending_problems(replay.draft, execution, at)
    if execution.status is StageStatus.SKIPPED:
        completion = replay.skippable(stage)
        if completion is None or completion.attempt != attempt:
            yield f"{at}: skips {stage!r}, which no earlier attempt completed"
    elif attempt != replay.attempts[stage] + 1:
        yield f"{at}.attempt: is {attempt}, not {replay.attempts[stage] + 1}"


def _place_problems(replay: Replay, execution: StageExecution, at: str) -> Iterator[str]:
    """Find an execution of another run or loop cycle, or in a state that is not its stage's."""
    stage, cycle = execution.stage, replay.cycle_of(execution.stage)
    done = replay.skippable(stage) if execution.status is StageStatus.SKIPPED else None
    number = replay.draft.invocation.number if done is None else done.invocation
    run_id = replay.draft.run_id_in(number)  # a skip has the run id of its completion
    if execution.idempotency_key != idempotency_key(run_id, stage, cycle_in(execution)):
        yield f"{at}.idempotency_key: is of another run or stage"
    if cycle_in(execution) != cycle:
        yield f"{at}.idempotency_key: is of loop cycle {cycle_in(execution)}, not {cycle}"
    state = replay.draft.lifecycle.states[replay.draft.current_state]
    is_visit = execution.status is StageStatus.SKIPPED and state.outcome is Outcome.DONE
    is_here = stage in replay.draft.lifecycle.stages_in(state.name)
    if not (is_here or is_visit or _runs_at_end(replay.draft, stage)):
        yield f"{at}.stage: is {stage!r}, but the run was in {state.name!r}"


def _runs_at_end(draft: Checkpoint, stage: str) -> bool:
    """Return whether a stage is the one that always runs, in a run that has ended."""
    return stage == draft.lifecycle.finally_stage and draft.outcome is not None


def _status_problems(execution: StageExecution, at: str) -> Iterator[str]:
    status = execution.status
    if (execution.error is None) is not status.is_good:
        yield f"{at}.error: does not fit the status {status.value}"
    if (execution.problem is None) is not status.is_good:
        yield f"{at}.problem: does not fit the status {status.value}"
    wrong = (
        *execution.missing_artifacts,
        *execution.malformed_artifacts,
        *execution.stale_artifacts,
    )
    wrong += tuple(one.path for one in execution.contract_violations)
    wrong += tuple(one.path for one in execution.protected_changes)
    ended_well = execution.exit_code == 0 and execution.signal is None and not wrong
    if status is StageStatus.SUCCESS and not ended_well:
        yield f"{at}: is called a success, but exited otherwise or left wrong artifacts"
    if execution.verifications or execution.ending is Ending.VERIFICATION_FAILED:
        yield from _verification_problems(execution, at)
    if execution.flaky and status is not StageStatus.SUCCESS:
        yield f"{at}.flaky: only a success can be"


def _verification_problems(execution: StageExecution, at: str) -> Iterator[str]:
    failed, ending = execution.failed_verification, execution.ending
    fits = {
        StageStatus.SUCCESS: failed is None,
        StageStatus.FAILED: ending is Ending.PROTECTED_CHANGED
        or (failed is not None and ending is Ending.VERIFICATION_FAILED),
        StageStatus.INTERRUPTED: True,
    }
    if not fits.get(execution.status):
        yield f"{at}.verifications: do not fit the status {execution.status.value}"
    if failed is not None and failed != execution.verifications[-1]:
        yield f"{at}.verifications: continue after one that failed"


def _ending_problems(draft: Checkpoint, execution: StageExecution, at: str) -> Iterator[str]:
    said = ExitMeaning.of(execution.ending)
    meanings = draft.lifecycle.states[execution.stage].meanings
    if said is not None and meanings.get(execution.exit_code or 0) is not said:
        yield f"{at}.ending: the stage does not say {said.value} by this exit code"
    is_alone = execution.stage not in draft.lifecycle.group_of
    if is_alone and execution.ending is Ending.SIBLING_FAILED:
        yield f"{at}.ending: no stage runs side by side with {execution.stage!r}"
    for ending, found in (
        (Ending.CONTRACT_VIOLATED, execution.contract_violations),
        (Ending.PROTECTED_CHANGED, execution.protected_changes),
    ):
        if execution.ending is ending and not found:
            yield f"{at}.ending: is {ending.value}, and nothing is named that is wrong"
    is_told = execution.ending in _FAILED_WITH_ZERO
    if execution.status is StageStatus.FAILED and execution.exit_code == 0 and not is_told:
        yield f"{at}.exit_code: is 0, and this failure cannot have that"


def _is_own_work(execution: StageExecution) -> bool:
    """Return whether an execution records something that the program itself could not do."""
    return (
        execution.operation is not None
        and execution.status in _OF_OWN_WORK
        and execution.error is not None
    )


def open_attempt_problems(replay: Replay, attempts: Sequence[AttemptRecord]) -> Iterator[str]:
    """Find contradictions in the attempts that are open at the end of the record."""
    stages = [one.stage for one in attempts]
    if len(stages) != len(set(stages)):
        yield "open_attempts: a stage is there twice"
    for index, attempt in enumerate(attempts):
        yield from _open_attempt_problems(replay, attempt, f"open_attempts[{index}]")


def _open_attempt_problems(replay: Replay, attempt: AttemptRecord, at: str) -> Iterator[str]:
    stage, draft = attempt.stage, replay.draft
    is_here = stage in draft.lifecycle.stages_in(draft.current_state)
    if not (is_here or _runs_at_end(draft, stage)):
        yield f"{at}: the run is in {draft.current_state!r}"
    if attempt.cycle != replay.cycle_of(stage):
        yield f"{at}.cycle: is {attempt.cycle}, but the stage is in another"
    if attempt.attempt != replay.attempts[stage] + 1:
        yield f"{at}.attempt: is {attempt.attempt}, not {replay.attempts[stage] + 1}"
    if draft.completion_of(stage) is not None:
        yield f"{at}: {stage!r} is complete"
    if stage not in replay.configured:
        yield f"stages: the settings of {stage!r}, which was running, are missing"


def completion_problems(replay: Replay, claimed: Sequence[Completion]) -> Iterator[str]:
    """Find completions that the record has and its replay does not, or the reverse."""
    for index, completion in enumerate(claimed):
        at = f"completions[{index}]"
        made = replay.draft.completion_of(completion.stage)
        if made is None or made.attempt != completion.attempt:
            yield f"{at}: no recorded attempt succeeded like that"
        elif made != completion or not ran_with(replay.successes[made.stage], made.settings):
            yield f"{at}: is not what the attempt that succeeded was"
    stages = [completion.stage for completion in claimed]
    missing = {completion.stage for completion in replay.draft.completions}.difference(stages)
    if missing:
        yield f"completions: {min(missing)!r} succeeded, and is not among them"
    if len(stages) != len(set(stages)):
        yield "completions: a stage is there twice"


def ran_with(execution: StageExecution, settings: StageRecord) -> bool:
    """Return whether an attempt had these settings."""
    return (
        (execution.command, execution.args, execution.cwd)
        == (settings.command, settings.args, settings.cwd)
        and set(execution.env_keys) == set(settings.variable_names)
        and tuple(one.path for one in execution.artifacts) == settings.artifact_paths
        and tuple(one.words for one in execution.verifications) == settings.verify
        and _earned(execution, settings)
    )


def _earned(execution: StageExecution, settings: StageRecord) -> bool:
    """Return whether a success is recorded with the protection and inputs that its stage has."""
    protection, paths = execution.protection, {one.path for one in execution.inputs}
    is_protected = protection is not None and protection.is_compared
    has_inputs = paths.issuperset(settings.inputs) and len(paths) <= len(settings.inputs) + 1
    return is_protected is bool(settings.protect) and (
        has_inputs if settings.inputs or settings.input_program else not paths
    )
