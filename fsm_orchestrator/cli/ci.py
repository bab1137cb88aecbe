"""Reports a run that has ended to a CI system, in addition to its summary: `--ci`.

Writes to stderr, which a runner reads too, so that stdout holds nothing but the result. A failure
to report is a warning, never an outcome.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.inspection.inspected_run import inspect_run

SUMMARY: Final = "GITHUB_STEP_SUMMARY"
WORKSPACE: Final = "GITHUB_WORKSPACE"
SUMMARY_BYTES_MAX: Final = 900_000
"""The size limit of a step's summary: GitHub shows nothing of one larger than a mebibyte."""


def tell_of_run(output: Path, typed: str) -> None:
    """Report the run in an output directory: its summary, its output in groups, annotations."""
    if not console.is_on_github() and not os.environ.get(SUMMARY):
        return
    try:
        view = inspect_run(output)
    except OrchestratorError as error:
        tell_of_refusal(error)
        return
    from fsm_orchestrator.rendering.ci.github import annotations_of, groups_of
    from fsm_orchestrator.rendering.ci.markdown import markdown_of

    if console.is_on_github():
        workspace = os.environ.get(WORKSPACE)
        lines = [*groups_of(view), *annotations_of(view, Path(workspace) if workspace else None)]
        console.stderr().write("".join(f"{line}\n" for line in lines))
    if os.environ.get(SUMMARY):
        _add_to_summary(Path(os.environ[SUMMARY]), markdown_of(view, typed))


def tell_of_refusal(error: OrchestratorError) -> None:
    """Report why there is no run."""
    if console.is_on_github():
        from fsm_orchestrator.rendering.ci.github import error_command

        remedy = f"\n{error.remedy}" if error.remedy else ""
        title = "not started" if isinstance(error, UsageError) else "not run"
        console.stderr().write(f"{error_command(title, f'{error}{remedy}')}\n")


def _add_to_summary(path: Path, text: str) -> None:
    """Append to the summary of the step, which other commands may have begun."""
    content = text.encode()
    try:
        descriptor = files.open_append(path)
        try:
            if os.fstat(descriptor).st_size + len(content) <= SUMMARY_BYTES_MAX:
                files.write_all(descriptor, content)
                return
        finally:
            os.close(descriptor)
        reason = f"it would be larger than {SUMMARY_BYTES_MAX} bytes"
    except OSError as error:
        reason = files.reason(error)
    console.complain(f"warning: no summary of the step was written: {reason}", "")
