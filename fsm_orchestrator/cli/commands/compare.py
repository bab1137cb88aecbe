"""`compare`: shows what differs between two runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.comparison_screen import comparison_lines
from fsm_orchestrator.cli.screen import prose_width, shown
from fsm_orchestrator.constants import ARCHIVE_DIRECTORY
from fsm_orchestrator.disk import archive
from fsm_orchestrator.disk.where import absolute, run_of
from fsm_orchestrator.errors import ReportError, UsageError
from fsm_orchestrator.explanation.compared_facts import Looked
from fsm_orchestrator.explanation.comparing import compare
from fsm_orchestrator.inspection.inspected_run import inspect_run, standing_of
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.record.home import output_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.vocabulary import ExitCode


def compare_command(parameters: Mapping[str, Any]) -> int:
    """Print what differs; return 0 if no difference counts, else 1.

    Raises:
        UsageError: one of them is not a run, or cannot be read.
    """
    typed_a, typed_b = parameters["a"], parameters["b"]
    if typed_b is None:
        typed_a, typed_b = _before(typed_a), typed_a
    found = compare(_looked(typed_a), _looked(typed_b))
    out = console.stdout()
    if parameters["as_json"]:
        out.write(json_text(found.model_dump(mode="json")) + "\n")
    else:
        lines = comparison_lines(
            found, (typed_a, typed_b), prose_width(out), in_full=parameters["in_full"]
        )
        out.show(shown(lines))
    return ExitCode.DONE if found.is_same else ExitCode.FAILED


def _before(typed: str) -> str:
    """Return the path of the most recently archived run of a directory, in the form that is typed.

    Raises:
        UsageError: no run was archived.
    """
    output = output_directory_of(typed)
    known = archive.archived_run_ids(output)
    if not known:
        raise UsageError(
            f"there is no earlier run in {copyable(run_of(output))} to compare with",
            remedy="name two runs: compare A B",
        )
    folder = output / ARCHIVE_DIRECTORY
    latest = max(sorted(known), key=lambda name: (folder / name).stat().st_mtime_ns)
    return os.path.join(typed, ARCHIVE_DIRECTORY, latest)


def _looked(typed: str) -> Looked:
    """Read the run that was typed: its directory, which may be in an archive, or its bundle.

    Raises:
        UsageError: there is none, or its checkpoint cannot be used.
    """
    if os.path.isfile(typed):
        return _looked_into(typed)
    directory = output_directory_of(typed)
    output = output_of(directory)
    try:
        view = inspect_run(output, None if output == directory else directory.name)
    except ReportError as error:
        raise _not_compared(typed, str(error)) from error
    if view.saved is None or view.saved.as_kept is None:
        raise _not_compared(typed, str(view.trouble))
    trouble = None if view.holder is not None else view.trouble
    return Looked(str(view.directory), view.saved.as_kept, view.standing, trouble)


def _looked_into(typed: str) -> Looked:
    """Read the run in a bundle, which must be consistent."""
    from fsm_orchestrator.bundle.known import Wanted
    from fsm_orchestrator.bundle.opened import OpenedBundle, open_file
    from fsm_orchestrator.bundle.verifying import verification_of

    path = absolute(typed)
    with open_file(path) as stream:
        found, known = verification_of(OpenedBundle(stream, str(path)), Wanted())
    if found.first_broken is not None or known.retelling is None or known.report is None:
        raise UsageError(
            f"cannot compare {copyable(typed)}: it is not a bundle, or broken at"
            f" {found.first_broken}",
            remedy="see what is wrong with it: verify-bundle",
        )
    standing = standing_of(known.report, path, None)
    return Looked(str(path), known.retelling.onward, standing)


def _not_compared(typed: str, why: str) -> UsageError:
    return UsageError(
        f"cannot compare {copyable(typed)}: {why}",
        remedy="name the output directory of a run whose checkpoint can be read",
    )
