"""The readers of what a running attempt prints: the log, or a person who watches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from fsm_orchestrator.engine.context import RunContext
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.processes.observing import OutputReader
from fsm_orchestrator.record.event_log import RunLogger
from fsm_orchestrator.stages.output_files import log_names
from fsm_orchestrator.vocabulary import EventName, OutputStream

if TYPE_CHECKING:
    from fsm_orchestrator.stages.last_words import OnWords


def reader_of(
    context: RunContext,
    attempt: AttemptRecord,
    log: RunLogger,
    told: tuple[OnWords | None, Callable[[Callable[..., None]], Callable[..., None]]],
    outputs: tuple[int, int],
) -> OutputReader | None:
    """Return the reader that logs each line the attempt prints, or shows the last; or None.

    `told` is the callback of a person who watches, and the function that has the thread that keeps
    the record call another.
    """
    preparation, (on_words, asking) = context.preparation, told
    if not preparation.config.log_output:
        if on_words is None:
            return None
        from fsm_orchestrator.stages.last_words import LastWords  # noqa: PLC0415 - rare

        return LastWords(outputs, preparation.output_masker, partial(on_words, attempt.stage))
    from fsm_orchestrator.stages.output_lines import LINES_MAX, OutputLines  # noqa: PLC0415 - rare

    def log_line(stream: OutputStream, text: str, is_cut: bool) -> None:
        log.emit(EventName.STAGE_OUTPUT, stream=stream.value, text=text, is_cut=is_cut)

    def warn() -> None:
        files = " and ".join(log_names(attempt.stage, attempt.attempt))
        context.warn(
            f"stage {attempt.stage!r} printed more than {LINES_MAX} lines: the rest of attempt"
            f" {attempt.attempt} is only in {files}",
            stage=attempt.stage,
        )

    return OutputLines(outputs, preparation.output_masker, asking(log_line), asking(warn))
