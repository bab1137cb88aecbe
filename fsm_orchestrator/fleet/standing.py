"""What a fleet does about a run, by where that stands."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, assert_never

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.inspection.looking import overview_of
from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.run_directories import is_run_directory
from fsm_orchestrator.vocabulary import ExitCode, Standing


class Action(StrEnum):
    """What is done about a run."""

    START = "start"
    RESUME = "resume"
    SKIP = "skip"
    """It is done already."""
    LEAVE = "leave"
    """It has ended, and nobody asked to try it again."""
    WAIT = "wait"
    """Somebody else is at work in its directory."""
    REFUSE = "refuse"
    """It cannot be done anything about."""


class Retries(NamedTuple):
    """Which of the runs that have ended are resumed."""

    failed: bool = False
    blocked: bool = False


class Decision(NamedTuple):
    """What is done about a run, why, and how it stands."""

    action: Action
    reason: str
    overview: RunOverview | None = None


def decide(directory: Path, retries: Retries) -> Decision:
    """Return what is to be done about the run in a directory, which need not be there."""
    if not os.path.lexists(directory):
        return Decision(Action.START, "it has not been started yet")
    if os.path.isdir(directory) and not is_run_directory(directory):
        return Decision(Action.START, "there is no run in its directory yet")
    overview = overview_of(directory, str(directory))
    return decide_by(overview, retries)


def decide_by(overview: RunOverview, retries: Retries) -> Decision:
    """Return what is to be done about a run that stands there."""
    standing = overview.standing
    if standing is None or overview.trouble is not None:
        return Decision(Action.REFUSE, overview.trouble or "it cannot be read", overview)
    match standing:
        case Standing.DONE:
            action, reason = Action.SKIP, "it is done"
        case Standing.INTERRUPTED:
            action, reason = Action.RESUME, "it was interrupted"
        case Standing.WORKING | Standing.SUSPENDED:
            action, reason = Action.WAIT, "another orchestrator is at work on it"
        case Standing.FAILED | Standing.TIMEOUT:
            code = overview.exit_code or 0
            if code > SIGNAL_BASE or code == ExitCode.BUSY:  # that of a run which is another's
                action, reason = Action.RESUME, "it was asked to end"
            elif retries.failed:
                action, reason = Action.RESUME, f"it ended {standing.words}"
            else:
                action, reason = Action.LEAVE, f"it ended {standing.words}"
        case Standing.WAITING | Standing.BLOCKED:
            action = Action.RESUME if retries.blocked else Action.LEAVE
            reason = f"it is {standing.words}"
        case Standing.NOT_CLOSABLE:
            action, reason = Action.LEAVE, f"it is {standing.words}"
        case _:
            assert_never(standing)
    return Decision(action, reason, overview)


def code_of(overview: RunOverview) -> int:
    """Return the exit code that a run which is left as it is counts with."""
    if overview.standing is Standing.NOT_CLOSABLE:
        return ExitCode.FAILED
    return ExitCode.FAILED if overview.exit_code is None else overview.exit_code
