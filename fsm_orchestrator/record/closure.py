"""Closing a run: the expected artifacts of all completed stages, judged once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.config.stage_record import settings_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.model.execution import StageExecution, own_failure
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.artifacts import (
    ArtifactProblem,
    ArtifactsVerdict,
    MayGoOn,
    judge,
    masked_paths,
    size_bytes_of,
)
from fsm_orchestrator.vocabulary import Compared, Operation, StageStatus

UNKNOWN_PATH: Final = "cannot be looked for: its path holds a secret that is not known here"


def judge_kept(settings: StageSettings) -> ArtifactsVerdict:
    """Judge the expected artifacts of a completed stage as they are now.

    One whose path is not known here counts as missing: nothing is looked for under a masked path.
    """
    masked = _unknown_artifacts(settings)
    known = tuple(one for one in settings.expected_artifacts if one not in masked)
    verdict = judge(known, None, allow_stale=True)
    unknown = tuple(ArtifactProblem(path, UNKNOWN_PATH) for path in masked)
    return verdict._replace(missing=(*verdict.missing, *unknown))


def judge_artifacts(
    checkpoint: Checkpoint,
    settings: Mapping[str, StageSettings],
    *,
    may_go_on: MayGoOn = lambda _: True,
) -> ArtifactsVerdict:
    """Judge whether what the completed stages were expected to leave is present and valid now.

    `settings` are as exact as they are known; `may_go_on` is asked while a file is read.

    Raises:
        JudgingCutShortError: `may_go_on` said no.
    """
    paths, masked = _paths_of(checkpoint, settings)
    verdict = judge(paths, None, allow_stale=True, may_go_on=may_go_on)
    unknown = tuple(ArtifactProblem(path, UNKNOWN_PATH) for path in masked)
    return verdict._replace(missing=(*verdict.missing, *unknown))


def size_of_artifacts(checkpoint: Checkpoint, settings: Mapping[str, StageSettings]) -> int:
    """Return how many bytes `judge_artifacts` would read now, at most."""
    paths, _ = _paths_of(checkpoint, settings)
    return sum(map(size_bytes_of, paths))


def _paths_of(
    checkpoint: Checkpoint, settings: Mapping[str, StageSettings]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return each path that the completed stages were expected to fill: known, and only masked."""
    stages = [settings.get(one.stage) or _as_recorded(one) for one in checkpoint.completions]
    masked = dict.fromkeys(path for one in stages for path in _unknown_artifacts(one))
    paths = dict.fromkeys(path for one in stages for path in one.expected_artifacts)
    return tuple(path for path in paths if path not in masked), tuple(masked)


def changed_artifacts(
    checkpoint: Checkpoint, verdict: ArtifactsVerdict, settings: Mapping[str, StageSettings]
) -> tuple[str, ...]:
    """Return the good artifacts that are not what they were when their stage completed."""
    digests = {
        path: artifact.sha256
        for one in checkpoint.completions
        for path, artifact in zip(
            (settings.get(one.stage) or _as_recorded(one)).expected_artifacts,
            one.artifacts,
            strict=False,  # another list, where the stage was changed and kept
        )
    }
    return tuple(
        artifact.path
        for artifact in verdict.good
        if digests.get(artifact.path, artifact.sha256) != artifact.sha256
    )


def changed_sentence(path: str) -> str:
    """Return the warning of an artifact that `changed_artifacts` found."""
    return f"{path} was changed after the stage that made it completed"


def _as_recorded(completion: Completion) -> StageSettings:
    return settings_of(completion.stage, completion.settings, {})


def _unknown_artifacts(settings: StageSettings) -> tuple[str, ...]:
    """Return the expected artifacts whose paths are known only masked, as they are shown."""
    return tuple(
        settings.expected_artifacts[one.index]
        for one in settings.hidden
        if one.field is Compared.EXPECTED_ARTIFACTS
    )


def refused_execution(
    run_id: str, verdict: ArtifactsVerdict, masker: Masker, *, at: str
) -> StageExecution:
    """Return the record of a closing that was refused for its artifacts."""
    failure = own_failure(
        run_id,
        Operation.CLOSURE_VERIFY,
        error=masker.mask(f"expected artifacts are wrong: {verdict.summary()}"),
        at=at,
    )
    return failure.model_copy(
        update={
            "status": StageStatus.ARTIFACT_MISSING,
            "missing_artifacts": masked_paths(verdict.missing, masker),
            "malformed_artifacts": masked_paths(verdict.malformed, masker),
        }
    )
