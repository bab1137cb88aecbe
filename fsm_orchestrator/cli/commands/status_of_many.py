"""`status` of many runs: a list, live on request, and its exit code for a monitor."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.cli.run_list import Asked, write_list
from fsm_orchestrator.constants import ARCHIVE_DIRECTORY
from fsm_orchestrator.disk import archive
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.looking import overview_of, overview_of_archived
from fsm_orchestrator.inspection.many_runs import ManyRuns
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.run_directories import is_run_directory, runs_in
from fsm_orchestrator.inspection.selecting import Selection
from fsm_orchestrator.model.listing import UNREADABLE, Order
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Standing

COLLECT_AFTER: Final = 10_000
"""The value for `gc.set_threshold`: data read of thousands of runs must not stay until the end."""


def status_of_many(
    parameters: Mapping[str, Any], typed: Sequence[str], outputs: Sequence[Path]
) -> int:
    """Write the list; return 0, or 1 if a run cannot be read or stands where --fail-if names."""
    gc.set_threshold(COLLECT_AFTER)
    asked = Asked(
        selection=selection_of(parameters),
        order=None if parameters["sort"] is None else Order(parameters["sort"]),
        failing=_standings(parameters["fail_if"]),
        parent=_parent(typed, outputs, is_history=parameters["history"]),
        is_history=parameters["history"],
    )
    as_json = parameters["as_json"]
    if parameters["watch"]:
        if as_json or asked.failing or asked.is_history:
            raise UsageError(
                "--watch shows runs until Ctrl-C: not with --json, --fail-if or --history",
                remedy="leave --watch out: the list is then written once",
            )
        from fsm_orchestrator.cli.run_frames import ListFrame
        from fsm_orchestrator.cli.watching import places_of, watch

        many = ManyRuns(places_of(typed, outputs))
        return watch(many, ListFrame(asked), asked.selection, is_plain=False)
    if parameters["history"]:
        if asked.order is None:
            asked = asked._replace(order=Order.NEWEST)
        return write_list(_history(typed, outputs), asked, as_json=as_json)
    named = runs_in(zip(typed, outputs, strict=True))
    takes_name = asked.selection.takes_name
    return write_list(
        (overview_of(path, name) for name, path in named if takes_name(path.name)),
        asked,
        as_json=as_json,
    )


def selection_of(parameters: Mapping[str, Any]) -> Selection:
    """Return which runs were asked for."""
    return Selection(
        standings=_standings(parameters["states"]),
        since=parameters["since"],
        names=tuple(parameters["names"]),
    )


def _standings(lists: Sequence[Sequence[str]]) -> frozenset[Standing | None]:
    words = [word for words in lists for word in words]
    return frozenset(None if word == UNREADABLE else Standing(word) for word in words)


def _parent(typed: Sequence[str], outputs: Sequence[Path], *, is_history: bool) -> str | None:
    """Return the one directory that all the runs are in, or None."""
    if len(typed) != 1 or (is_run_directory(outputs[0]) and not is_history):
        return None
    return typed[0]


def _history(typed: Sequence[str], outputs: Sequence[Path]) -> Iterator[RunOverview]:
    """Return the run in OUT, and those in its archive.

    Raises:
        UsageError: OUT is not the directory of one run.
    """
    archived = sorted(archive.archived_run_ids(outputs[0]))
    if len(typed) > 1 or not (archived or is_run_directory(outputs[0])):
        raise UsageError(
            f"--history lists the runs of one OUT, and {copyable(typed[-1])} has none of its own",
            remedy="name the output directory of a run",
        )
    return _present_and_archived(typed[0], outputs[0], archived)


def _present_and_archived(
    typed: str, output: Path, archived: Sequence[str]
) -> Iterator[RunOverview]:
    if is_run_directory(output):
        yield overview_of(output, typed)
    for run_id in archived:
        shown = os.path.join(typed, ARCHIVE_DIRECTORY, run_id)
        yield overview_of_archived(output, run_id, shown)
