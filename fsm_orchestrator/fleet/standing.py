"""The action that a fleet takes for a run, by the run's standing."""

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
    """An action for a run."""

    START = "start"
    RESUME = "resume"
    SKIP = "skip"
    """The run is already done."""
    LEAVE = "leave"
    """The run has ended, and nobody asked to try it again."""
    WAIT = "wait"
    """Another orchestrator is at work in the run's directory."""
    REFUSE = "refuse"
    """The run can be neither started nor resumed."""


class Retries(NamedTuple):
    """The kinds of ended runs that are resumed."""

    failed: bool = False
    blocked: bool = False


class Decision(NamedTuple):
    """The action for a run, the reason, and the run's overview."""

    action: Action
    reason: str
    overview: RunOverview | None = None


def decide(directory: Path, retries: Retries) -> Decision:
    """Return the action for the run in a directory, which need not exist."""
    if not os.path.lexists(directory):
        return Decision(Action.START, "it has not been started yet")
    if os.path.isdir(directory) and not is_run_directory(directory):
        return Decision(Action.START, "there is no run in its directory yet")
    overview = overview_of(directory, str(directory))
    return decide_by(overview, retries)


def decide_by(overview: RunOverview, retries: Retries) -> Decision:
    """Return the action for a run by its overview."""
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
            if code > SIGNAL_BASE or code == ExitCode.BUSY:  # 75: it continues elsewhere
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
    """Return the exit code that a run counts with if it is left unchanged."""
    if overview.standing is Standing.NOT_CLOSABLE:
        return ExitCode.FAILED
    return ExitCode.FAILED if overview.exit_code is None else overview.exit_code
