"""What a verification can make of work that was done: it failed, or there was no time for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from fsm_orchestrator.model.problem import Problem


class VerificationFailed(NamedTuple):
    """The process exited with 0 and left good artifacts, and a verification of them failed.

    Attributes:
        command: the verification, as it may be shown.
        problem: what became of it.
        words: what it printed last, as it may be shown.
    """

    command: str
    problem: Problem
    words: tuple[str, ...] = ()


class VerificationCutShort(NamedTuple):
    """The run was asked to end, as by that signal, while the work was verified.

    Or a stage did not succeed that ran beside it: `sibling`.
    """

    signum: int
    command: str
    sibling: str | None = None


VerificationResult: TypeAlias = VerificationFailed | VerificationCutShort
