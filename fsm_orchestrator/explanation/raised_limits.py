"""The limits that stages ran into, raised, for the command that runs them again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.config.stage_record import settings_of
from fsm_orchestrator.constants import BYTES_MAX, MILLISECONDS_MAX
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.confinement import ExceededLimit
from fsm_orchestrator.model.stage_options import BOUNDS
from fsm_orchestrator.preparation.precedence import limits_in_force
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.vocabulary import Ending

_RAISED: Final = {
    Ending.TIMED_OUT: ("timeout_ms", MILLISECONDS_MAX),
    Ending.WENT_QUIET: ("idle_timeout_ms", MILLISECONDS_MAX),
    Ending.OUTPUT_LIMIT: ("output_limit_bytes", BYTES_MAX),
}
"""The limit that a stage ran into, by its ending, and the largest value of that limit."""


def raised_limits(view: InspectedRun, checkpoint: Checkpoint) -> Iterator[tuple[str, str, int]]:
    """Yield the limit that each stage ran into, doubled."""
    for execution in view.report.failures:
        record = checkpoint.stages.get(execution.stage)
        failed = execution.failed_verification
        if record is not None and failed is not None and failed.ending is Ending.TIMED_OUT:
            settings = settings_of(execution.stage, record, {})
            stage_limit = limits_in_force(checkpoint, execution.stage, settings).timeout_ms
            limit = record.verify_timeout_ms or stage_limit
            yield execution.stage, "verify_timeout_ms", min(2 * limit, MILLISECONDS_MAX)
            continue
        exceeded = execution.limit_exceeded
        raised = _RAISED.get(execution.ending) if execution.ending is not None else None
        if execution.metering is not None and execution.metering.stopped_by is not None:
            continue  # the limit was the run's
        if exceeded is not None:
            raised = (exceeded.limit.value, BOUNDS[exceeded.limit.value].most)
        if record is None or raised is None:
            continue
        field, most = raised
        limit = getattr(
            limits_in_force(checkpoint, execution.stage, settings_of(execution.stage, record, {})),
            field,
        )
        if limit is not None:
            yield execution.stage, field, min(_doubled(limit, exceeded), most)


def _doubled(limit: int, exceeded: ExceededLimit | None) -> int:
    """Return a limit, doubled until it exceeds the used amount, but at least once."""
    raised = 2 * limit
    while exceeded is not None and raised <= exceeded.used:
        raised *= 2
    return raised
