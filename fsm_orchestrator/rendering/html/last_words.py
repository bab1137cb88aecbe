"""The last words of the stage at which a run stopped, for the top of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.explanation.explanation import StageFate
from fsm_orchestrator.rendering.html.colors import Span, plain_of
from fsm_orchestrator.rendering.html.output import Output
from fsm_orchestrator.rendering.html.stages import ShownStage

LINES_SHOWN_MAX: Final = 8
_STOPPED: Final = (StageFate.FAILED, StageFate.BLOCKED, StageFate.INTERRUPTED, StageFate.RUNNING)


@dataclass(frozen=True, slots=True)
class LastWords:
    """The end of one stream of the stage's last attempt."""

    stage: str
    stream: str
    spans: Sequence[Span]
    is_cut: bool


def last_words_of(stages: Sequence[ShownStage]) -> LastWords | None:
    """Return the last words, or None if there are none that may be shown."""
    for stage in reversed(stages):
        if stage.record.fate in _STOPPED and stage.attempts.shown:
            for output in stage.attempts.shown[-1].outputs:
                if output.spans and plain_of(output.spans).strip():
                    return _end_of(stage.record.stage, output, output.spans)
            return None
    return None


def _end_of(stage: str, output: Output, spans: Sequence[Span]) -> LastWords:
    """Return the spans of the last lines."""
    kept: list[Span] = []
    spare = LINES_SHOWN_MAX - 1
    for span in reversed(spans):
        lines = span.text.split("\n")
        if len(lines) - 1 > spare:
            text = "\n".join(lines[len(lines) - 1 - spare :])
            kept.append(Span(text, span.classes, span.style))
            break
        spare -= len(lines) - 1
        kept.append(span)
    kept.reverse()
    is_cut = output.is_cut or len(plain_of(kept)) < len(plain_of(spans))
    return LastWords(stage, output.stream, kept, is_cut)
