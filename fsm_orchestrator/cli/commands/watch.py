"""`watch`: shows many runs, live; those that need a person come first."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli.commands.status_of_many import selection_of
from fsm_orchestrator.cli.formatting import shown_path
from fsm_orchestrator.cli.run_frames import NeedFrame
from fsm_orchestrator.cli.run_list import Asked
from fsm_orchestrator.cli.watching import places_of, watch
from fsm_orchestrator.explanation.next_command import next_command
from fsm_orchestrator.inspection.many_runs import ManyRuns
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.run_directories import output_directory_of


def watch_command(parameters: Mapping[str, Any]) -> int:
    """Show the runs until Ctrl-C."""
    typed = parameters["directories"] or (os.curdir,)
    outputs = [output_directory_of(one) for one in typed]
    many = ManyRuns(places_of(typed, outputs))
    asked = Asked(selection_of(parameters), parent=typed[0] if len(typed) == 1 else None)
    frame = NeedFrame(asked, lambda run: _next_words(many, run))
    return watch(many, frame, asked.selection, is_plain=parameters["plain"])


def _next_words(many: ManyRuns, run: RunOverview) -> tuple[str, ...]:
    shown = run.output_directory
    return next_command(many.path_of(shown), shown_path(shown))
