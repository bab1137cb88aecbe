"""Whether the attempts, skips and completions of a checkpoint agree with each other.

The walk itself is history.py's. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from fsm_orchestrator.model.execution import StageExecution, cycle_in, idempotency_key
from fsm_orchestrator.record.checkpoint import Checkpoint, Completion
from fsm_orchestrator.vocabulary import Ending, StageStatus, StateKind


def attempt_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Every contradiction, in words with its field."""
    numbers: dict[str, int] = defaultdict(int)
    in_force: dict[str, int] = {}
    cycles = {stage: checkpoint.cycle_of(stage) for stage in checkpoint.lifecycle.stages}
    for position, invocation in enumerate(checkpoint.invocations):
        for stage in invocation.rerun:
            in_force.pop(stage, None)
        succeeded: dict[str, int] = {}
        for index, execution in enumerate(invocation.stage_executions):
            at = f"invocations[{position}].stage_executions[{index}]"
            if execution.attempt == 0:
                if not _is_own_work(execution):
                    yield f"{at}.attempt: attempts are counted from 1"
                continue
            yield from _execution_problems(checkpoint, execution, cycles, at)
            if execution.status is StageStatus.SKIPPED:
                if in_force.get(execution.stage) != execution.attempt:
                    yield f"{at}: skips {execution.stage!r}, which no earlier attempt completed"
                continue
            if execution.status is StageStatus.SUCCESS:
                succeeded[execution.stage] = execution.attempt
            numbers[execution.stage] += 1
            if execution.attempt != numbers[execution.stage]:
                yield f"{at}.attempt: is {execution.attempt}, not {numbers[execution.stage]}"
        ran = {one.stage for one in invocation.stage_executions}
        for stage in ran.intersection(invocation.passed_over):
            yield f"invocations[{position}].passed_over: {stage!r} was not passed over"
        in_force |= succeeded
    yield from _open_attempt_problems(checkpoint, numbers)
    yield from _passing_over_problems(checkpoint)
    yield from _completion_problems(checkpoint)
    unknown = set(checkpoint.stages) - set(checkpoint.lifecycle.stages)
    if unknown:
        yield f"stages: the lifecycle has no stage {min(unknown)!r}"


def _execution_problems(
    checkpoint: Checkpoint, execution: StageExecution, cycles: Mapping[str, int], at: str
) -> Iterator[str]:
    known = execution.stage in checkpoint.lifecycle.stages
    if not known:
        yield f"{at}.stage: the lifecycle has no stage {execution.stage!r}"
    elif execution.stage not in checkpoint.stages:
        yield f"stages: the settings of {execution.stage!r}, which has run, are missing"
    cycle = cycle_in(execution)
    if execution.idempotency_key != idempotency_key(checkpoint.run_id, execution.stage, cycle):
        yield f"{at}.idempotency_key: is of another run or stage"
    elif not 1 <= cycle <= cycles.get(execution.stage, 1):
        yield f"{at}.idempotency_key: is of a loop cycle that there was not"
    if (execution.error is None) is not execution.status.is_good:
        yield f"{at}.error: does not fit the status {execution.status.value}"
    wrong = (
        *execution.missing_artifacts,
        *execution.malformed_artifacts,
        *execution.stale_artifacts,
    )
    ended_well = execution.exit_code == 0 and execution.signal is None and not wrong
    if execution.status is StageStatus.SUCCESS and not ended_well:
        yield f"{at}: is called a success, but exited otherwise or left wrong artifacts"
    if execution.flaky and execution.status is not StageStatus.SUCCESS:
        yield f"{at}.flaky: only a success can be"
    rework = checkpoint.lifecycle.states[execution.stage].rework_exit_code if known else None
    asks = execution.ending is Ending.REWORK_REQUESTED
    if asks and (rework is None or execution.exit_code != rework):
        yield f"{at}.ending: the stage does not ask for rework by this exit code"
    has_leaked = execution.ending is Ending.LEAKED
    if execution.status is StageStatus.FAILED and execution.exit_code == 0 and not has_leaked:
        yield f"{at}.exit_code: is 0, and a failure does not exit so"


