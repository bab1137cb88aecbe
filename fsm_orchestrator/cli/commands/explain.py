"""`explain`: explains why a run stands where it does, in twelve lines, in full, or as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.explanation_text import text_in_full
from fsm_orchestrator.cli.formatting import age, command_line, sentences, shown_path
from fsm_orchestrator.cli.screen import (
    LABEL_WIDTH,
    Line,
    labeled,
    labeled_command,
    mark_of,
    prose_width,
    shortened,
    shown,
)
from fsm_orchestrator.constants import SENT_FILE
from fsm_orchestrator.explanation.explain import explain
from fsm_orchestrator.explanation.explanation import Cause, Explanation, NextStep
from fsm_orchestrator.explanation.facts import FactForm, FactName
from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.text.hidden import copyable, printable
from fsm_orchestrator.text.json_output import escaped
from fsm_orchestrator.text.phrases import with_details
from fsm_orchestrator.vocabulary import ExitCode

LINES_MAX: Final = 12
"""The number of lines in a brief explanation, unless its essential parts are longer."""
SENTENCE_LINES_MAX: Final = 2
"""The maximum number of lines for a cause; further details are in the full explanation."""
WOULD_LINES_MAX: Final = 3
_RANK_CODES: Final = 2
_RANK_OTHER: Final = 3
_RANK_FILES: Final = 5
_RANK_NOTICES: Final = 4
_RANK_PLACE: Final = 7
_RANK_WOULD: Final = 8
_RANKS_OF_WORDS: Final = (10, 9, 6, 4, 1)
"""The ranks of the lines that a stage printed last; the last one, the most telling, ranks first."""
_PLACES: Final = frozenset({FactName.LOG, FactName.POSTMORTEM, FactName.READ})
_NAMED: Final = frozenset({FactName.MISSING, FactName.MALFORMED, FactName.STALE})


def explain_command(parameters: Mapping[str, Any]) -> int:
    """Print the explanation; return 0. A run that cannot be read is an error."""
    typed = parameters["output_directory"]
    view = inspect_run(output_directory_of(typed), parameters["run_id"])
    explanation = explain(view, shown_path(typed))
    if view.checkpoint is not None and view.checkpoint.notify:
        from fsm_orchestrator.cli.untold import untold_sentences

        warnings = (*explanation.warnings, *untold_sentences(view))
        explanation = explanation.model_copy(update={"warnings": warnings})
    if os.path.lexists(view.directory / SENT_FILE):
        from fsm_orchestrator.cli.untaken import untaken_sentences

        warnings = (*explanation.warnings, *untaken_sentences(view, shown_path(typed)))
        explanation = explanation.model_copy(update={"warnings": warnings})
    out = console.stdout()
    if parameters["as_json"]:
        out.write(escaped(explanation.model_dump_json(indent=2)) + "\n")
        return ExitCode.DONE
    width = prose_width(out)
    if parameters["in_full"]:
        first, *rest = text_in_full(explanation, typed, width)
    else:
        earlier = () if parameters["run_id"] is None else ("--run-id", parameters["run_id"])
        more = command_line("explain", shown_path(typed), *earlier, "--all")
        first, *rest = text_in_brief(explanation, typed, more, width)
    out.show(shown([Line(first, mark_of(explanation.standing)), *map(Line, rest)]))
    return ExitCode.DONE


def text_in_brief(explanation: Explanation, typed: str, more: str, width: int) -> list[str]:
    """Return what happened, its evidence, who can change it and what to type, in a dozen lines.

    What does not fit is left out, the least telling first; `more` is the command that shows it.
    """
    step = explanation.next_step
    first, *others = explanation.causes or (Cause(sentence="why is not known", facts=()),)
    code = "" if explanation.exit_code is None else f" (exit code {explanation.exit_code})"
    head = [f"{explanation.standing.words}: run {explanation.run_id}{code}"]
    state, lifecycle = explanation.current_state or "unknown", explanation.lifecycle or "unknown"
    where = f"in {copyable(typed)}, state {state} of {lifecycle}, for {age(explanation.since)}"
    remedies = [line for one in step.remedies for line in labeled("do", one, width)]
    end = [*remedies, *labeled("who", step.who, width)]
    if step.words is not None:
        end += labeled_command("next", step.words, width)
    if step.reverify is not None:
        end += labeled_command("or", step.reverify, width)
    blocks = [
        _Block(0, head),
        _Block(_RANK_PLACE, sentences(where, width)),
        _Block(0, _sentence(first, width)),
        *_evidence(first, width),
        *(_Block(_RANK_OTHER, _sentence(one, width)) for one in others),
        *_codes(explanation, width),
        *_places(first, width),
        _Block(0, end),
        *_would(step, width),
        *_notices(explanation, width),
        _Block(0, [f"  {'more':<{LABEL_WIDTH}}{more}"]),
    ]
    return _fitting(blocks)


class _Block(NamedTuple):
    """Lines that are shown together or not at all; those of rank 0 are always shown."""

    rank: int
    lines: Sequence[str]


def _fitting(blocks: Sequence[_Block]) -> list[str]:
    """Return the lines of the blocks that fit, the lowest ranks first."""
    room, shown = LINES_MAX, set()
    for index, block in sorted(enumerate(blocks), key=lambda one: (one[1].rank, one[0])):
        if block.rank == 0 or len(block.lines) <= room:
            shown.add(index)
            room -= len(block.lines)
    return [line for index in sorted(shown) for line in blocks[index].lines]


def _sentence(cause: Cause, width: int) -> list[str]:
    """Return a cause with as many of its details as fit next to it."""
    lines = sentences(cause.sentence, width)
    for count in range(1, len(cause.details) + 1):
        text = with_details(cause.sentence, cause.details[:count])
        if len(sentences(text, width)) > SENTENCE_LINES_MAX:
            break
        lines = sentences(text, width)
    return lines


def _evidence(cause: Cause, width: int) -> Iterator[_Block]:
    """Yield the files that are wrong, and each of the lines that the stage printed last."""
    for fact in cause.facts:
        if fact.name in _NAMED:
            yield _Block(_RANKS_OF_WORDS[-1], [f"    {fact.name.value} {printable(fact.value)}"])
        elif fact.form is FactForm.OUTPUT:
            words = fact.value.split("\n")[-len(_RANKS_OF_WORDS) :]
            for rank, line in zip(_RANKS_OF_WORDS[-len(words) :], words, strict=True):
                yield _Block(rank, [shortened(f"    | {printable(line)}", width)])


def _would(step: NextStep, width: int) -> Iterator[_Block]:
    """Yield what the command would do, if that is short; without a command, what else to do."""
    effects = "; ".join(step.would)
    if step.words is None:
        yield _Block(0, labeled("then", effects, width))
    elif len(lines := labeled("would", effects, width)) <= WOULD_LINES_MAX:
        yield _Block(_RANK_WOULD, lines)


def _codes(explanation: Explanation, width: int) -> Iterator[_Block]:
    """Yield the reason codes, by which programs can see why a run is blocked."""
    facts = [fact for cause in explanation.causes for fact in cause.facts]
    codes = [fact.value for fact in facts if fact.name is FactName.REASON_CODE]
    if codes:
        yield _Block(_RANK_CODES, labeled("codes", ", ".join(codes), width))


def _places(cause: Cause, width: int) -> Iterator[_Block]:
    """Yield the files to look at, the most telling first."""
    for fact in cause.facts:
        if fact.name in _PLACES:
            yield _Block(_RANK_FILES, labeled("see", fact.value, width))


def _notices(explanation: Explanation, width: int) -> Iterator[_Block]:
    """Yield further notes on the run, each in its own block."""
    about = () if explanation.subject is None else explanation.subject.lines
    yield from (_Block(_RANK_NOTICES, labeled("about", one, width)) for one in about)
    if explanation.budget is not None:
        from fsm_orchestrator.explanation.budget_words import brief_words

        if spent := brief_words(explanation.budget):
            yield _Block(_RANK_NOTICES, labeled("spent", spent, width))
    told = (*(one.sentence for one in explanation.changed_files), *explanation.warnings)
    yield from (_Block(_RANK_NOTICES, labeled("note", one, width)) for one in told)
