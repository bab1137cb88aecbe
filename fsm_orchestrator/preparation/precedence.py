"""The one order of precedence: which value of a stage's limits and retries counts, and its source.

A stage's own setting comes first, then the run's, the lifecycle's and the default; of a task queue
the lifecycle's before the run's.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.limits import DEFAULT_LIMITS, LIMIT_FIELDS, GivenLimits, Limits
from fsm_orchestrator.model.retry_policy import DEFAULT_RETRY, NO_RETRY, RetryPolicy
from fsm_orchestrator.record.checkpoint import Checkpoint


class Level(StrEnum):
    """The source of a value; the one that counts first comes first."""

    STAGE = "stage"
    RUN = "run"
    LIFECYCLE = "lifecycle"
    DEFAULT = "default"


class Resolved(NamedTuple):
    """A value that counts, and its source; None if nobody gave one."""

    value: Any
    level: Level


def resolved_limits(
    checkpoint: Checkpoint, stage: str, settings: StageSettings
) -> dict[str, Resolved]:
    """Return each limit of a stage with its source."""
    of_run = GivenLimits(timeout_ms=checkpoint.timeout_ms, kill_grace_ms=checkpoint.kill_grace_ms)
    return _resolved(
        LIMIT_FIELDS,
        (Level.STAGE, settings.limits),
        (Level.RUN, of_run),
        (Level.LIFECYCLE, checkpoint.lifecycle.states[stage].limits),
        (Level.DEFAULT, DEFAULT_LIMITS),
    )


def limits_in_force(checkpoint: Checkpoint, stage: str, settings: StageSettings) -> Limits:
    """Return the limits of a stage."""
    found = resolved_limits(checkpoint, stage, settings)
    return Limits(*(one.value for one in found.values()))


def resolved_retry(
    checkpoint: Checkpoint, stage: str, settings: StageSettings
) -> dict[str, Resolved]:
    """Return each key of a stage's retry policy with its source."""
    return _resolved(
        RetryPolicy.model_fields,
        (Level.STAGE, settings.retry),
        (Level.LIFECYCLE, checkpoint.lifecycle.states[stage].retry),
        (Level.DEFAULT, DEFAULT_RETRY),
    )


def retry_in_force(checkpoint: Checkpoint, stage: str, settings: StageSettings) -> RetryPolicy:
    """Return the retry policy of a stage."""
    of_lifecycle = checkpoint.lifecycle.states[stage].retry
    if settings.retry == NO_RETRY and (of_lifecycle is None or of_lifecycle == NO_RETRY):
        return DEFAULT_RETRY
    found = resolved_retry(checkpoint, stage, settings)
    return RetryPolicy(**{key: one.value for key, one in found.items()})


def resolved_queue(
    lifecycle: Lifecycle, of_run: str | None, stage: str, settings: StageSettings
) -> Resolved:
    """Return the task queue that a stage needs with its source; None if any will do.

    Unlike a limit, the lifecycle's comes before the run's: it is about this stage, the run's only
    about the others.
    """
    for value, level in (
        (settings.task_queue, Level.STAGE),
        (lifecycle.states[stage].task_queue, Level.LIFECYCLE),
        (of_run, Level.RUN),
    ):
        if value is not None:
            return Resolved(value, level)
    return Resolved(None, Level.DEFAULT)


_Said: TypeAlias = tuple[Level, GivenLimits | RetryPolicy | None]


def _resolved(fields: Iterable[str], *levels: _Said) -> dict[str, Resolved]:
    return {
        field: next(
            (
                Resolved(value, level)
                for level, said in levels
                if (value := getattr(said, field, None)) is not None
            ),
            Resolved(None, Level.DEFAULT),
        )
        for field in fields
    }
