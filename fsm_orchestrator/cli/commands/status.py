"""`status`: where runs stand, one run in full, several in one line each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import age, columns, command_line, sentences, shown_path
from fsm_orchestrator.cli.screen import Line, mark_of, shortened, shown
from fsm_orchestrator.cli.style import Mark, ellipsis, lead, lead_cells
from fsm_orchestrator.cli.summary import (
    UNBOUNDED,
    WORDS_MAX,
    Shape,
    headline,
    next_lines,
    summary_of,
)
from fsm_orchestrator.constants import REPORT_FILE
from fsm_orchestrator.disk import archive
from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.inspected_run import (
    ORCHESTRATOR_DIED,
    InspectedRun,
    StateNow,
    continuing,
    inspect_run,
    output_directory_of,
    state_now,
)
from fsm_orchestrator.inspection.overview import (
    RunOverview,
    is_run_directory,
    overview_of,
    run_directories,
)
from fsm_orchestrator.text.cells import cut_in_middle
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import printable
from fsm_orchestrator.vocabulary import ExitCode, HeldBy, Standing

if TYPE_CHECKING:
    from fsm_orchestrator.explanation.next_step import Offer

ARCHIVED_SHOWN_MAX: Final = 3
LINE_WIDTH_MIN: Final = 20
PATH_WIDTH_MAX: Final = 4096


def status_command(parameters: Mapping[str, Any]) -> int:
    """Print where runs stand; return 0 when all can be read, 1 when not."""
    typed = parameters["output_directories"] or (os.curdir,)
    run_id, as_json = parameters["run_id"], parameters["as_json"]
    outputs = [output_directory_of(one) for one in typed]
    if run_id is not None and len(typed) > 1:
        raise UsageError("--run-id names a run in one OUT, and several were given")
    below = [() if run_id is not None else _runs_below(output) for output in outputs]
    if len(typed) == 1 and not below[0]:
        return _one(typed[0], outputs[0], run_id, as_json=as_json)
    return _many(list(zip(typed, outputs, below, strict=True)), as_json=as_json)


def _runs_below(output: Path) -> tuple[Path, ...]:
    """Return the run directories below a directory that is not one itself."""
    if is_run_directory(output) or holder_of(output) is not None:
        return ()
    return run_directories(output)


def _one(typed: str, output: Path, run_id: str | None, *, as_json: bool) -> int:
    view = inspect_run(output, run_id)
    trouble = None if view.holder is not None else view.trouble
    out = console.stdout()
    width = out.width if out.is_terminal else UNBOUNDED
    if as_json:
        now = state_now(view)
        document = {
            "output_directory": str(view.directory),
            "is_running": view.holder is not None,
            "is_suspended": view.standing is Standing.SUSPENDED,
            "holder": None if view.holder is None else str(view.holder),
            "checkpoint_trouble": trouble,
            "changed_files": list(_changed_files(view)),
            "now_wrong": list(now.wrong),
            "changed_artifacts": list(now.changed),
            "report": view.report.model_dump(mode="json"),
        }
        out.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    elif view.is_archived:
        out.show(_archived_text(view, width))
    else:
        earlier = _archived_line(sorted(archive.archived_run_ids(output)))
        out.show(text_of(view, typed, width) + earlier)
    return ExitCode.DONE if trouble is None or view.is_archived else ExitCode.FAILED


def _many(named: Sequence[tuple[str, Path, tuple[Path, ...]]], *, as_json: bool) -> int:
    """Print one line for each run, in the order given; those of a directory by name."""
    out, runs = console.stdout(), []
    for name, output, below in named:
        if below:
            runs += [overview_of(one, os.path.join(name, one.name)) for one in below]
        else:
            runs.append(overview_of(output, name))
    if as_json:
        documents = [one.model_dump(mode="json") for one in runs]
        text = json.dumps({"runs": documents}, indent=2, ensure_ascii=False)
        out.write(f"{text}\n")
    else:
        out.show(shown(_lines(runs, out.width if out.is_terminal else None)))
    return ExitCode.DONE if all(one.trouble is None for one in runs) else ExitCode.FAILED


def _lines(runs: Sequence[RunOverview], width: int | None) -> Iterator[Line]:
    """Yield a line for each run; none is wider than `width`, and what is cut ends in an ellipsis.

    Of what does not fit the end of a reason or of the last words is left out, and of a long path
    its middle.
    """
    path_width = PATH_WIDTH_MAX if width is None else max(width // 3, LINE_WIDTH_MIN)
    rows = [("run in", "stands", "for", "stage", "reason or last words")]
    marks: list[Mark | None] = [None]
    for one in runs:
        standing = "unreadable" if one.standing is None else one.standing.words
        marks.append(Mark.BAD if one.standing is None else mark_of(one.standing))
        where = one.current_state or "-"
        if one.standing is not None and one.standing.is_held:
            standing = f"{standing}: {where}"
        stage = "-" if one.stage is None else f"{one.stage} {one.attempt}"
        reason = one.trouble or ", ".join(one.blocked_reason_codes) or one.last_line
        since = "-" if one.since is None else age(one.since)
        path = cut_in_middle(printable(one.output_directory), path_width, ellipsis())
        rows.append((path, standing, since, stage, reason))
    for mark, text in zip(marks, columns(rows, indent=""), strict=True):
        line = text if width is None else shortened(text, max(width, LINE_WIDTH_MIN) - lead_cells())
        yield Line(
            f"{'':<{lead_cells()}}{line}" if mark is None else line, mark, is_dim=mark is None
        )


def _archived_text(view: InspectedRun, width: int) -> str:
    report = view.report
    if report.terminal_state is None:
        path = copyable(str(view.directory / REPORT_FILE))
        return f"{headline(report)}; archived\n  report  {path}\n"
    return summary_of(report, view.directory, None, Shape(str(view.directory), width))


def _archived_line(run_ids: list[str]) -> str:
    if not run_ids:
        return ""
    shown = ", ".join(run_ids[-ARCHIVED_SHOWN_MAX:])
    total = "" if len(run_ids) <= ARCHIVED_SHOWN_MAX else f"{len(run_ids)} in all; "
    return f"  archived  {shown} ({total}--run-id shows one)\n"


def text_of(view: InspectedRun, typed: str, width: int = UNBOUNDED) -> str:
    """Return where a run stands as text, in lines of `width` as far as words and paths allow."""
    report = view.report
    if view.holder is not None:
        attempt = view.open_attempt
        stage = "" if attempt is None else f", attempt {attempt.attempt}"
        rows = [
            ("held by", str(view.holder)),
            ("follow", command_line("logs", shown_path(typed), "--follow")),
        ]
        if view.standing is Standing.SUSPENDED:
            rows.insert(1, ("go on", " ".join(continuing(view.holder))))
        if view.holder.held_by is HeldBy.COMMAND:
            rows.append(("stop", command_line("stop", shown_path(typed))))
        run = f"run {report.run_id}, in state {report.current_state}{stage}"
        head = f"{view.standing.words}: {run}, for {age(view.since)}"
        return "\n".join([*_headed(view.standing, head, width), *columns(rows), ""])
    now = state_now(view)
    offer = _offer(view, typed, now)
    if report.terminal_state is not None:
        if now.wrong:
            report = report.model_copy(update={"closure_ready": False})
        shape = Shape(shown_path(typed), width, now_wrong=now.wrong, words=_words(view))
        text = summary_of(report, view.directory, offer, shape)
    else:
        said = f"{headline(report)}: {ORCHESTRATOR_DIED}"
        head_lines = _headed(Standing.INTERRUPTED, said, width)
        text = "\n".join([*head_lines, *next_lines(offer, width), ""])
    notes = [f"note: {one}" for one in (*now.changed, *_changed_files(view))]
    told = [one for one in (*notes, view.relocation_sentence, view.trouble) if one is not None]
    return text + "".join(f"{line}\n" for one in told for line in sentences(one, width))


def _headed(standing: Standing, said: str, width: int) -> list[str]:
    """Return a sentence behind the mark of where a run stands."""
    mark, below = mark_of(standing), " " * lead_cells()
    first, *rest = sentences(said, width, indent=below, hanging=below)
    return [f"{lead(mark)}{first[len(below) :]}", *rest]


def _changed_files(view: InspectedRun) -> Iterator[str]:
    """Yield the files that the run was given and that are not now what they were."""
    if view.checkpoint is None or not view.checkpoint.origins.files:
        return
    from fsm_orchestrator.explanation.changed_files import changed_files_of

    yield from (one.sentence for one in changed_files_of(view))


def _words(view: InspectedRun) -> list[str]:
    """Return what the stage that is to blame printed to stdout, where its stderr says nothing."""
    if not view.report.failures:
        return []
    from fsm_orchestrator.inspection.quoting import words_in_stdout

    return words_in_stdout(view, WORDS_MAX)


def _offer(view: InspectedRun, typed: str, now: StateNow) -> Offer | None:
    """Return what to type next. A run that may be closed leaves nothing, and is not tried."""
    if view.report.closure_ready and not now.wrong:
        return None
    from fsm_orchestrator.explanation.next_step import offer_of

    return offer_of(view, shown_path(typed), now)
