"""The parts of a run that a collector has not received, on screens. Loaded if some were sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.cli.formatting import command_line
from fsm_orchestrator.telemetry.note import read_notes
from fsm_orchestrator.text.hidden import printable

if TYPE_CHECKING:
    from fsm_orchestrator.inspection.inspected_run import InspectedRun


PROBLEM_CHARACTERS_MAX: Final = 300
"""The maximum characters of a problem: a stage may have written it."""


def untaken_sentences(view: InspectedRun, typed: str) -> Sequence[str]:
    """Return what was not received, and the command that sends it; empty if there is none."""
    untaken = read_notes(view.directory, view.report.run_id).untaken
    if not untaken:
        return ()
    earlier = ("--run-id", view.report.run_id) if view.is_archived else ()
    command = command_line("telemetry", "export", typed, *earlier)
    last = untaken[-1]
    more = f" (nor {len(untaken) - 1} before it)" if len(untaken) > 1 else ""
    problem = printable((last.problem or "")[:PROBLEM_CHARACTERS_MAX])
    what = f"invocation {last.invocation}{more} was not taken"
    return (f"telemetry: {what}: {problem}; send it: {command}",)
