"""The summary at the end of a run: what ran, what went wrong, where to look, what to type."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.cli.formatting import columns, command_line, command_lines, sentences
from fsm_orchestrator.cli.stage_lines import (
    end_words,
    folded_line,
    mark_of,
    name_cells,
    stage_line,
    took_words,
)
from fsm_orchestrator.cli.style import Mark, Tone, ellipsis, lead, lead_cells, paint, symbol
from fsm_orchestrator.constants import GATES_NAMED_MAX, REPORT_FILE
from fsm_orchestrator.disk import peek
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.cells import cells, cut
from fsm_orchestrator.text.hidden import copyable, printable
from fsm_orchestrator.text.phrases import counted, first_of, span_ms
from fsm_orchestrator.text.terminal import shown_line
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import Ending, Operation, Outcome, StageStatus, Standing, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.explanation.next_step import Offer

LINES_MAX: Final = 12
"""The maximum lines of the summary, unless a command or a refusal is longer."""
UNBOUNDED: Final = 100_000
"""The width of a line that no terminal cuts."""
WORDS_MAX: Final = 5
STAGES_MAX: Final = 5
CAUSE_LINES_MAX: Final = 3
ABOUT_MAX: Final = 3
LABEL_CELLS: Final = len("details")


class Shape(NamedTuple):
    """The form of a summary.

    Attributes:
        typed: the output directory as commands name it.
        width: of a line.
        has_stages: True if stages and warnings are already on the same screen.
        now_wrong: what now keeps a run that is done from being closed.
        words: the last output of the stage to blame, if its stderr says nothing.
        starter: who started the run, for people who come to it later.
        by_now: the current state of the gates that people are asked for, by their names.
    """

    typed: str
    width: int = UNBOUNDED
    has_stages: bool = False
    now_wrong: tuple[str, ...] = ()
    words: Sequence[str] = ()
    starter: str | None = None
    by_now: Mapping[str, str] | None = None


def summary_of(
    report: Report, output_path: Path, offer: Offer | None, shape: Shape | None = None
) -> str:
    """Return the end of a run as painted text, with what can be typed next, if anything can."""
    shape = shape or Shape(str(output_path))
    head = _head(report, shape.width)
    stages = [] if shape.has_stages else _stage_lines(report, shape.width)
    warnings = [] if shape.has_stages else _warning_lines(report, shape.width)
    causes, words = _cause_lines(report, shape)
    where = _where_lines(report, output_path, offer, shape)
    blanks = [[""], [""]]
    parts = [head, stages, blanks[0], causes, words, warnings, blanks[1], where]
    for spare in (blanks[0], blanks[1], warnings, words, stages):
        while spare and sum(map(len, parts)) > LINES_MAX:
            spare.pop(0 if spare is words else -1)
    if not causes and not warnings:
        blanks[0].clear()
    lines = [line for part in parts for line in part]
    while lines[-1] == "":
        lines.pop()
    return "\n".join(lines) + "\n"


def headline(report: Report) -> str:
    """Return one line with the outcome and the run."""
    standing, remark = _standing(report)
    return f"{standing.words}: run {report.run_id}{remark}"


def about_lines(report: Report) -> list[str]:
    """Return what the run is about, a line for each thing; of many, only the first."""
    if report.subject is None:
        return []
    lines = report.subject.lines
    more = [f"and {len(lines) - ABOUT_MAX} more"] if len(lines) > ABOUT_MAX else []
    return _rows([("about", printable(one)) for one in (*lines[:ABOUT_MAX], *more)])


def next_lines(offer: Offer | None, width: int) -> list[str]:
    """Return what to do first, and the command to type; without a command, what else to do."""
    if offer is None:
        return []
    if offer.words is not None:
        lines = _command_lines("next", offer.words, width)
        if offer.reverify is not None:
            lines += _command_lines("verify", offer.reverify, width)
        return [*_rows(_first_rows(offer)), *lines]
    rows = _rows([("then", "; ".join(offer.would))]) if offer.would else []
    return [*rows, *refusal_lines(offer)]


def starter_rows(starter: str | None) -> list[tuple[str, str]]:
    """Return the row of who started the latest invocation, or no row if that is not recorded."""
    return [] if starter is None else [("by", printable(starter))]


def starter_lines(starter: str | None) -> list[str]:
    """Return that row as a separate line."""
    return _rows(starter_rows(starter))


def _rows(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"  {label:<{LABEL_CELLS}}  {text}" for label, text in rows]


def _command_lines(label: str, words: Sequence[str], width: int) -> list[str]:
    first, *rest = command_lines(words, " " * (LABEL_CELLS + 4), width)
    return [f"  {label:<{LABEL_CELLS}}  {first.lstrip()}", *rest]


def _first_rows(offer: Offer) -> list[tuple[str, str]]:
    """Return what to do, and what must hold, before the command is typed."""
    caution = () if offer.caution is None else (offer.caution,)
    return [("first", one) for one in (*offer.before, *caution)]


def refusal_lines(offer: Offer | None) -> list[str]:
    """Return why no command is offered, with the line breaks of the refusal."""
    if offer is None or offer.words is not None or offer.refusal is None:
        return []
    return [f"  {printable(line)}" for line in offer.refusal.splitlines()]


def _standing(report: Report) -> tuple[Standing, str]:
    match report.terminal_state:
        case None:
            return Standing.INTERRUPTED, f", in state {report.current_state}"
        case Outcome.DONE if not report.closure_ready:
            return Standing.NOT_CLOSABLE, ", nothing to do" if report.nothing_to_do else ""
        case Outcome.BLOCKED:
            standing = Standing.WAITING if report.is_waiting else Standing.BLOCKED
            codes = first_of(report.blocked_reason_codes, GATES_NAMED_MAX)
            return standing, f", by {', '.join(codes)}"
        case Outcome.FAILED if report.handed_over_words is not None:
            return Standing.INTERRUPTED, f", {report.handed_over_words}"
        case Outcome.FAILED if report.was_asked_to_end:
            return Standing.FAILED, ", interrupted"
        case outcome:
            return Standing(outcome.value), ""


def _mark(report: Report) -> Mark:
    match report.terminal_state:
        case Outcome.DONE if report.closure_ready:
            return Mark.GOOD
        case Outcome.FAILED | Outcome.TIMEOUT if not report.was_asked_to_end:
            return Mark.BAD
    return Mark.WAITING


def _head(report: Report, width: int) -> list[str]:
    mark, (standing, remark) = _mark(report), _standing(report)
    took = ""
    if report.finished_at is not None:
        took = f" in {span_words(span_ms(report.started_at, report.finished_at))}"
    below = " " * lead_cells()
    said = f"{standing.words}: run {report.run_id}{took}{remark}"
    first, *rest = sentences(said, width, indent=below, hanging=below)
    return [f"{lead(mark)}{paint(first[len(below) :], mark.tone)}", *rest]


def _stage_lines(report: Report, width: int) -> list[str]:
    """Return a line for the last attempt of each stage, with the skipped stages on one line."""
    last: dict[str, StageExecution] = {}
    for one in report.stage_executions:
        if one.attempt > 0:
            last.pop(one.stage, None)
            last[one.stage] = one
    skipped = [one.stage for one in last.values() if one.status is StageStatus.SKIPPED]
    shown = [one for one in last.values() if one.status is not StageStatus.SKIPPED]
    lines = []
    if len(skipped) == 1:
        why = next(iter(one.reason for one in last.values() if one.stage == skipped[0]))
        lines.append(folded_line(skipped, f"skipped: {why}", width))
    elif skipped:
        lines.append(folded_line(skipped, "skipped: completed before", width))
    good = [one.stage for one in shown[:-2] if one.status is StageStatus.SUCCESS]
    if len(shown) > STAGES_MAX and len(good) > 1:
        said = f"{counted(len(good), 'stage')} succeeded: {', '.join(good)}"
        said = cut(said, width - 2 - lead_cells(), "…")
        said = said if ellipsis() == "…" else said.replace("…", "...")
        lines.append(f"{lead(Mark.GOOD)}{said}")
        shown = [one for one in shown if one.stage not in good]
    column = name_cells([one.stage for one in shown])
    for one in shown:
        took = took_words(one.duration_ms)
        mark = mark_of(one.status, one.ending)
        lines.append(stage_line(mark, one.stage, column, took, _remark(one, report), width))
    return [f"  {line}" for line in lines]


def _remark(execution: StageExecution, report: Report) -> str:
    attempt = f"attempt {execution.attempt}" if execution.attempt > 1 else ""
    said = end_words(execution.status, execution.ending)
    if execution.verifications and execution.status is StageStatus.SUCCESS:
        said = f"verified by {counted(len(execution.verifications), 'command')}"
    if execution.flaky:
        said = "flaky: it had failed before"
    earlier = sum(
        one.stage == execution.stage and one.ending is Ending.REWORK_REQUESTED
        for one in report.stage_executions
        if one is not execution
    )
    before = f"asked for rework {counted(earlier, 'time')} before" if earlier else ""
    return ", ".join(filter(None, (attempt, said, before)))


def _cause_lines(report: Report, shape: Shape) -> tuple[list[str], list[str]]:
    """Return why it ended as it did, and the last words of the stage to blame."""
    width = shape.width
    if report.terminal_state is Outcome.BLOCKED and report.blocking_stage is None:
        return _gate_lines(report, shape), []
    words: list[str] = []
    lines = [one for said in shape.now_wrong for one in _bounded(sentences(said, width), width)]
    if report.is_unearned:
        from fsm_orchestrator.explanation.unrun_words import unrun_sentences

        for said in unrun_sentences(report):
            lines += sentences(said, width)
    for one in (*report.declined, *report.failures):
        if shape.now_wrong and one.operation is Operation.CLOSURE_VERIFY:
            continue  # its current state is said above
        from fsm_orchestrator.inspection.blame import last_words_of, why_words

        lines += _bounded(sentences(f"{one.name}: {why_words(one)}", width), width)
        words = words or _words(last_words_of(one, WORDS_MAX), width)
    last = report.transitions[-1] if report.transitions else None
    says_more = {Trigger.REWORK_REQUESTED, Trigger.STAGE_DECLINED}
    if last is not None and last.trigger in says_more and not report.nothing_to_do:
        lines += _bounded(sentences((last.cause, *last.details)[-1], width), width)
    return lines, words or _words(shape.words, width)


def _gate_lines(report: Report, shape: Shape) -> list[str]:
    from fsm_orchestrator.explanation.gate_table import (
        evidence_words,
        gate_row,
        kept_signal_lines,
    )

    rows, width = [], shape.width
    said: list[str] = []
    for one in report.gate_decisions:
        if one.reason_code in report.blocked_reason_codes:
            row = gate_row(one, report.gates[one.gate].passing)
            why = evidence_words(one)
            told = None if why is None else f"{row.gate}: {why}"
            said += filter(None, [(shape.by_now or {}).get(one.gate, told)])
            wanted = f"passes when {row.passes}"
            rows.append((symbol(Mark.WAITING), row.gate, row.signal, row.source, wanted))
    more = len(rows) - GATES_NAMED_MAX
    left_out = [f"  and {more} more: see details"] if more > 0 else []
    kept = kept_signal_lines(report.gate_decisions, report.finished_at or report.started_at)
    lines_of = [sentences(one, width) for one in said[:GATES_NAMED_MAX]]
    whys = [line for lines in lines_of for line in _bounded(lines, width)]
    return [*columns(rows[:GATES_NAMED_MAX]), *left_out, *whys, *(f"  {one}" for one in kept)]


def _words(said: Sequence[str], width: int) -> list[str]:
    room = max(8, width - 7)
    return [paint(f"    | {cut(shown_line(one), room, ellipsis())}", Tone.DIM) for one in said]


def _bounded(lines: list[str], width: int) -> list[str]:
    if len(lines) <= CAUSE_LINES_MAX:
        return lines
    *kept, last = lines[:CAUSE_LINES_MAX]
    return [*kept, cut(f"{last} {ellipsis()}", width, ellipsis())]


def _warning_lines(report: Report, width: int) -> list[str]:
    lines = []
    for one in report.warnings:
        said = sentences(f"warning: {printable(one)}", width)
        lines += [paint(line, Tone.YELLOW) for line in said]
    if len(lines) > LINES_MAX // 2:
        return [paint(f"  {counted(len(report.warnings), 'warning')}: see details", Tone.YELLOW)]
    return lines


def _report_path(output_path: Path, shape: Shape) -> str:
    """Return the path of the report: whole, or as it was typed if the whole path is too long."""
    path = output_path / REPORT_FILE
    if cells(whole := copyable(str(path))) + LABEL_CELLS + 4 <= shape.width:
        return whole
    near = os.path.normpath(shape.typed / path.relative_to(run_of(output_path)))
    return copyable(near if os.path.isabs(near) else os.path.join(os.curdir, near))


def _where_lines(report: Report, output_path: Path, offer: Offer | None, shape: Shape) -> list[str]:
    """Return where to look and what to type: every command works as printed."""
    rows: list[tuple[str, str]] = []
    # Otherwise its absence is said above; the report of another run may have taken its place.
    path = output_path / REPORT_FILE
    is_recorded = all(one.operation is None for one in report.stage_executions)
    has_report = os.path.isfile(path) and (
        is_recorded or peek.leading_run_id(path) == report.run_id
    )
    if has_report and not report.closure_ready:
        rows.append(("details", command_line("explain", shape.typed)))
    if report.failures:
        from fsm_orchestrator.inspection.blame import log_words

        words = log_words(report.failures, output_path)
        rows += [("output", command_line("logs", shape.typed, *words))] if words else []
    if has_report:
        rows.append(("report", _report_path(output_path, shape)))
    rows += starter_rows(shape.starter)
    about = about_lines(report)
    if report.budget is not None:
        from fsm_orchestrator.cli.spent_rows import spent_rows

        about = [*_rows(spent_rows(report.budget)), *about]
    if offer is None or offer.words is None:
        return [*about, *_rows(rows), *next_lines(offer, shape.width)]
    label = "again" if offer.begins_anew else "approve" if offer.is_answer else "resume"
    label = "accept" if report.is_unearned and not shape.now_wrong else label
    first = _first_rows(offer)
    lines = _command_lines(label, offer.words, shape.width)
    if offer.reverify is not None:
        lines += _command_lines("verify", offer.reverify, shape.width)
    return [*about, *_rows([*rows, *first]), *lines]
