"""`restore`: puts an archived run back into its output directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line, shown_path
from fsm_orchestrator.cli.screen import Line, shown
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.retention.restoring import Restored, restore
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import ExitCode


def restore_command(parameters: Mapping[str, Any]) -> int:
    """Put a run back; return 0 once it is there."""
    typed = parameters["output_directory"]
    done = restore(output_directory_of(typed), parameters["run_id"])
    out = console.stdout()
    if parameters["as_json"]:
        out.write(json_text({"output_directory": typed, **done._asdict()}) + "\n")
    else:
        out.show(shown(_lines(typed, done)))
    return ExitCode.DONE


def _lines(typed: str, done: Restored) -> Iterator[Line]:
    yield Line(f"restored: run {done.run_id} is in {copyable(typed)}", Mark.GOOD)
    if done.archived is not None:
        yield Line(f"  archived   run {done.archived}, which was there")
    if done.artifacts:
        yield Line(f"  moved      {counted(len(done.artifacts), 'artifact')}")
    if done.elsewhere:
        yield Line(f"  not moved  {counted(done.elsewhere, 'artifact')} outside of OUT")
    yield Line(f"  status     {command_line('status', shown_path(typed))}")
