"""The results of verifying work that was done: a verification failed, or was cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from fsm_orchestrator.model.problem import Problem


class VerificationFailed(NamedTuple):
    """The process exited with 0 and left good artifacts, but a verification of them failed.

    Attributes:
        command: the verification, safe to show.
        problem: the result of it.
        words: its last output, safe to show.
    """

    command: str
    problem: Problem
    words: tuple[str, ...] = ()


class VerificationCutShort(NamedTuple):
    """The run was asked to end, as by that signal, while the work was being verified.

    Or a stage that ran side by side with it did not succeed: `sibling`.
    """

    signum: int
    command: str
    sibling: str | None = None


VerificationResult: TypeAlias = VerificationFailed | VerificationCutShort
