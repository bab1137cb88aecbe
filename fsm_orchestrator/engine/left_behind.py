"""Processes that attempts left behind: those that leaked, or lost their keeper or their run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fsm_orchestrator.processes.leftovers import end_leftovers
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import Containment, EventName

if TYPE_CHECKING:
    from fsm_orchestrator.engine.context import RunContext
    from fsm_orchestrator.model.execution import StageExecution
    from fsm_orchestrator.record.event_log import RunLogger

LEAKS_NAMED_MAX: Final = 3
LEAK_COMMAND_CHARACTERS_MAX: Final = 60


def warn_of_leaks(context: RunContext, execution: StageExecution, log: RunLogger) -> None:
    """Log each process that was left running, and warn of all of them."""
    for process in execution.leaked_processes:
        log.emit(EventName.PROCESS_LEAKED, level="warning", process=process)
    count = execution.leaked_count
    shown = [
        f"{process.pid} ({process.command[:LEAK_COMMAND_CHARACTERS_MAX]})"
        for process in execution.leaked_processes[:LEAKS_NAMED_MAX]
    ]
    named = f": {', '.join(shown)}" if shown else ""
    more = f" and {count - len(shown)} more" if shown and count > len(shown) else ""
    left = counted(count, "process")
    context.warn(
        f"stage {execution.stage!r} exited and left {left} running{named}{more}; ended now",
        stage=execution.stage,
    )


def note_lost_keeper(context: RunContext, stage: str, *, adopts: bool) -> None:
    """End what can still be found of an attempt whose keeper is gone, and record the shorter reach.

    Raises:
        OperationError: one of its processes is still alive.
    """
    attempt = context.recorder.draft.open_attempt_of(stage)
    if attempt is not None:
        end_leftovers(attempt, 0)
    context.recorder.update_invocation(containment=Containment.PROCESS_GROUP)
    rest = (
        "the processes that it started were ended by the orchestrator"
        if adopts
        else "processes that had left its session may not have been found"
    )
    context.warn(f"the keeper of stage {stage!r} was killed: {rest}", stage=stage)
