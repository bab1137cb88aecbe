"""The result of verifying a bundle, as lines: the verdict, each link, and what was not verified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.bundle.verified import (
    Check,
    CheckState,
    Link,
    Verdict,
    Verification,
)
from fsm_orchestrator.cli.formatting import sentences
from fsm_orchestrator.cli.screen import Line
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.explanation.verified_words import check_words, verdict_words
from fsm_orchestrator.text.hidden import copyable

_LABEL_CELLS: Final = max(len(one) for one in Link)
_MARKS: Final = {
    CheckState.PASSED: Mark.GOOD,
    CheckState.FAILED: Mark.BAD,
    CheckState.NOT_APPLICABLE: Mark.LEFT_OUT,
    CheckState.NOT_REACHED: Mark.LEFT_OUT,
}
_VERDICTS: Final = {
    Verdict.VERIFIED: Mark.GOOD,
    Verdict.CONSISTENT: Mark.WAITING,
    Verdict.BROKEN: Mark.BAD,
}


def verification_lines(found: Verification, typed: str, width: int) -> Iterator[Line]:
    """Yield the verdict, every link, and what was not verified."""
    mark = _VERDICTS[found.verdict]
    yield from _marked(mark, f"{copyable(typed)}: {found.verdict}{verdict_words(found)}", width)
    if found.run_id is not None:
        said = f"run {found.run_id} ({found.lifecycle}){_how_it_ended(found)}"
        yield from map(Line, sentences(said, width))
    if found.judged_at is not None:
        said = f"as of {found.judged_at}, the end of the run by its own record"
        yield from map(Line, sentences(said, width))
    yield Line("")
    for check in found.checks:
        yield from _check_lines(check, width)
    if found.not_verified:
        yield Line("")
        yield Line("not verified")
        for one in found.not_verified:
            yield from _marked(Mark.WAITING, one, width)


def _how_it_ended(found: Verification) -> str:
    """Return how the run ended, if a report that was found good says so."""
    if found.closure_ready is None:
        return ""
    ended = "has no end" if found.terminal_state is None else found.terminal_state.value
    return f": {ended}{', ready to close' if found.closure_ready else ''}"


def _check_lines(check: Check, width: int) -> Iterator[Line]:
    label = f"{check.link:<{_LABEL_CELLS}}  "
    below = " " * (lead_cells() + len(label))
    room = width - lead_cells()
    is_dim = check.state in {CheckState.NOT_APPLICABLE, CheckState.NOT_REACHED}
    first, *rest = sentences(check_words(check), room, indent=label, hanging=below)
    yield Line(first, _MARKS[check.state], is_dim)
    for line in rest:
        yield Line(line, is_dim=is_dim)
    if check.means is not None:
        for line in sentences(f"so {check.means}", width, indent=below, hanging=below):
            yield Line(line)


def _marked(mark: Mark, said: str, width: int) -> Iterator[Line]:
    below = " " * lead_cells()
    first, *rest = sentences(said, width - lead_cells(), indent="", hanging=below)
    yield Line(first, mark)
    yield from map(Line, rest)
