"""Judged artifacts as a record may name them: known values are masked in their paths."""

from __future__ import annotations

from fsm_orchestrator.model.execution import Artifact
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.artifacts import ArtifactProblem, ArtifactsVerdict


def masked_artifacts(verdict: ArtifactsVerdict, masker: Masker) -> tuple[Artifact, ...]:
    """Return the good artifacts."""
    return tuple(
        artifact.model_copy(update={"path": masker.mask_path(artifact.path)})
        for artifact in verdict.good
    )


def masked_paths(problems: tuple[ArtifactProblem, ...], masker: Masker) -> tuple[str, ...]:
    """Return the paths of the wrong ones."""
    return masker.mask_paths(problem.path for problem in problems)
