"""What a verification can make of work that was done: it failed, or there was no time for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, assert_never

from fsm_orchestrator.vocabulary import Ending, StageStatus

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


def kind_of_verified(result: VerificationResult) -> tuple[Ending, StageStatus]:
    """Return the kind of a result as a record names it, and the status that it is reported as."""
    match result:
        case VerificationFailed():
            return Ending.VERIFICATION_FAILED, StageStatus.FAILED
        case VerificationCutShort(sibling=sibling):
            ending = Ending.INTERRUPTED if sibling is None else Ending.SIBLING_FAILED
            return ending, StageStatus.INTERRUPTED
        case _:
            assert_never(result)
