"""The reasons, apart from gates and artifacts, that keep a done run from being closed. Pure."""

from __future__ import annotations

from fsm_orchestrator.record.checkpoint import Checkpoint


def unrun_stages(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the stages that a run passed over on its way although that was not permitted."""
    if checkpoint.allow_empty:
        return ()
    return tuple(one for one in _passed_over(checkpoint) if one not in checkpoint.skip_stages)


def has_run_nothing(checkpoint: Checkpoint) -> bool:
    """Return whether no stage ever ran in a run, and that was not permitted."""
    if checkpoint.allow_empty or any(one.attempt for one in checkpoint.executions):
        return False
    return not _passed_over(checkpoint) or bool(unrun_stages(checkpoint))


def _passed_over(checkpoint: Checkpoint) -> tuple[str, ...]:
    walked = (one for one in reversed(checkpoint.invocations) if one.transitions)
    last, earlier = next(walked, None), checkpoint.earlier
    if last is None:
        return () if earlier is None else earlier.totals.passed_over
    return last.passed_over


def ends_open(checkpoint: Checkpoint) -> tuple[bool, bool]:
    """Return whether a run had nothing to do, and whether its last stage keeps it from closing."""
    lifecycle = checkpoint.lifecycle
    if lifecycle.finally_stage is None and not any(one.exit_codes for one in lifecycle.state):
        return False, False
    from fsm_orchestrator.record import declining, last_stage  # noqa: PLC0415 - rare

    return declining.had_nothing_to_do(checkpoint), last_stage.keeps_from_closing(checkpoint)
