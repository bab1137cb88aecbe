"""The verifications of an attempt, as people read them."""

from __future__ import annotations

from collections.abc import Iterator

from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.verification import Verification
from fsm_orchestrator.text.hidden import shell_line
from fsm_orchestrator.text.units import span_words


def verification_words(verification: Verification) -> str:
    """Return the command of a verification and its result."""
    problem = verification.problem
    how = "exited with code 0" if problem is None else problem.sentence
    took = f", in {span_words(verification.duration_ms)}" if verification.duration_ms else ""
    return f"`{shell_line(verification.words)}` {how}{took}"


def verification_lines(execution: StageExecution) -> Iterator[str]:
    """Yield a line for each verification, after one that names the attempt verified again."""
    if execution.verified_attempt is not None:
        yield f"again, what attempt {execution.verified_attempt} did: the stage was not run"
    yield from map(verification_words, execution.verifications)
