"""The config and lifecycle files of a run that have changed since the run was given them."""

from __future__ import annotations

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.preparation.decision import resumable_run
from fsm_orchestrator.preparation.inputs import InputChange, input_changes


def changed_files_of(view: InspectedRun) -> tuple[InputChange, ...]:
    """Compare the files as a resume would; return nothing for a run that no resume can change."""
    if view.saved is None or view.is_archived or view.saved.checkpoint.is_done:
        return ()
    if not view.saved.checkpoint.origins.files:
        return ()
    try:
        directory = str(view.directory)
        config = RunConfig(output_directory=directory, directory=directory, resume=True)
        return input_changes(resumable_run(config, view.saved))
    except OrchestratorError:
        return ()  # the next step says why no resume is possible
