"""Additions to the problem of an attempt: why its program failed, how its paths were given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.model.confinement import ExceededLimit
from fsm_orchestrator.model.endings import (
    ArtifactsWrong,
    Exited,
    LimitExceeded,
    NotSpawned,
    ProcessEnd,
    SpawnFailure,
    StageResult,
)
from fsm_orchestrator.model.promises import HeldHow, StageLimit
from fsm_orchestrator.stages.artifacts import ArtifactsVerdict
from fsm_orchestrator.vocabulary import Operation

NAMED_MAX: Final = 3


def start_problem_of(end: ProcessEnd, command: str) -> NotSpawned | None:
    """Return what kept the program from being run as it should, where known."""
    if isinstance(end, NotSpawned):
        return end
    if not isinstance(end, Exited) or end.code == 0 or os.sep not in command:
        return None
    from fsm_orchestrator.processes.executable_file import first_line_problem  # noqa: PLC0415 - rare

    return first_line_problem(command)


def how_given(
    result: StageResult,
    verdict: ArtifactsVerdict,
    settings: StageSettings,
    given: Mapping[str, str],
) -> list[str]:
    """Return how the paths were given at which nothing was found.

    `given` has that for each path that was given now, and relative to something.
    """
    match result:
        case NotSpawned(failure=SpawnFailure.BAD_DIRECTORY):
            paths = [settings.cwd]
        case NotSpawned(failure=SpawnFailure.NOT_FOUND | SpawnFailure.IS_DIRECTORY):
            paths = [settings.command]
        case ArtifactsWrong():
            paths = [one.path for one in verdict.missing]
        case _:
            return []
    said = dict.fromkeys(given[path] for path in paths if path in given)
    return list(said)[:NAMED_MAX]


def not_ended(stage: str, pids: tuple[int, ...]) -> OperationError:
    """Return the error for processes of a stage that could not be ended."""
    from fsm_orchestrator.processes.survivors import survivors_text  # noqa: PLC0415 - rare

    return OperationError(
        Operation.ATTEMPT_END,
        f"cannot end {survivors_text(pids)} of stage {stage!r}",
        remedy="end these processes by hand, then resume: the stage is not started while any of"
        " them is alive",
    )


def exceeded_limit(result: StageResult, *, is_in_cgroup: bool) -> ExceededLimit | None:
    """Return the record of a limit that was exceeded, or None for other results."""
    if not isinstance(result, LimitExceeded):
        return None
    held_by = HeldHow.RLIMIT if result.limit is StageLimit.FILE else HeldHow.SAMPLED
    if result.limit is StageLimit.MEMORY and is_in_cgroup:
        held_by = HeldHow.CGROUP
    return ExceededLimit(
        limit=result.limit, allowed=result.allowed, used=result.used, held_by=held_by
    )
