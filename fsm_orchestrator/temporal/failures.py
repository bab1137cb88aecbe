"""Errors of a run for the engine: their type says whether to try again.

Their texts are masked, and their causes left out: the history would keep both.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from temporalio.exceptions import ApplicationError

from fsm_orchestrator.errors import (
    BusyError,
    CheckpointError,
    FencedError,
    InternalError,
    LeaseError,
    OperationError,
    OrchestratorError,
    UsageError,
)
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.temporal.shapes import Failure, Problem

_KINDS: Final = (
    (FencedError, Failure.FENCED),
    (LeaseError, Failure.OPERATION),  # a lack in this worker, not in the request
    (UsageError, Failure.USAGE),
    (CheckpointError, Failure.CHECKPOINT),
    (BusyError, Failure.BUSY),
    (OperationError, Failure.OPERATION),
    (InternalError, Failure.INTERNAL),
)
_AGAIN: Final = frozenset({Failure.BUSY, Failure.OPERATION, Failure.NEWER, Failure.STORAGE})
"""The failures that may not recur in a moment, or on another worker."""


def application_error(
    error: OrchestratorError, masker: Masker, latest_number: int | None = None
) -> ApplicationError:
    """Return an error of a run for the engine. The caller raises it `from None`."""
    kind = next((one for type_, one in _KINDS if isinstance(error, type_)), Failure.OTHER)
    said, remedy = masker.mask_all((str(error), error.remedy))
    return of_kind(
        Problem(
            kind=kind.value,
            message=said,
            remedy=remedy,
            exit_code=int(error.exit_code),
            latest_number=latest_number,
        )
    )


def of_kind(problem: Problem) -> ApplicationError:
    """Return a problem as an error for the engine."""
    is_final = problem.kind not in {one.value for one in _AGAIN}
    return ApplicationError(
        problem.message, asdict(problem), type=problem.kind, non_retryable=is_final
    )
