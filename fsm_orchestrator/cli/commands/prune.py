"""`prune`: removes the archived runs that are not to be kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.archived_rows import archived_lines
from fsm_orchestrator.cli.formatting import sentences
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.clock import SystemClock
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.retention.pruning import (
    Bounds,
    Pruned,
    before_now,
    output_directories,
    prune,
)
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import escaped
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import size_words
from fsm_orchestrator.vocabulary import ExitCode


def prune_command(parameters: Mapping[str, Any]) -> int:
    """Prune; return 1 if a run that is not to be kept is left."""
    keep, older_than = parameters["keep"], parameters["older_than"]
    if keep is None and older_than is None:
        raise UsageError(
            "prune needs to know what to keep",
            remedy="give --keep N, --older-than DURATION, or both: what neither keeps is removed",
        )
    place = output_directory_of(parameters["place"])
    bounds = Bounds(keep, before_now(SystemClock().now(), older_than))
    troubles: list[str] = []
    outputs = tuple(output_directories(place, troubles))
    if not outputs and troubles:
        raise CommandError(f"there is nothing to prune in sight: {'; '.join(troubles)}")
    if not outputs:
        raise UsageError(
            f"there is no run in or below {copyable(place)}",
            remedy="name an output directory, or one with output directories below it",
        )
    done = prune(outputs, bounds, is_dry_run=parameters["dry_run"], troubles=troubles)
    out = console.stdout()
    if parameters["as_json"]:
        out.write(escaped(done.model_dump_json(indent=2)) + "\n")
    else:
        out.show(shown(_lines(done, prose_width(out))))
    is_whole = not done.troubles and all(one.left is None for one in done.runs)
    return ExitCode.DONE if is_whole else ExitCode.FAILED


def _lines(done: Pruned, width: int) -> Iterator[Line]:
    """Yield the removed runs by output directory, those left and why, and the totals."""
    gone = [one for one in done.runs if one.left is None]
    verb = "would be removed" if done.is_dry_run else "removed"
    for output, runs in itertools.groupby(done.runs, key=lambda one: one.output_directory):
        yield Line(copyable(output))
        said = ((one.run, one.left and f"left: {one.left}") for one in runs)
        yield from archived_lines(said, width)
    below = " " * lead_cells()
    for trouble in done.troubles:
        first, *rest = sentences(trouble, width, indent=below, hanging=below)
        yield Line(first[len(below) :], Mark.WAITING)
        yield from map(Line, rest)
    left = len(done.runs) - len(gone)
    told = [f"{counted(len(gone), 'archived run')} {verb}, {size_words(done.freed_bytes)}"]
    told += [f"{left} left"] if left else []
    told.append(f"{done.kept} kept")
    mark = Mark.WAITING if left or done.troubles else Mark.GOOD
    yield Line("; ".join(told), mark)
