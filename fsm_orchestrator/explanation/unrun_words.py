"""A run that is done in which not every stage ran, and nobody said that it may: in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.phrases import counted, first_of, listed

NAMED_MAX: Final = 5
ASKED_FOR: Final = "only if the run was meant to do without"


def unrun_sentences(report: Report) -> Iterator[str]:
    """Yield why such a run may not be closed; nothing of another."""
    if report.nothing_ran:
        yield "nothing was run: no stage had a binary, so the run may not be closed"
    elif report.unrun_stages:
        stages = report.unrun_stages
        named = listed(first_of(stages, NAMED_MAX))
        what, had = (
            ("stage", "was") if len(stages) == 1 else (counted(len(stages), "stage"), "were")
        )
        yield f"{what} {named} had no binary and {had} passed over, so the run may not be closed"


def unrun_remedies(report: Report) -> Iterator[str]:
    """Yield what to do about it."""
    if report.is_unearned:
        yield "start a new run with a binary for each stage; this one is then archived"
        yield f"or say that it may be closed so, {ASKED_FOR}: the next command does"


def accepting_words(report: Report) -> tuple[tuple[str, ...], dict[str, object]]:
    """Return the options that let such a run be closed as it is, and the settings they stand for."""
    if report.nothing_ran:
        return ("--allow-empty",), {"allow_empty": True}
    words = tuple(word for stage in report.unrun_stages for word in ("--skip-stage", stage))
    return words, {"skip_stages": report.unrun_stages}
