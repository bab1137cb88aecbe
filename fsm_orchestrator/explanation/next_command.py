"""The next command for a run in a list: what to type, without the reason."""

from __future__ import annotations

from pathlib import Path

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.disk.where import record_of
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.explanation.next_step import offer_of
from fsm_orchestrator.inspection.inspected_run import continuing, inspect_run
from fsm_orchestrator.vocabulary import Standing


def next_command(directory: Path, shown: str) -> tuple[str, ...]:
    """Return the next command for the run in a directory, or `explain` if nothing is offered.

    `shown` is the directory as commands name it. The run is tried as `plan` does, which takes some
    milliseconds: a screen asks only for the runs that it shows.
    """
    try:
        view = inspect_run(record_of(directory))
        if view.standing is Standing.SUSPENDED and view.holder is not None:
            return continuing(view.holder)
        words = offer_of(view, shown).words
    except OrchestratorError:
        words = None
    return words or explaining(shown)


def explaining(shown: str) -> tuple[str, ...]:
    """Return the command that explains a run."""
    return (PRODUCT, "explain", shown)
