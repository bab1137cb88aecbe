"""`status`: where the run in a directory stands, from its report, checkpoint and lock."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator import archive, checkpoint_file
from fsm_orchestrator.api import load_report
from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.summary import summary_of
from fsm_orchestrator.cli.words import command_line, shown_path
from fsm_orchestrator.errors import CheckpointError, UsageError
from fsm_orchestrator.lock import holder_of
from fsm_orchestrator.report import Report
from fsm_orchestrator.vocabulary import ARCHIVE_DIRECTORY, REPORT_FILE, ExitCode

ARCHIVED_SHOWN_MAX: Final = 3


def status_command(parameters: Mapping[str, Any]) -> int:
    """Print the state: 0 when there is a run that can be read, 1 when not."""
    typed = parameters["output_directory"]
    output = Path(typed).absolute()
    if not os.path.isdir(output):
        raise UsageError(
            f"{output} is not a directory", remedy="name the output directory of a run"
        )
    run_id = parameters["run_id"]
    if run_id is not None and run_id != archive.earlier_run_id(output):
        return _archived_status(output, run_id, as_json=parameters["as_json"])
    report = load_report(output)
    holder = holder_of(output)
    trouble = _checkpoint_trouble(output) if holder is None else None
    if parameters["as_json"]:
        document = {
            "output_directory": str(output),
            "is_running": holder is not None,
            "holder": holder,
            "checkpoint_trouble": trouble,
            "report": report.model_dump(mode="json"),
        }
        console.stdout().write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        console.stdout().write(text_of(report, typed, output, holder, trouble))
        archived = sorted(archive.archived_run_ids(output))
        if archived:
            console.stdout().write(_archived_line(archived))
    return ExitCode.DONE if trouble is None else ExitCode.FAILED


def _archived_status(output: Path, run_id: str, *, as_json: bool) -> int:
    """Print how an archived run stood when a later one took its place."""
    known = sorted(archive.archived_run_ids(output))
    if run_id not in known:
        raise UsageError(
            f"there is no run {run_id!r} in {output}",
            remedy=f"archived are {', '.join(known)}" if known else "nothing is archived there",
        )
    place = output / ARCHIVE_DIRECTORY / run_id
    report = load_report(place)
    if as_json:
        document = {
            "output_directory": str(place),
            "is_running": False,
            "holder": None,
            "checkpoint_trouble": _checkpoint_trouble(place),
            "report": report.model_dump(mode="json"),
        }
        console.stdout().write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    elif report.terminal_state is None:
        console.stdout().write(
            f"interrupted: run {report.run_id}, in state {report.current_state}; archived\n"
            f"  report  {place / REPORT_FILE}\n"
        )
    else:
        console.stdout().write(summary_of(report, str(place), place, can_resume=False))
    return ExitCode.DONE


def _archived_line(run_ids: list[str]) -> str:
    shown = ", ".join(run_ids[-ARCHIVED_SHOWN_MAX:])
    more = "" if len(run_ids) <= ARCHIVED_SHOWN_MAX else f" and {len(run_ids)} in all"
    return f"  archived  {shown}{more} (--run-id shows one)\n"


def text_of(
    report: Report, typed: str, output: Path, holder: str | None, trouble: str | None
) -> str:
    """The state for a person."""
    if report.terminal_state is not None:
        text = summary_of(report, typed, output, can_resume=trouble is None)
    elif holder is not None:
        text = f"working: run {report.run_id}, in state {report.current_state}\n  {holder}\n"
    else:
        text = (
            f"interrupted: run {report.run_id}, in state {report.current_state}:"
            " its orchestrator ended without a word\n"
            f"  next  {command_line(shown_path(typed), '--resume')}\n"
        )
    return text if trouble is None else f"{text}  {console.printable(trouble)}\n"


def _checkpoint_trouble(output: Path) -> str | None:
    try:
        checkpoint_file.load(output)
    except CheckpointError as error:
        return str(error)
    return None
