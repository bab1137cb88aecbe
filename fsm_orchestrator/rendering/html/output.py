"""The ends of what stages printed, masked, or the fact that they are not quoted.

A page is shown to others, so it quotes a log only if every value that must not be shown is still
known: after a run is done its private values are gone, and those of an earlier invocation may have
been replaced. The page then shows what the report quotes, which was masked when it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fsm_orchestrator.constants import LOGS_DIRECTORY
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.inspection.quoting import Quoting
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.rendering.html.colors import Span, plain_of, spans_of
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import StageLog, logs_of
from fsm_orchestrator.stages.output_tail import TAIL_LINES, Tail, tail_of


@dataclass(frozen=True, slots=True)
class Output:
    """One stream of an attempt.

    Attributes:
        stream: `stderr` or `stdout`.
        said: a description of the part that is shown.
        path: its log below OUT; None if there is none.
        spans: the shown part; None if values that it may hold could not be masked.
        is_cut: True if there is more in the log.
    """

    stream: str
    said: str
    path: str | None
    spans: tuple[Span, ...] | None
    is_cut: bool = False


class Outputs:
    """The output of the stages of one run."""

    def __init__(self, view: InspectedRun) -> None:
        self._logs: Mapping[tuple[str, int, bool], StageLog] = {
            (log.stage, log.attempt, log.is_stderr): log for log in logs_of(view.directory)
        }
        self._quoting = Quoting(view)
        self._masker = self._quoting.masker

    def of(self, stage: str, attempt: int, invocation: int, kept_stderr: str) -> list[Output]:
        """Return the streams of an attempt, stderr first; `kept_stderr` is the report's quote."""
        may_quote = self._quoting.may_quote(invocation)
        parts = (
            self._part(name, self._logs.get((stage, attempt, is_stderr)), kept, may_quote=may_quote)
            for name, is_stderr, kept in (("stderr", True, kept_stderr), ("stdout", False, ""))
        )
        return [part for part in parts if part is not None]

    def of_verifications(self, execution: StageExecution) -> list[Output]:
        """Return the last output of the verifications of an attempt, as the report quotes it."""
        return [
            Output(
                f"{name} of verification {number}",
                f"The last lines of {name} of verification {number}, as the report quotes them",
                log,
                self._spans(text),
                is_cut=True,
            )
            for number, one in enumerate(execution.verifications, 1)
            for name, log, text in (
                ("stdout", one.stdout_log, one.stdout_tail),
                ("stderr", one.stderr_log, one.stderr_tail),
            )
            if text
        ]

    def _part(
        self, name: str, log: StageLog | None, kept: str, *, may_quote: bool
    ) -> Output | None:
        path = None if log is None else f"{LOGS_DIRECTORY}/{log.path.name}"
        if log is not None and may_quote:
            tail = tail_of(log, self._masker, errors="backslashreplace")
            if tail is not None and tail.size_bytes:
                text, is_cut = _shown(tail)
                shown = f"The end of {name}" if is_cut else f"All of {name}"
                said = f"{shown}, {tail.size_bytes:,} bytes in"
                return Output(name, said, path, self._spans(text), is_cut)
        if kept:
            said = f"The last lines of {name}, as the report quotes them"
            return Output(name, said, path, self._spans(kept), is_cut=True)
        if log is None or may_quote or not _size_bytes(log):
            return None
        return Output(name, "", path, None)

    def plain(self, text: str) -> str:
        """Return text that the report quotes, without its colors."""
        return plain_of(self._spans(text))

    def _spans(self, text: str) -> tuple[Span, ...]:
        return masked_spans(text, self._masker)


def masked_spans(text: str, masker: Masker) -> tuple[Span, ...]:
    """Return the spans of masked text; a value that only colors split is masked too."""
    spans = spans_of(text)
    plain = plain_of(spans)
    masked = masker.masked_end(plain)
    return spans if masked == plain else (Span(masked),)


def _shown(tail: Tail) -> tuple[str, bool]:
    """Return the last lines of a log, and whether the log has more."""
    lines = tail.text.removesuffix("\n").split("\n")
    is_one_line = len(lines) == 1
    whole = lines[1:] if tail.is_cut and not is_one_line else lines  # the first may be incomplete
    shown = "\n".join(line.removesuffix("\r") for line in whole[-TAIL_LINES:])
    mark = "\u2026" if tail.is_cut and is_one_line else ""
    return f"{mark}{shown}", tail.is_cut or len(lines) > TAIL_LINES


def _size_bytes(log: StageLog) -> int:
    try:
        return log.path.stat().st_size
    except OSError:
        return 0
