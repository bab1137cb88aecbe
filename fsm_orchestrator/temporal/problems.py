"""The reason why an invocation could not be made, as its workflow reads it from an error."""

from __future__ import annotations

from temporalio import exceptions

from fsm_orchestrator.temporal.shapes import Failure, Problem


def problem_in(error: exceptions.ActivityError) -> Problem:
    """Return why an invocation could not be made, from the error of its activity."""
    cause = error.cause
    if isinstance(cause, exceptions.ApplicationError):
        for detail in cause.details[:1]:
            if isinstance(detail, dict):
                return Problem(
                    kind=str(detail.get("kind")),
                    message=str(detail.get("message")),
                    remedy=str(detail.get("remedy", "")),
                    exit_code=int(detail.get("exit_code", 1)),
                    latest_number=detail.get("latest_number"),
                )
        return Problem(kind=cause.type or Failure.INTERNAL.value, message=cause.message)
    if isinstance(cause, exceptions.TimeoutError):
        return Problem(
            kind=Failure.LOST.value,
            message="the workers that had it stopped responding, time after time",
            remedy="see the logs of the workers; then resume",
        )
    return Problem(kind=Failure.INTERNAL.value, message=str(cause or error))
