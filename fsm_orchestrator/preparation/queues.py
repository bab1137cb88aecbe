"""Refuses task queues that would keep a stage from running where it must."""

from __future__ import annotations

from collections.abc import Mapping

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.preparation.precedence import resolved_queue
from fsm_orchestrator.text.phrases import listed, option_prefix


def refuse_queues(
    lifecycle: Lifecycle, of_run: str | None, settings: Mapping[str, StageSettings]
) -> None:
    """Refuse a group whose stages need two task queues, and one for the stage that always runs.

    A group runs on one machine; the stage that always runs cleans up on the one where the run has
    ended.

    Raises:
        UsageError: there is such a queue.
    """
    for group in lifecycle.state:
        needed = {
            stage: queue
            for stage in group.stages or ()
            if stage in settings
            if (queue := resolved_queue(lifecycle, of_run, stage, settings[stage]).value)
        }
        if len(set(needed.values())) > 1:
            said = listed([f"{stage!r} on {queue!r}" for stage, queue in needed.items()])
            raise UsageError(
                f"stages of group {group.name!r} run side by side, and need different task queues:"
                f" {said}",
                remedy="give all of them the same task queue, or run them one after another",
            )
    last = lifecycle.finally_stage
    own = None if last is None or last not in settings else settings[last].task_queue
    if last is not None and own is not None:
        raise UsageError(
            f"stage {last!r} always runs where the run has ended: it cannot need the task queue"
            f" {own!r}",
            remedy=f"leave {option_prefix(last)}-task-queue out",
        )
