"""`explain`: why a run stands where it does, in 80 columns or as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import age, columns, command_lines, shown_path
from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.constants import INVOCATIONS_FILE
from fsm_orchestrator.explanation.explain import explain
from fsm_orchestrator.explanation.explanation import Explanation, Fact
from fsm_orchestrator.explanation.facts import FactForm
from fsm_orchestrator.explanation.gate_table import GATE_COLUMNS, gate_row, kept_signal_lines
from fsm_orchestrator.inspection.inspected_run import inspect_run, output_directory_of
from fsm_orchestrator.text.phrases import printable
from fsm_orchestrator.vocabulary import ExitCode, StageFate

WIDTH: Final = 80
ATTEMPTS_SHOWN_MAX: Final = 20


def explain_command(parameters: Mapping[str, Any]) -> int:
    """Print the explanation; return 0. A run that cannot be read is an error."""
    typed = parameters["output_directory"]
    view = inspect_run(output_directory_of(typed), parameters["run_id"])
    explanation = explain(view, shown_path(typed))
    if parameters["as_json"]:
        console.stdout().write(explanation.model_dump_json(indent=2) + "\n")
    else:
        console.stdout().write(text_of(explanation, typed))
    return ExitCode.DONE


def text_of(explanation: Explanation, typed: str) -> str:
    """Return the explanation as text, with what happened, why and what to type at the top."""
    lines = [*_head(explanation, typed), *_why(explanation), *_what_to_do(explanation)]
    lines += ["", "gates", *_gates(explanation), "", "stages", *_stages(explanation)]
    if explanation.changed_files:
        lines += ["", "files that have changed"]
        lines += [line for one in explanation.changed_files for line in _wrapped(one.sentence)]
    if explanation.warnings:
        lines += ["", "warnings"]
        lines += [line for one in explanation.warnings for line in _wrapped(one)]
    return "\n".join(lines) + "\n"


def _head(explanation: Explanation, typed: str) -> Iterator[str]:
    code = "" if explanation.exit_code is None else f" (exit code {explanation.exit_code})"
    yield f"{explanation.standing.words}: run {explanation.run_id}{code}"
    state = explanation.current_state or "unknown"
    lifecycle = explanation.lifecycle or "unknown"
    yield from _wrapped(f"in {typed}, state {state} of {lifecycle}")
    yield from _wrapped(f"since {explanation.since} ({age(explanation.since)} ago)")


def _why(explanation: Explanation) -> Iterator[str]:
    yield ""
    yield "why"
    for cause in explanation.causes:
        yield from _wrapped(cause.in_full)
        yield from _facts(cause.facts, indent="    ", is_brief=True)


def _what_to_do(explanation: Explanation) -> Iterator[str]:
    step = explanation.next_step
    yield ""
    yield "what to do"
    for remedy in step.remedies:
        yield from _paragraphs(remedy)
    yield from _wrapped(f"who can change it: {step.who}")
    if step.words is not None:
        yield ""
        yield "next command"
        yield from command_lines(step.words, "  ", WIDTH)
    if step.would:
        verb = "it would" if step.words is not None else "then"
        yield from _wrapped(f"{verb} {'; '.join(step.would)}")


def _gates(explanation: Explanation) -> list[str]:
    rows = [gate_row(gate.decision, is_judged=gate.is_judged) for gate in explanation.gates]
    decisions = [gate.decision for gate in explanation.gates]
    kept = kept_signal_lines(decisions, timestamp(SystemClock().now()))
    return [*columns([GATE_COLUMNS, *rows]), *(line for one in kept for line in _wrapped(one))]


def _stages(explanation: Explanation) -> Iterator[str]:
    for stage in explanation.stages:
        fate = stage.fate.value.replace("_", " ")
        # An interruption is recorded with its own word before the reason.
        is_said = stage.fate is StageFate.INTERRUPTED
        because = stage.because if is_said else f"{fate}: {stage.because}"
        yield from _wrapped(f"{stage.stage}: {because}")
        if len(stage.attempts) > ATTEMPTS_SHOWN_MAX:
            yield f"    {len(stage.attempts) - ATTEMPTS_SHOWN_MAX} earlier attempts are in --json"
        for one in stage.attempts[-ATTEMPTS_SHOWN_MAX:]:
            if one.facts:
                title = f"invocation {one.invocation}, attempt {one.attempt}: {one.ending}"
                yield from _wrapped(title, indent="    ")
                yield from _facts(one.facts, indent="      ")
    if explanation.invocations_moved:
        last = explanation.invocations_moved
        yield from _wrapped(f"what invocations 1 to {last} did is in {INVOCATIONS_FILE}")


def _facts(facts: Sequence[Fact], *, indent: str, is_brief: bool = False) -> Iterator[str]:
    """Yield names and values in two columns; paths are never broken.

    With `is_brief` a long command is cut: it is whole further down, with its stage.
    """
    width = max((len(fact.name) for fact in facts), default=0)
    for fact in facts:
        mark = "| " if fact.form is FactForm.OUTPUT else ""
        for number, line in enumerate(fact.value.split("\n")):
            name = fact.name if number == 0 else ""
            text = f"{indent}{name:<{width}}  {mark}{printable(line)}".rstrip()
            may_cut = is_brief and fact.form in {FactForm.COMMAND, FactForm.OUTPUT}
            yield f"{text[: WIDTH - 3]}..." if may_cut and len(text) > WIDTH else text


def _paragraphs(text: str) -> Iterator[str]:
    """Wrap each line of a text by itself; what is indented in it stays so."""
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip())
        yield from _wrapped(line[depth:], indent=" " * (depth + 2))


def _wrapped(text: str, *, indent: str = "  ") -> list[str]:
    """Return text in lines of the screen's width; its own line breaks and indents are kept.

    A word that is longer than a line stays whole, to be copied.
    """
    lines: list[str] = []
    for line in text.splitlines():
        words = line.lstrip()
        lead = indent + line[: len(line) - len(words)]
        lines += textwrap.wrap(
            printable(words),
            WIDTH,
            initial_indent=lead,
            subsequent_indent=f"{lead}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines
