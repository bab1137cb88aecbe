"""Writes a run as a summary in Markdown, thirty lines at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fsm_orchestrator.explanation.explain import explain
from fsm_orchestrator.explanation.explanation import ExplainedStage, Explanation
from fsm_orchestrator.explanation.gate_table import row_in_force
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.text.hidden import printable, shell_line
from fsm_orchestrator.text.phrases import counted, span_ms
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import Standing

LINES_MAX: Final = 30
CELL_CHARACTERS_MAX: Final = 300
_GATES_MAX: Final = 5
_STAGES_MAX: Final = 8
_CAUSES_MAX: Final = 3
_MARKS: Final = {Standing.DONE: "\u2705", Standing.WAITING: "\u23f8\ufe0f"}
"""The mark before the standing; a standing without one here failed, or was kept from continuing."""
_SPECIAL: Final = str.maketrans(
    {one: f"\\{one}" for one in "\\`*_{}[]()#+-.!|~$"}
    | {
        "<": "&lt;",
        ">": "&gt;",
        "&": "&amp;",
        "@": "&#64;",
        ":": "&#58;",
        "\n": " ",
        "\t": " ",
    }
)
"""The characters that have a meaning in Markdown, or would name a person or an address."""


def markdown_of(view: InspectedRun, shown: str) -> str:
    """Return the summary of a run; `shown` is OUT as commands name it.

    Words from stages and sources are only text in it: no link, no mention of a person, no end of a
    table.
    """
    explanation = explain(view, shown)
    lines = [*_head(view, explanation), *_causes(explanation)]
    lines += [*_gates(explanation), *_stages(explanation), *_next(explanation)]
    return "\n".join((*lines[:LINES_MAX], ""))


def _head(view: InspectedRun, explanation: Explanation) -> Iterator[str]:
    report, standing = view.report, explanation.standing
    mark = _MARKS.get(standing, "\u274c")
    took = ""
    if report.finished_at is not None:
        took = f" in {span_words(span_ms(report.started_at, report.finished_at))}"
    yield f"### {mark} {_text(standing.words)}: run {_text(report.run_id)}{took}"
    yield ""
    may_close = "may be closed" if standing is Standing.DONE else "may not be closed"
    about = () if report.subject is None else report.subject.lines
    facts = [f"**{may_close}**", f"lifecycle {_text(explanation.lifecycle or 'not known')}"]
    if explanation.budget is not None:
        from fsm_orchestrator.explanation.budget_words import brief_words  # noqa: PLC0415 - only with a budget

        spent = brief_words(explanation.budget)
        facts += [f"spent {_text(spent)}"] if spent else []
    yield ", ".join([*facts, *(f"about {_text(one)}" for one in about[:1])])


def _causes(explanation: Explanation) -> Iterator[str]:
    if explanation.standing is not Standing.DONE:
        yield ""
        yield from (f"- {_text(one.in_full)}" for one in explanation.causes[:_CAUSES_MAX])
        yield from _more(len(explanation.causes) - _CAUSES_MAX, "cause", "- ")


def _gates(explanation: Explanation) -> Iterator[str]:
    rows = [row_in_force(one) for one in explanation.gates]
    if rows:
        # Readers look for the gates that refuse: they come first.
        rows.sort(key=lambda row: row.verdict == "passed")
        yield from ("", "| gate | signal | passes | verdict |", "|---|---|---|---|")
        shown = rows[:_GATES_MAX]
        yield from (_row((one.gate, one.signal, one.passes, one.verdict)) for one in shown)
        yield from _more(len(rows) - len(shown), "gate")


def _stages(explanation: Explanation) -> Iterator[str]:
    stages = explanation.stages
    if stages:
        yield from ("", "| stage | fate | why |", "|---|---|---|")
        shown = stages[:_STAGES_MAX]
        yield from (_row((one.stage, one.fate.value.replace("_", " "), _why(one))) for one in shown)
        yield from _more(len(stages) - len(shown), "stage")


def _why(stage: ExplainedStage) -> str:
    return stage.attempts[-1].ending if stage.attempts else stage.because


def _next(explanation: Explanation) -> Iterator[str]:
    words = explanation.next_step.words
    if explanation.standing is not Standing.DONE and words is not None:
        fence = "````"  # longer than any in a command, which is on one line
        yield from ("", fence, shell_line(words), fence)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_text, cells))} |"


def _more(count: int, what: str, lead: str = "") -> Iterable[str]:
    return [f"{lead}and {counted(count, f'more {what}')}"] if count > 0 else []


def _text(text: str) -> str:
    """Return text as Markdown that shows it literally, on one line, cut if it is long."""
    cut = text if len(text) <= CELL_CHARACTERS_MAX else f"{text[:CELL_CHARACTERS_MAX]}\u2026"
    return printable(cut).translate(_SPECIAL)
