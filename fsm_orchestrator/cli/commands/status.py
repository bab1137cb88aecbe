"""`status`: shows where runs stand: one run in full, several in one line each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import age, columns, command_line, sentences, shown_path
from fsm_orchestrator.cli.screen import mark_of
from fsm_orchestrator.cli.style import lead, lead_cells
from fsm_orchestrator.cli.summary import (
    UNBOUNDED,
    WORDS_MAX,
    Shape,
    about_lines,
    headline,
    next_lines,
    starter_lines,
    starter_rows,
    summary_of,
)
from fsm_orchestrator.constants import REPORT_FILE, SENT_FILE
from fsm_orchestrator.disk import archive
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.inspected_run import (
    InspectedRun,
    StateNow,
    continuing,
    inspect_run,
    state_now,
)
from fsm_orchestrator.inspection.run_directories import output_directory_of, runs_below
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.vocabulary import ExitCode, HeldBy, Standing

if TYPE_CHECKING:
    from fsm_orchestrator.explanation.next_step import Offer
    from fsm_orchestrator.model.open_attempt import AttemptRecord

ARCHIVED_SHOWN_MAX: Final = 3
LIST_OPTIONS: Final = ("states", "since", "names", "sort", "fail_if", "watch", "history")
"""The parameters that ask for a list, even of one run."""


def status_command(parameters: Mapping[str, Any]) -> int:
    """Print where runs stand; return 0 if all can be read, 1 if not, or as was asked."""
    typed = parameters["output_directories"] or (os.curdir,)
    run_id, as_json = parameters["run_id"], parameters["as_json"]
    outputs = [output_directory_of(one) for one in typed]
    if run_id is not None and len(typed) > 1:
        raise UsageError("--run-id names a run in one OUT, and several were given")
    is_list = len(typed) > 1 or any(map(parameters.get, LIST_OPTIONS))
    if run_id is not None and is_list:
        raise UsageError("--run-id shows one run, and the other options are for a list of runs")
    if not is_list and (run_id is not None or not any(runs_below(outputs[0]))):
        return _one(typed[0], outputs[0], run_id, as_json=as_json)
    from fsm_orchestrator.cli.commands.status_of_many import status_of_many

    return status_of_many(parameters, typed, outputs)


def _one(typed: str, output: Path, run_id: str | None, *, as_json: bool) -> int:
    view = inspect_run(output, run_id)
    trouble = None if view.holder is not None else view.trouble
    out = console.stdout()
    width = out.width if out.is_terminal else UNBOUNDED
    if as_json:
        now = state_now(view)
        document = {
            "output_directory": str(view.run_directory),
            "is_running": view.holder is not None,
            "is_suspended": view.standing is Standing.SUSPENDED,
            "holder": None if view.holder is None else str(view.holder),
            "checkpoint_trouble": trouble,
            "record_digest": None if view.holder is not None else _record_digest(view),
            "changed_files": list(_changed_files(view)),
            "now_wrong": list(now.wrong),
            "changed_artifacts": list(now.changed),
            "report": view.report.model_dump(mode="json"),
        }
        if untold := _untold(view):
            document["untold"] = list(untold)
        out.write(json_text(document) + "\n")
    elif view.is_archived:
        out.show(_archived_text(view, width))
    else:
        earlier = _archived_line(sorted(archive.archived_run_ids(output)))
        out.show(text_of(view, typed, width) + earlier)
    return ExitCode.DONE if trouble is None or view.is_archived else ExitCode.FAILED


def _record_digest(view: InspectedRun) -> str:
    """Return the digest by which the record is accepted on another machine."""
    from fsm_orchestrator.record.record_check import record_digest

    return record_digest(view.directory)


def _archived_text(view: InspectedRun, width: int) -> str:
    report = view.report
    if report.terminal_state is None:
        path = copyable(str(view.directory / REPORT_FILE))
        return f"{headline(report)}; archived\n  report  {path}\n"
    now = state_now(view)
    if now.wrong:
        report = report.model_copy(update={"closure_ready": False})
    shape = Shape(str(view.directory), width, now_wrong=now.wrong)
    return summary_of(report, view.directory, None, shape)


def _archived_line(run_ids: list[str]) -> str:
    if not run_ids:
        return ""
    shown = ", ".join(run_ids[-ARCHIVED_SHOWN_MAX:])
    total = "" if len(run_ids) <= ARCHIVED_SHOWN_MAX else f"{len(run_ids)} in all; "
    return f"  archived  {shown} ({total}--run-id shows one)\n"


def _starter(view: InspectedRun) -> str | None:
    """Return who started the latest invocation, where, and at which revision."""
    if view.report.origin is None:
        return None
    from fsm_orchestrator.explanation.origin_words import origin_line

    return origin_line(view.report.origin)


def text_of(view: InspectedRun, typed: str, width: int = UNBOUNDED) -> str:
    """Return where a run stands as text, in lines of `width` unless words and paths are longer."""
    report = view.report
    if view.holder is not None:
        stage = _at_work(view.open_attempts, report.current_state)
        rows = [
            ("held by", str(view.holder)),
            ("follow", command_line("logs", shown_path(typed), "--follow")),
        ]
        if view.standing is Standing.SUSPENDED:
            rows.insert(1, ("continue", " ".join(continuing(view.holder))))
        if view.has_engine:
            rows.append(("stop", command_line("temporal", "signal", shown_path(typed), "--stop")))
        elif view.holder.held_by is HeldBy.COMMAND or view.holder.hears is not None:
            rows.append(("stop", command_line("stop", shown_path(typed))))
        run = f"run {report.run_id}, in state {report.current_state}{stage}"
        head = f"{view.standing.words}: {run}, for {age(view.since)}"
        return "\n".join(
            [
                *_headed(view.standing, head, width),
                *about_lines(report),
                *columns([*rows, *_spent_rows(view), *starter_rows(_starter(view))]),
                "",
            ]
        )
    now = state_now(view)
    offer = _offer(view, typed, now)
    if report.terminal_state is not None:
        if now.wrong:
            report = report.model_copy(update={"closure_ready": False})
        shape = Shape(
            shown_path(typed),
            width,
            now_wrong=now.wrong,
            words=_words(view),
            starter=_starter(view),
            by_now=_by_now(view),
        )
        text = summary_of(report, view.directory, offer, shape)
    else:
        said = f"{headline(report)}: {view.cut_short_words}"
        head_lines = _headed(Standing.INTERRUPTED, said, width)
        about = about_lines(report)
        by = starter_lines(_starter(view))
        text = "\n".join([*head_lines, *about, *by, *next_lines(offer, width), ""])
    notes = [f"note: {one}" for one in (*_changed_files(view), *_untold(view))]
    place = None if view.relocation_sentence in report.warnings else view.relocation_sentence
    others = (*notes, *_untaken(view, typed), place, view.trouble)
    told = [one for one in others if one is not None]
    return text + "".join(f"{line}\n" for one in told for line in sentences(one, width))


def _by_now(view: InspectedRun) -> dict[str, str]:
    """Return the current state of each gate, since people may have answered after the run ended."""
    if all(one.request is None for one in view.report.waiting_for):
        return {}
    from fsm_orchestrator.explanation.approvals import words_by_now

    return words_by_now(view)


def _untold(view: InspectedRun) -> Sequence[str]:
    """Return who could not be notified of the end of the run."""
    if view.checkpoint is None or not view.checkpoint.notify:
        return ()
    from fsm_orchestrator.cli.untold import untold_sentences

    return untold_sentences(view)


def _untaken(view: InspectedRun, typed: str) -> Sequence[str]:
    """Return what OpenTelemetry has not received of the run."""
    if not os.path.lexists(view.directory / SENT_FILE):
        return ()
    from fsm_orchestrator.cli.untaken import untaken_sentences

    return untaken_sentences(view, shown_path(typed))


def _spent_rows(view: InspectedRun) -> list[tuple[str, str]]:
    """Return the row of what has been spent so far, or no row if nothing is metered."""
    if view.report.budget is None:
        return []
    from fsm_orchestrator.cli.spent_rows import spent_rows
    from fsm_orchestrator.inspection.spent_now import spent_now

    return spent_rows(spent_now(view))


def _at_work(attempts: Sequence[AttemptRecord], state: str | None) -> str:
    """Return what is at work in a state: `, attempt 2`; in a group, with the names of stages."""
    is_own = len(attempts) == 1 and attempts[0].stage == state
    named = [f"{'' if is_own else f'{one.stage} '}attempt {one.attempt}" for one in attempts]
    return "".join(f", {one}" for one in named)


def _headed(standing: Standing, said: str, width: int) -> list[str]:
    """Return a sentence after the mark of where a run stands."""
    mark, below = mark_of(standing), " " * lead_cells()
    first, *rest = sentences(said, width, indent=below, hanging=below)
    return [f"{lead(mark)}{first[len(below) :]}", *rest]


def _changed_files(view: InspectedRun) -> Iterator[str]:
    """Yield the files that the run was given and that have changed since."""
    if view.checkpoint is None or not view.checkpoint.origins.files:
        return
    from fsm_orchestrator.explanation.changed_files import changed_files_of

    yield from (one.sentence for one in changed_files_of(view))


def _words(view: InspectedRun) -> list[str]:
    """Return what the stage to blame printed to stdout, if its stderr says nothing."""
    if not view.report.failures:
        return []
    from fsm_orchestrator.inspection.quoting import words_in_stdout

    return words_in_stdout(view, WORDS_MAX)


def _offer(view: InspectedRun, typed: str, now: StateNow) -> Offer | None:
    """Return what to type next; None, without a trial, for a run that may be closed."""
    if view.report.closure_ready and not now.wrong:
        return None
    from fsm_orchestrator.explanation.next_step import offer_of

    return offer_of(view, shown_path(typed), now)
