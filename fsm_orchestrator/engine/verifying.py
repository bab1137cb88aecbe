"""Records and logs the verifications of an attempt while they run."""

from __future__ import annotations

from functools import partial

from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.engine.hands import Ask
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.model.verification import Verification
from fsm_orchestrator.record.event_log import RunLogger
from fsm_orchestrator.record.reverifiable import unverified
from fsm_orchestrator.text.units import exact_span
from fsm_orchestrator.vocabulary import EventName


def work_to_verify(context: RunContext, stage: str) -> StageExecution | None:
    """Return the work to verify again instead of running a stage, or None to run it."""
    draft = context.recorder.draft
    is_asked = context.preparation.config.reverify
    if not is_asked or any(one.is_attempt_of(stage) for one in draft.invocation.stage_executions):
        return None
    return unverified(draft, stage)


class LoggedVerifying:
    """A log of verifications that also keeps what they verify, in case it is verified again."""

    def __init__(
        self, context: RunContext, stage: str, log: RunLogger, count: int, ask: Ask
    ) -> None:
        """Log nothing yet; `ask` has the thread that keeps the record call a function."""
        self._context, self._stage, self._log, self._count = context, stage, log, count
        self._ask = ask

    def begins(
        self, work: StageExecution, number: int, words: tuple[str, ...], limits: Limits
    ) -> None:
        """Put the work into the checkpoint, and log that a verification is about to start."""
        self._ask(partial(self._begins, work, number, words, limits))

    def _begins(
        self, work: StageExecution, number: int, words: tuple[str, ...], limits: Limits
    ) -> None:
        recorder = self._context.recorder
        attempt = recorder.draft.open_attempt_of(self._stage)
        if attempt is not None:
            begun = attempt.model_copy(update={"work": work})
            recorder.draft = recorder.draft.attempt_begun(begun)
            recorder.refresh()
        self._log.emit(
            EventName.VERIFICATION_STARTED,
            verification=number,
            of_verifications=self._count,
            command=words[0],
            args=list(words[1:]),
            timeout_ms=limits.timeout_ms,
            kill_grace_ms=limits.kill_grace_ms,
        )
        self._context.check_events()

    def ends(self, number: int, verification: Verification) -> None:
        """Log that a verification has ended."""
        self._ask(
            partial(
                self._log.emit,
                EventName.VERIFICATION_ENDED,
                level="info" if verification.is_good else "error",
                verification=number,
                record=verification,
            )
        )

    def slow(self, number: int, elapsed_ms: int, stdout_tail: str, stderr_tail: str) -> None:
        """Log and warn that a verification has run for another `slow_after_ms`."""
        self._ask(partial(self._slow, number, elapsed_ms, stdout_tail, stderr_tail))

    def _slow(self, number: int, elapsed_ms: int, stdout_tail: str, stderr_tail: str) -> None:
        self._log.emit(
            EventName.STAGE_SLOW,
            level="warning",
            elapsed_ms=0 if self._context.clock.is_fixed else elapsed_ms,
            stdout_tail=stdout_tail,
            stderr_tail=stderr_tail,
        )
        limit = exact_span(self._context.preparation.limits_of(self._stage).slow_after_ms or 0)
        self._context.warn(
            f"verification {number} of stage {self._stage!r} is slow: it ran for more than {limit}",
            stage=self._stage,
        )
