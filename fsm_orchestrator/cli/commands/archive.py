"""`archive list`: the archived runs of an output directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.archived_rows import archived_lines
from fsm_orchestrator.cli.formatting import command_line, shown_path
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.retention.archived import ArchivedRun, archived_runs
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import size_words
from fsm_orchestrator.vocabulary import ExitCode


def list_command(parameters: Mapping[str, Any]) -> int:
    """Print the archived runs; return 0, even if there are none."""
    typed = parameters["output_directory"]
    runs = archived_runs(output_directory_of(typed))
    out = console.stdout()
    if parameters["as_json"]:
        rows = [one.model_dump(mode="json") for one in runs]
        out.write(json_text({"output_directory": typed, "runs": rows}) + "\n")
        return ExitCode.DONE
    out.show(shown(_lines(typed, runs, prose_width(out))))
    return ExitCode.DONE


def _lines(typed: str, runs: Sequence[ArchivedRun], width: int) -> Iterator[Line]:
    if not runs:
        yield Line(f"no run is archived in {copyable(typed)}")
        return
    total = size_words(sum(one.size_bytes for one in runs))
    yield Line(f"{counted(len(runs), 'run')} archived in {copyable(typed)}, {total}")
    yield from archived_lines(((one, None) for one in runs), width)
    path, first = shown_path(typed), runs[0].name
    yield Line(f"  look     {command_line('explain', path, '--run-id', first)}", is_dim=True)
    yield Line(f"  restore  {command_line('restore', path, first)}", is_dim=True)
