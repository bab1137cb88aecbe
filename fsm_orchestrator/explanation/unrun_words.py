"""The sentences about a done run in which not every stage ran, though nobody allowed that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.phrases import counted, first_of, listed

NAMED_MAX: Final = 5
ASKED_FOR: Final = "only if the run was meant to do without"


def unrun_sentences(report: Report) -> Iterator[str]:
    """Yield why such a run may not be closed; nothing for any other run."""
    stages = report.unrun_stages
    named = listed(first_of(stages, NAMED_MAX))
    if report.nothing_ran:
        yield "nothing was run: no stage had a binary, so the run may not be closed"
    elif len(stages) == 1:
        yield f"stage {named} had no binary and was passed over, so the run may not be closed"
    elif stages:
        what = counted(len(stages), "stage")
        yield f"{what} had no binary and were passed over, so the run may not be closed: {named}"


def unrun_remedies(report: Report) -> Iterator[str]:
    """Yield the remedies for such a run."""
    if report.is_unearned:
        yield "start a new run with a binary for each stage; this one is then archived"
        yield f"or allow it to be closed like this, {ASKED_FOR}: the next command does"


def accepting_words(report: Report) -> tuple[str, ...]:
    """Return the options that let such a run be closed unchanged."""
    if report.nothing_ran:
        return ("--allow-empty",)
    return tuple(word for stage in report.unrun_stages for word in ("--skip-stage", stage))
