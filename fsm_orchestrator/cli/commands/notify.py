"""`notify`: tries the notices of the ends of runs, before a night depends on them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import sentences
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.config import config_reading
from fsm_orchestrator.config.notice import Notice
from fsm_orchestrator.disk.where import absolute, base_of, current_directory, record_of
from fsm_orchestrator.engine.surroundings import Surroundings
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.told_ends import ToldEnd
from fsm_orchestrator.notices.trying import Tried, try_all
from fsm_orchestrator.processes.adoption import adopt_orphans
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.vocabulary import ExitCode, HeldBy


def notify_command(parameters: Mapping[str, Any]) -> int:
    """Try the notices; return 1 if one was not delivered."""
    typed, named = parameters["out_or_file"], parameters["event"]
    event = None if named is None else ToldEnd(named)
    notices = _notices(typed)
    if not any(event is None or event in one.on for one in notices):
        what = "[[notify]]" if event is None else f"[[notify]] for {event.value}"
        raise UsageError(
            f"{copyable(typed)} has no {what}", remedy="add one: see docs/notifications.md"
        )
    interrupts = Interrupts()
    with interrupts.installed():
        adopt_orphans()
        caller = Surroundings(interrupts, None, None, HeldBy.COMMAND)
        tried = tuple(try_all(notices, event, absolute(typed), caller))
    out = console.stdout()
    if parameters["as_json"]:
        out.write(json_text({"notices": [_row(one) for one in tried]}) + "\n")
    else:
        out.show(_text(tried, prose_width(out)))
    is_good = all(one.delivery.problem is None for one in tried)
    return ExitCode.DONE if is_good else ExitCode.FAILED


def _notices(typed: str) -> tuple[Notice, ...]:
    if os.path.isdir(typed):
        return checkpoint_reader.load(record_of(absolute(typed))).notify
    read, path = config_reading.load(Path(typed), typed), absolute(typed)
    base = base_of(read.content.relative_to, os.path.dirname(path), current_directory())
    return tuple(one.based(base) for one in read.content.notify or ())


def _row(one: Tried) -> dict[str, Any]:
    return {
        "to": one.given.words,
        "event": one.event.value,
        "is_delivered": one.delivery.problem is None,
        "tries": one.delivery.tries,
        "problem": one.delivery.problem,
    }


def _text(tried: Sequence[Tried], width: int) -> str:
    below = " " * lead_cells()
    lines = []
    for one in tried:
        problem = one.delivery.problem
        said = "delivered" if problem is None else f"not delivered: {problem}"
        text = f"{one.event.value}: {one.given.words}: {said}"
        first, *rest = sentences(text, width, indent=below, hanging=below)
        mark = Mark.GOOD if problem is None else Mark.BAD
        lines += [Line(first[len(below) :], mark), *map(Line, rest)]
    return shown(lines)
