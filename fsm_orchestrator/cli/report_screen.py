"""The facts of a report that a supervisor needs, on a terminal: outcome, gates, codes, stages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from fsm_orchestrator.cli.formatting import columns, command_line, sentences
from fsm_orchestrator.cli.screen import Line, folded
from fsm_orchestrator.cli.stage_lines import mark_of, took_words
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.constants import REPORT_FILE
from fsm_orchestrator.explanation.gate_table import GATE_COLUMNS, gate_row
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.cells import cells
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import StageStatus

_FOLDED = frozenset({StageStatus.SUCCESS, StageStatus.SKIPPED})


def lines_of(
    view: InspectedRun, typed: str, earlier: tuple[str, ...], width: int
) -> Iterator[Line]:
    """Yield the lines; `typed` is OUT as commands name it, `earlier` selects an archived run."""
    report = view.report
    outcome = "not ended" if report.terminal_state is None else report.terminal_state.value
    facts = [
        ("run_id", report.run_id),
        ("terminal_state", outcome),
        ("closure_ready", str(report.closure_ready).lower()),
        *((("unrun_stages", ", ".join(report.unrun_stages)),) if report.unrun_stages else ()),
        *((("nothing_ran", "true"),) if report.nothing_ran else ()),
        ("blocked_reason_codes", ", ".join(report.blocked_reason_codes) or "none"),
        *(("budget", one) for one in _budget(report)),
        *(("subject", one) for one in (() if report.subject is None else report.subject.lines)),
    ]
    yield from map(Line, columns(facts, indent=""))
    if report.gate_decisions:
        yield Line("")
        yield Line("gate_decisions")
        decided = [(one, report.gates[one.gate].passing) for one in report.gate_decisions]
        rows = [GATE_COLUMNS, *(gate_row(*one) for one in decided)]
        yield from map(Line, columns(rows))
    if report.stage_executions:
        yield Line("")
        yield Line("stage_executions")
        yield from _executions(report.stage_executions, width)
    yield Line("")
    words = (typed, *earlier)
    yield from map(
        Line,
        columns(
            [
                ("file", copyable(str(view.directory / REPORT_FILE))),
                ("json", command_line("report", *words, "--json")),
                ("page", command_line("report", *words, "--html", "report.html")),
                ("why", command_line("explain", *words)),
            ]
        ),
    )


def _budget(report: Report) -> Iterator[str]:
    if report.budget is not None:
        from fsm_orchestrator.explanation.budget_words import budget_lines

        yield from budget_lines(report.budget)


def _executions(executions: tuple[StageExecution, ...], width: int) -> Iterator[Line]:
    column = max(cells(one.name) for one in executions)
    for status, group in itertools.groupby(executions, lambda one: one.status):
        same = list(group)
        mark = mark_of(status, same[0].ending)
        if status in _FOLDED and len(same) > 1:
            names = folded([one.name for one in same], width - len(status.value) - 8)
            yield Line(f"{len(same)} {status.value}: {names}", mark, is_dim=mark is Mark.LEFT_OUT)
            continue
        for one in same:
            attempt = f", attempt {one.attempt}" if one.attempt > 1 else ""
            said = f"{status.value}{attempt}{'' if one.error is None else f': {one.error}'}"
            lead = f"{one.name}{' ' * (column - cells(one.name))}  {took_words(one.duration_ms)}  "
            hanging = " " * (len(lead) if len(lead) * 2 < width else 4)
            first, *rest = sentences(said, width - 4, indent=lead, hanging=hanging)
            yield Line(first, mark_of(status, one.ending))
            yield from (Line(f"   {line}") for line in rest)
