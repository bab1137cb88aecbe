"""Waits until a submitted run has ended, for `temporal submit --wait`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line, shown_path
from fsm_orchestrator.cli.screen import Line, mark_of, shown
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.temporal.connecting import Server
from fsm_orchestrator.temporal.listing import Listed, WorkflowCourse, looked_up
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import ExitCode, Standing

if TYPE_CHECKING:
    from temporalio.client import Client

LOOK_SECONDS: Final = 1.0
_FIRST_LOOK_SECONDS: Final = 0.05


async def waited(
    client: Client, server: Server, run_id: str, wait_ms: int, typed: str, as_json: bool
) -> int:
    """Wait, show how it ended, and return the exit code of the run; 124 once the time is over.

    Continues to wait while people can still give what a gate asks for.

    Raises:
        CommandError: the server does not answer, or refuses.
    """
    deadline, nap = time.monotonic() + wait_ms / 1000, _FIRST_LOOK_SECONDS
    while True:
        found = await looked_up(client, server, run_id)
        left = deadline - time.monotonic()
        if found is None or _has_ended(found) or left <= 0:
            break
        await asyncio.sleep(min(nap, left))
        nap = min(nap * 2, LOOK_SECONDS)
    is_over = found is not None and not _has_ended(found)
    code = ExitCode.TIMEOUT if is_over else _code(found)
    if as_json:
        document = {
            "run_id": run_id,
            "exit_code": int(code),
            "is_timed_out": is_over,
            "stand": None if found is None else dataclasses.asdict(found.stand),
        }
        console.stdout().write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        console.stdout().show(shown(_lines(found, shown_path(typed), wait_ms, is_over=is_over)))
    return code


def _has_ended(run: Listed) -> bool:
    """Return whether the run neither continues on its own nor waits for people."""
    goes_on = run.course in {WorkflowCourse.WORKING, WorkflowCourse.RETRYING}
    is_open = run.course is WorkflowCourse.WAITING and run.standing is Standing.WAITING
    return not (goes_on or is_open)


def _code(run: Listed | None) -> int:
    if run is None or run.exit_code is None:
        return ExitCode.FAILED
    return run.exit_code


def _lines(run: Listed | None, typed: str, wait_ms: int, *, is_over: bool) -> list[Line]:
    details = Line(f"  details  {command_line('explain', typed)}")
    if run is None:
        return [Line("the server no longer knows the run", Mark.BAD), details]
    if is_over:
        lines = [
            Line(f"not ended within {span_words(wait_ms)}: it continues", Mark.WAITING),
            details,
        ]
        result = run.stand.result
        if run.course is WorkflowCourse.WAITING and result is not None and result.waiting_gates:
            first = result.waiting_gates[0]
            following = command_line("temporal", "signal", typed, "--gate", first) + " VALUE"
            if first in result.approval_gates:
                following = command_line("approve", typed)
            lines += [
                Line(f"  waits    for {', '.join(result.waiting_gates)}"),
                Line(f"  next     {following}"),
            ]
        return lines
    standing = run.standing
    if standing is None:
        problem = run.stand.problem
        said = "" if problem is None else f": {problem.message}"
        remedy = [] if problem is None or not problem.remedy else [Line(f"  {problem.remedy}")]
        return [Line(f"refused{said}", Mark.BAD), *remedy]
    line = Line(f"{standing.words}{f': {run.reason}' if run.reason else ''}", mark_of(standing))
    return [line] if standing is Standing.DONE else [line, details]