def _is_own_work(execution: StageExecution) -> bool:
    """Whether the record is of something that the program itself could not do."""
    return (
        execution.operation is not None
        and execution.status in {StageStatus.FAILED, StageStatus.ARTIFACT_MISSING}
        and execution.error is not None
    )


def _passing_over_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """The invocation that the settings are of passes over no stage that has a binary in them."""
    last = next((one for one in reversed(checkpoint.invocations) if one.transitions), None)
    for stage in () if last is None else last.passed_over:
        if stage in checkpoint.stages:
            yield f"passed_over: {stage!r} has a binary, and such a stage is not passed over"


def _open_attempt_problems(checkpoint: Checkpoint, numbers: dict[str, int]) -> Iterator[str]:
    attempt = checkpoint.open_attempt
    if attempt is None:
        return
    state = checkpoint.lifecycle.states[checkpoint.current_state]
    if state.kind is not StateKind.STAGE or state.name != attempt.stage:
        yield f"open_attempt: the run is in {state.name!r}"
    if attempt.cycle != checkpoint.cycle_of(attempt.stage):
        yield f"open_attempt.cycle: is {attempt.cycle}, but the stage is in another"
    if attempt.attempt != numbers[attempt.stage] + 1:
        yield f"open_attempt.attempt: is {attempt.attempt}, not {numbers[attempt.stage] + 1}"
    if checkpoint.completion_of(attempt.stage) is not None:
        yield f"open_attempt: {attempt.stage!r} is complete"
    if attempt.stage not in checkpoint.stages:
        yield f"stages: the settings of {attempt.stage!r}, which was running, are missing"


def _completion_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """The completions are exactly the last successes that no rerun has set aside."""
    successes = _successes_in_force(checkpoint)
    told = [(one.stage, one.attempt, one.invocation) for one in checkpoint.completions]
    for index, completion in enumerate(checkpoint.completions):
        at = f"completions[{index}]"
        number, execution = successes.get(completion.stage, (0, None))
        if execution is None or told[index] != (execution.stage, execution.attempt, number):
            yield f"{at}: no recorded attempt succeeded so"
        elif not _is_told_alike(checkpoint.run_id, execution, completion):
            yield f"{at}: is not what the attempt that succeeded was"
    missing = set(successes) - {completion.stage for completion in checkpoint.completions}
    if missing:
        yield f"completions: {min(missing)!r} succeeded, and is not among them"
    if len(told) != len({stage for stage, _, _ in told}):
        yield "completions: a stage is there twice"


def _successes_in_force(checkpoint: Checkpoint) -> dict[str, tuple[int, StageExecution]]:
    """By stage: the invocation and the execution of its last success, unless set aside since."""
    found: dict[str, tuple[int, StageExecution]] = {}
    for invocation in checkpoint.invocations:
        for stage in invocation.rerun:
            found.pop(stage, None)
        for execution in invocation.stage_executions:
            if execution.status is StageStatus.SUCCESS and execution.attempt > 0:
                found[execution.stage] = (invocation.number, execution)
    return {
        stage: (number, execution)
        for stage, (number, execution) in found.items()
        if cycle_in(execution) == checkpoint.cycle_of(stage)
    }


def _is_told_alike(run_id: str, execution: StageExecution, completion: Completion) -> bool:
    settings = completion.settings
    return (
        (execution.command, execution.args, execution.cwd)
        == (settings.command, settings.args, settings.cwd)
        and set(execution.env_keys) == set(settings.env_digests)
        and execution.artifacts == completion.artifacts
        and tuple(one.path for one in execution.artifacts) == settings.expected_artifacts
        and execution.idempotency_key == idempotency_key(run_id, completion.stage, completion.cycle)
    )
