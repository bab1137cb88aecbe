"""The runs that a Temporal server knows, as a table for any width, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

from fsm_orchestrator.cli.formatting import age, columns
from fsm_orchestrator.cli.screen import Line, mark_of, shortened
from fsm_orchestrator.cli.style import Mark, ellipsis, lead_cells
from fsm_orchestrator.inspection.reasons import REASON_CHARACTERS_MAX
from fsm_orchestrator.temporal.listing import Listed, WorkflowCourse
from fsm_orchestrator.text.cells import cut_in_middle
from fsm_orchestrator.text.terminal import shown_line

_HEAD: Final = ("run", "stands", "state", "gate", "queue", "for", "reason")
_RUN_CELLS: Final = 34
_QUEUE_CELLS: Final = 20
_NONE: Final = "-"


def lines_of(runs: Sequence[Listed], width: int | None) -> Iterator[Line]:
    """Yield the lines of a table, each no longer than `width`."""
    if not runs:
        yield Line("the server knows no such run")
        return
    rows = [_HEAD, *(_row(one, is_narrow=width is not None) for one in runs)]
    texts = columns(rows, indent="")
    room = None if width is None else max(width - lead_cells(), 1)
    for number, text in enumerate(texts):
        fitting = text if room is None else shortened(text, room)
        if number == 0:
            yield Line(f"{'':<{lead_cells()}}{fitting}", is_dim=True)
        else:
            yield Line(fitting, _mark(runs[number - 1]))


def document_of(run: Listed) -> dict[str, Any]:
    """Return a run in its JSON form."""
    standing = run.standing
    return {
        "standing": None if standing is None else standing.value,
        "course": run.course.value,
        **dataclasses.asdict(run.stand),
    }


def _row(run: Listed, *, is_narrow: bool) -> tuple[str, ...]:
    stand, result = run.stand, run.stand.result
    cut = ellipsis()
    name, queue = stand.run_id, stand.task_queue
    if is_narrow:
        name = cut_in_middle(name, _RUN_CELLS, cut)
        queue = cut_in_middle(queue, _QUEUE_CELLS, cut)
    gates = () if result is None or stand.is_at_work else result.waiting_gates
    return (
        name,
        _standing(run),
        run.state or _NONE,
        ", ".join(gates) or _NONE,
        queue,
        age(stand.since) if stand.since else _NONE,
        _reason(run),
    )


def _standing(run: Listed) -> str:
    if run.course in {WorkflowCourse.CANCELLED, WorkflowCourse.TERMINATED}:
        return run.course.value
    return "refused" if run.standing is None else run.standing.words


def _reason(run: Listed) -> str:
    stand = run.stand
    if run.course is WorkflowCourse.WORKING:
        return f"invocation {stand.number}" if stand.number > 1 else ""
    return shortened(shown_line(run.reason), REASON_CHARACTERS_MAX)


def _mark(run: Listed) -> Mark:
    return Mark.BAD if run.standing is None else mark_of(run.standing)
