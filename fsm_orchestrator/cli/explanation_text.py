"""The full explanation of a run: causes, remedies, gates, stages and everything that they did."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from fsm_orchestrator.cli.formatting import age, columns, command_lines, sentences
from fsm_orchestrator.cli.screen import shortened
from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.constants import INVOCATIONS_FILE
from fsm_orchestrator.explanation.explanation import ExplainedStage, Explanation, Fact, StageFate
from fsm_orchestrator.explanation.facts import FactForm
from fsm_orchestrator.explanation.gate_table import (
    GATE_COLUMNS,
    evidence_words,
    kept_signal_lines,
    row_in_force,
)
from fsm_orchestrator.explanation.origin_words import origin_line
from fsm_orchestrator.text.hidden import copyable, printable
from fsm_orchestrator.text.phrases import counted

ATTEMPTS_SHOWN_MAX: Final = 20
FOLDED_FROM: Final = 8
"""The number of stages from which those with little to report share a line with others."""
_COMPLETED_AND_SKIPPED: Final = 2


def text_in_full(explanation: Explanation, typed: str, width: int) -> list[str]:
    """Return the lines of the whole explanation: what happened, why and what to type come first."""
    lines = [*_head(explanation, typed, width), *_why(explanation, width)]
    lines += _what_to_do(explanation, width)
    if explanation.budget is not None:
        from fsm_orchestrator.explanation.budget_words import budget_lines

        lines += ["", "budget"]
        lines += [
            line for one in budget_lines(explanation.budget) for line in sentences(one, width)
        ]
    lines += ["", "gates", *_gates(explanation, width)]
    lines += ["", "stages", *_stages(explanation, width)]
    if explanation.changed_files:
        lines += ["", "files that have changed"]
        for one in explanation.changed_files:
            lines += sentences(one.sentence, width)
    if explanation.warnings:
        lines += ["", "warnings"]
        lines += [line for one in explanation.warnings for line in sentences(one, width)]
    return lines


def _head(explanation: Explanation, typed: str, width: int) -> Iterator[str]:
    code = "" if explanation.exit_code is None else f" (exit code {explanation.exit_code})"
    yield f"{explanation.standing.words}: run {explanation.run_id}{code}"
    state = explanation.current_state or "unknown"
    lifecycle = explanation.lifecycle or "unknown"
    yield from sentences(f"in {copyable(typed)}, state {state} of {lifecycle}", width)
    for about in () if explanation.subject is None else explanation.subject.lines:
        yield from sentences(f"about {about}", width)
    yield from sentences(f"since {explanation.since} ({age(explanation.since)} ago)", width)
    if explanation.origin is not None:
        count = explanation.invocations
        number = "" if count == 1 else f"invocation {count} was "
        line = f"{number}started by {origin_line(explanation.origin)}"
        yield from sentences(printable(line), width)
    if explanation.rebuilt is not None:
        yield from sentences(f"the checkpoint {explanation.rebuilt.words}", width)


def _why(explanation: Explanation, width: int) -> Iterator[str]:
    yield ""
    yield "why"
    for cause in explanation.causes:
        yield from sentences(cause.in_full, width)
        yield from _facts(cause.facts, width, indent="    ", is_brief=True)


def _what_to_do(explanation: Explanation, width: int) -> Iterator[str]:
    step = explanation.next_step
    yield ""
    yield "what to do"
    for remedy in step.remedies:
        yield from _paragraphs(remedy, width)
    yield from sentences(f"who can change it: {step.who}", width)
    if step.words is not None:
        yield ""
        yield "next command"
        yield from command_lines(step.words, "  ", width)
        if step.reverify is not None:
            yield "or, to verify again what was done, without running it"
            yield from command_lines(step.reverify, "  ", width)
    if step.would:
        verb = "it would" if step.words is not None else "then"
        yield from sentences(f"{verb} {'; '.join(step.would)}", width)


def _gates(explanation: Explanation, width: int) -> list[str]:
    rows = [row_in_force(gate) for gate in explanation.gates]
    decisions = [gate.decision for gate in explanation.gates]
    kept = kept_signal_lines(decisions, timestamp(SystemClock().now()))
    return [
        *columns([GATE_COLUMNS, *rows]),
        *(
            line
            for one in decisions
            if (said := evidence_words(one)) is not None
            for line in sentences(f"{one.gate}: {said}", width)
        ),
        *(line for one in kept for line in sentences(one, width)),
    ]


def _stages(explanation: Explanation, width: int) -> Iterator[str]:
    folds = itertools.groupby(explanation.stages, _fold_of)
    for fold, stages in folds:
        group = list(stages)
        if fold is None or len(explanation.stages) < FOLDED_FROM or len(group) == 1:
            for one in group:
                yield from _stage(one, width)
        else:
            names = ", ".join(one.stage for one in group)
            yield from sentences(f"{counted(len(group), 'stage')} {fold}: {names}", width)
    if last := explanation.invocations_moved:
        yield from sentences(f"what invocations 1 to {last} did is in {INVOCATIONS_FILE}", width)


def _fold_of(stage: ExplainedStage) -> str | None:
    """Return what a stage has in common with its neighbors, or None if it has more to report."""
    match stage.fate:
        case StageFate.NOT_REACHED | StageFate.PASSED_OVER if not stage.attempts:
            return f"{_words(stage.fate)}, because {stage.because}"
        case StageFate.SKIPPED if len(stage.attempts) <= _COMPLETED_AND_SKIPPED:
            return f"skipped: {stage.because}"
        case StageFate.SUCCEEDED if len(stage.attempts) == 1:
            return "succeeded in the first attempt; --json has what each did"
        case _:
            return None


def _words(fate: StageFate) -> str:
    return fate.value.replace("_", " ")


def _stage(stage: ExplainedStage, width: int) -> Iterator[str]:
    # An interruption is recorded with its own word before the reason.
    is_said = stage.fate is StageFate.INTERRUPTED
    because = stage.because if is_said else f"{_words(stage.fate)}: {stage.because}"
    yield from sentences(f"{stage.stage}: {because}", width)
    if len(stage.attempts) > ATTEMPTS_SHOWN_MAX:
        yield f"    {len(stage.attempts) - ATTEMPTS_SHOWN_MAX} earlier attempts are in --json"
    for one in stage.attempts[-ATTEMPTS_SHOWN_MAX:]:
        if one.facts:
            title = f"invocation {one.invocation}, attempt {one.attempt}: {one.ending}"
            yield from sentences(title, width, indent="    ", hanging="      ")
            yield from _facts(one.facts, width, indent="      ")


def _facts(
    facts: Sequence[Fact], width: int, *, indent: str, is_brief: bool = False
) -> Iterator[str]:
    """Yield names and values in two columns; paths are never broken.

    With `is_brief` a long command is cut: the whole of it appears further down, with its stage.
    """
    name_width = max((len(fact.name) for fact in facts), default=0)
    for fact in facts:
        mark = "| " if fact.form is FactForm.OUTPUT else ""
        for number, line in enumerate(fact.value.split("\n")):
            name = fact.name if number == 0 else ""
            text = f"{indent}{name:<{name_width}}  {mark}{printable(line)}".rstrip()
            may_cut = is_brief and fact.form in {FactForm.COMMAND, FactForm.OUTPUT}
            if fact.form is FactForm.PROSE:
                lead = f"{indent}{name:<{name_width}}  "
                yield from sentences(line, width, indent=lead, hanging=" " * len(lead))
            else:
                yield shortened(text, width) if may_cut else text


def _paragraphs(text: str, width: int) -> Iterator[str]:
    """Wrap each line of a text separately; indented lines stay indented."""
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip())
        indent = " " * (depth + 2)
        yield from sentences(line[depth:], width, indent=indent, hanging=f"{indent}  ")
