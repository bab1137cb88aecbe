"""The settings of a run as a whole: those that its checkpoint keeps, and those only some have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.gates.judging import have_passed, signals_in_force
from fsm_orchestrator.preparation.preparation import expected_decisions
from fsm_orchestrator.vocabulary import OnChangedStage, OnLeak

if TYPE_CHECKING:
    from fsm_orchestrator.config.notice import Notice
    from fsm_orchestrator.preparation.decision import ResumableRun


def given_of_run(config: RunConfig) -> dict[str, Any]:
    """Return the settings of a run that its checkpoint keeps as they are given."""
    return {
        "timeout_ms": config.timeout_ms,
        "kill_grace_ms": config.kill_grace_ms,
        "on_leak": config.on_leak or OnLeak.WARN,
        "allow_empty": bool(config.allow_empty),
        "skip_stages": config.skip_stages or (),
        "task_queue": config.task_queue,
        "notify": notices_given(config) or (),
    }


def notices_given(config: RunConfig) -> tuple[Notice, ...] | None:
    """Return the notices that are given, with absolute paths; None if that setting is not given."""
    given = config.notify
    return None if given is None else tuple(one.based(config.directory) for one in given)


def closing_given(config: RunConfig) -> dict[str, Any]:
    """Return the given settings that a done run takes as well: on its closing and notices."""
    given = {
        "allow_empty": config.allow_empty,
        "skip_stages": config.skip_stages,
        "notify": notices_given(config),
    }
    return {key: value for key, value in given.items() if value is not None}


def refuse_options_of_a_resume(config: RunConfig) -> None:
    """Refuse options about an earlier invocation, if there is none.

    Raises:
        UsageError: one is given.
    """
    if config.accept_record is not None:
        raise UsageError(
            "--accept-record speaks of a record to continue from, and a new run has none",
            remedy="add --resume to continue the run in this directory",
        )
    if config.rerun or config.on_changed_stage is not OnChangedStage.REFUSE:
        option = "--rerun" if config.rerun else "--on-changed-stage"
        raise UsageError(
            f"{option} speaks of completed stages, and a new run has none",
            remedy="add --resume to continue the run in this directory",
        )
    if config.as_copy or config.adopt:
        option = "--as-copy" if config.as_copy else "--adopt"
        raise UsageError(
            f"{option} speaks of a run that is continued, and this is a new one",
            remedy="add --resume to continue the run in this directory",
        )
    if config.reverify:
        raise UsageError(
            "--reverify verifies what a stage has done before, and a new run has done nothing",
            remedy="add --resume to continue the run in this directory",
        )


def may_reach_stages(run: ResumableRun) -> bool:
    """Return whether a stage can run: not if the gates before all stages refuse."""
    config, checkpoint = run.config, run.checkpoint
    gates = checkpoint.lifecycle.gates
    signals = signals_in_force(gates, config.gates, checkpoint.gate_signals, config.gate_sources)
    decisions = expected_decisions(gates, signals, {**checkpoint.sources, **config.sources})
    return have_passed(decisions, checkpoint.lifecycle.gates_before_stages)
