"""The environment of a stage that runs again for rework: its cycle, and the path of the findings.

Pure: it only reads the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.stages.environment import CYCLE_VARIABLE, REPORT_VARIABLE


def rework_environment(
    checkpoint: Checkpoint,
    stage: str,
    settings: Mapping[str, StageSettings],
    output_directory: Path,
) -> dict[str, str]:
    """Return the variables for an attempt of `stage` that is not in its first cycle.

    The findings are the first expected artifact of the stage that asked for the rework, or else its
    standard output.
    """
    environment = {CYCLE_VARIABLE: str(checkpoint.cycle_of(stage) - 1)}
    reviewer = _last_reviewer(checkpoint)
    asked = checkpoint.attempts_of(reviewer)
    if reviewer in settings and settings[reviewer].expected_artifacts:
        environment[REPORT_VARIABLE] = settings[reviewer].expected_artifacts[0]
    elif asked and asked[-1].stdout_log is not None:
        environment[REPORT_VARIABLE] = str(output_directory / asked[-1].stdout_log)
    return environment


def _last_reviewer(checkpoint: Checkpoint) -> str:
    """Return the state from which the last loop was taken, or an empty string."""
    loops = {(edge.source, edge.trigger, edge.dest) for edge in checkpoint.lifecycle.loops}
    sources = [
        one.source for one in checkpoint.transitions if (one.source, one.trigger, one.dest) in loops
    ]
    return sources[-1] if sources else ""
