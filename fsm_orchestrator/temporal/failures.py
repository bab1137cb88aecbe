"""Errors of a run as the engine has them: with a type that tells whether to try again.

What is said of one is masked, and nothing of it is chained: causes and their texts would be kept in
the history.
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
    OperationError,
    OrchestratorError,
    UsageError,
)
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.temporal.shapes import Failure, Problem

_KINDS: Final = (
    (FencedError, Failure.FENCED),
    (UsageError, Failure.USAGE),
    (CheckpointError, Failure.CHECKPOINT),
    (BusyError, Failure.BUSY),
    (OperationError, Failure.OPERATION),
    (InternalError, Failure.INTERNAL),
)
_AGAIN: Final = frozenset({Failure.BUSY, Failure.OPERATION, Failure.NEWER, Failure.STORAGE})
"""What may be otherwise in a moment, or on another worker."""


def application_error(
    error: OrchestratorError, masker: Masker, latest_number: int | None = None
) -> ApplicationError:
    """Return an error of a run as the engine has it. To be raised `from None`."""
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
    """Return a problem as an error of the engine."""
    is_final = problem.kind not in {one.value for one in _AGAIN}
    return ApplicationError(
        problem.message, asdict(problem), type=problem.kind, non_retryable=is_final
    )
