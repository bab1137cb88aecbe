"""`telemetry export`: sends the invocations of a run to OpenTelemetry, and reports the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import sentences
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import ReportError, UsageError
from fsm_orchestrator.inspection.inspected_run import InspectedRun, inspect_run
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.telemetry.delivery import Delivered, Due, cannot_send, deliver
from fsm_orchestrator.telemetry.endpoint import shown_endpoint
from fsm_orchestrator.telemetry.note import Note
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.phrases import counted, listed
from fsm_orchestrator.vocabulary import ExitCode


def export_command(parameters: Mapping[str, Any]) -> int:
    """Send what is due; return 0 if all of it was received."""
    typed = parameters["output_directory"]
    view = inspect_run(output_directory_of(typed), parameters["run_id"])
    why_not = cannot_send()
    if why_not is not None:
        raise UsageError("a run cannot be sent from here", remedy=why_not)
    try:
        made = deliver(view, Due(is_all=parameters["again"]))
    except OSError as error:
        raise ReportError(
            f"the events of the run in {copyable(run_of(view.directory))} cannot be read:"
            f" {files.reason(error)}",
            remedy="what is sent is made from them",
        ) from error
    out = console.stdout()
    if parameters["as_json"]:
        document = [one.model_dump(mode="json") for one in made.notes]
        out.write(json_text({"endpoint": shown_endpoint(), "invocations": document}))
    else:
        out.show(shown(_lines(view, made, prose_width(out))))
    return ExitCode.DONE if made.problem is None else ExitCode.FAILED


def _lines(view: InspectedRun, made: Delivered, width: int) -> Iterator[Line]:
    if made.notes:
        traces = listed(tuple(dict.fromkeys(one.trace_id for one in made.notes)))
        yield from map(Line, sentences(f"run {view.report.run_id}, trace {traces}", width))
    for note in made.notes:
        mark = Mark.GOOD if note.problem is None else Mark.BAD
        first, *rest = sentences(_words(note), width - 4, indent="", hanging="  ")
        yield Line(first, mark)
        yield from (Line(f"  {one}") for one in rest)
    if made.taken_before:
        numbers = listed([str(number) for number in made.taken_before])
        yield Line(f"taken before: invocation {numbers} (--again sends it once more)")
    if made.is_at_work:
        yield Line("at work: an invocation is sent once it has ended")
    if made.has_no_times:
        yield Line("left out: what was done with --fixed-clock has no times")
    if not (made.notes or made.taken_before or made.is_at_work or made.has_no_times):
        yield Line("nothing to send: the events contain no invocation")


def _words(note: Note) -> str:
    if note.problem is not None:
        return f"invocation {note.invocation} was not taken at {shown_endpoint()}: {note.problem}"
    taken = (
        counted(note.spans, "span"),
        counted(note.metrics, "metric"),
        counted(note.logs, "log record"),
    )
    return f"invocation {note.invocation}: {', '.join(taken)}"
