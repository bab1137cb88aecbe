"""The effects of stages that had nothing to do, from a run's record. Pure; rarely loaded."""

from __future__ import annotations

from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.vocabulary import Ending, Trigger


def had_nothing_to_do(checkpoint: Checkpoint) -> bool:
    """Return whether a stage that had nothing to do led the run to where it is."""
    walked = (one.transitions[-1] for one in reversed(checkpoint.invocations) if one.transitions)
    last = next(walked, None)
    if last is not None or checkpoint.earlier is None:
        return last is not None and last.trigger is Trigger.STAGE_DECLINED
    return any(  # the transitions were moved; the last attempt of each stage is kept
        edge.dest == checkpoint.current_state
        for one in checkpoint.earlier.executions
        if one.ending is Ending.DECLINED
        for edge in checkpoint.lifecycle.edges_from(one.stage, Trigger.STAGE_DECLINED)
    )


def owed_stages(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the stages other than the current one that began, and neither succeeded nor declined.

    The stage that always runs is never among them: it runs once more when the run has ended.
    """
    last = {one.stage: one for one in checkpoint.executions if one.is_attempt_of(one.stage)}
    return tuple(
        stage
        for stage, one in last.items()
        if stage not in {checkpoint.current_state, checkpoint.lifecycle.finally_stage}
        and one.ending is not Ending.DECLINED
        and checkpoint.completion_of(stage) is None
    )
