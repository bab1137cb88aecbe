"""`report`: the report as JSON, or as one page of HTML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import shown_path
from fsm_orchestrator.cli.screen import prose_width, shown
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.kinds import refuse_odd_place
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.inspection.inspected_run import (
    InspectedRun,
    inspect_run,
    output_directory_of,
)
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import ExitCode


def _told(view: InspectedRun) -> ExitCode:
    """Say what is wrong with the files of a run that is not at work; return the exit code."""
    if view.trouble is None or view.holder is not None:
        return ExitCode.DONE
    console.complain(view.trouble, "")
    return ExitCode.DONE if view.is_archived else ExitCode.FAILED


def report_command(parameters: Mapping[str, Any]) -> int:
    """Print or write the report; one that cannot be read or written is an error."""
    typed, run_id, page = (parameters[key] for key in ("output_directory", "run_id", "html"))
    if page is not None and parameters["as_json"]:
        raise UsageError("--json and --html exclude each other", remedy="give one of them")
    output = output_directory_of(typed)
    if page is None:
        view, out = inspect_run(output, run_id), console.stdout()
        if parameters["as_json"] or not out.is_terminal:
            out.write(view.report.to_json().decode())
        else:
            from fsm_orchestrator.cli.report_screen import lines_of

            earlier = () if run_id is None else ("--run-id", run_id)
            out.show(shown(lines_of(view, shown_path(typed), earlier, prose_width(out))))
        return _told(view)
    from fsm_orchestrator.rendering.html.page import page_of

    html = page_of(inspect_run(output, run_id), shown_path(typed))
    if page == "-":
        console.stdout().write(html)
        return ExitCode.DONE
    try:
        refuse_odd_place(absolute(page))
        files.replace_file(absolute(page), html.encode(), mode=0o600)
    except OSError as error:
        raise CommandError(
            f"cannot write {copyable(page)}: {files.reason(error)}",
            remedy="name a file in a directory that you may write to",
        ) from error
    size = os.stat(page).st_size
    out = console.stdout()
    out.write(f"wrote {copyable(page)}: {size} bytes, self-contained\n")
    if out.is_terminal:
        out.write(f"  open  {copyable(f'file://{quote(str(absolute(page)))}')}\n")
    return ExitCode.DONE
