"""Closing a run: the expected artifacts of all completed stages, judged once more."""

from __future__ import annotations

from collections.abc import Mapping

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.model.execution import StageExecution, own_failure
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.artifacts import (
    ArtifactsVerdict,
    judge,
    masked_artifacts,
    masked_paths,
)
from fsm_orchestrator.vocabulary import Operation, StageStatus


def judge_artifacts(
    checkpoint: Checkpoint, settings: Mapping[str, StageSettings]
) -> ArtifactsVerdict:
    """Judge whether what the completed stages were expected to leave is present and valid now.

    `settings` are the exact ones; a path that is known only masked counts as missing.
    """
    paths = (
        path
        for one in checkpoint.completions
        for path in (
            settings[one.stage].expected_artifacts
            if one.stage in settings
            else one.settings.expected_artifacts
        )
    )
    return judge(tuple(dict.fromkeys(paths)), None, allow_stale=True)


def changed_artifacts(
    checkpoint: Checkpoint, verdict: ArtifactsVerdict, masker: Masker
) -> tuple[str, ...]:
    """Return the good artifacts that are not what they were when their stage completed."""
    digests = {
        artifact.path: artifact.sha256
        for completion in checkpoint.completions
        for artifact in completion.artifacts
    }
    return tuple(
        artifact.path
        for artifact in masked_artifacts(verdict, masker)
        if digests.get(artifact.path, artifact.sha256) != artifact.sha256
    )


def refused_execution(
    run_id: str, verdict: ArtifactsVerdict, masker: Masker, *, at: str
) -> StageExecution:
    """Return the record of a closing that was refused for its artifacts."""
    failure = own_failure(
        run_id,
        Operation.CLOSURE_VERIFY,
        error=masker.mask_path(f"expected artifacts are wrong: {verdict.summary()}"),
        at=at,
    )
    return failure.model_copy(
        update={
            "status": StageStatus.ARTIFACT_MISSING,
            "missing_artifacts": masked_paths(verdict.missing, masker),
            "malformed_artifacts": masked_paths(verdict.malformed, masker),
        }
    )
