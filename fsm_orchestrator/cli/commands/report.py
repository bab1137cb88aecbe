"""`report`: the report as JSON, or as one page of HTML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import shown_path
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.kinds import refuse_odd_place
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.inspection.inspected_run import (
    InspectedRun,
    inspect_run,
    output_directory_of,
)
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
    output = output_directory_of(typed)
    if page is None:
        view = inspect_run(output, run_id)
        console.stdout().write(view.report.to_json().decode())
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
            f"cannot write {page}: {files.reason(error)}",
            remedy="name a file in a directory that you may write to",
        ) from error
    size = os.stat(page).st_size
    console.stdout().write(f"wrote {page}: {size} bytes, self-contained\n")
    return ExitCode.DONE
