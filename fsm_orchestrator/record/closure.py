"""Closing a run: the expected artifacts of all completed stages, judged once more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from fsm_orchestrator.config.stage_record import settings_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.model.execution import Artifact, StageExecution
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.artifacts import (
    ArtifactProblem,
    ArtifactsVerdict,
    MayGoOn,
    always,
    judge,
    masked_paths,
)
from fsm_orchestrator.vocabulary import Compared, Operation, StageStatus

UNKNOWN_PATH: Final = "cannot be looked for: its path holds a secret that is not known here"


def judge_kept(
    settings: StageSettings, known: Collection[Artifact], may_go_on: MayGoOn = always
) -> ArtifactsVerdict:
    """Judge the expected artifacts of a completed stage, which left `known`, as they are now.

    One whose path is not known here counts as missing: nothing is looked for under a masked path.

    Raises:
        JudgingCutShortError: `may_go_on` said no.
    """
    return _judge([settings], known, may_go_on)


def judge_artifacts(
    checkpoint: Checkpoint,
    settings: Mapping[str, StageSettings],
    *,
    may_go_on: MayGoOn = always,
) -> ArtifactsVerdict:
    """Judge whether what the completed stages were expected to leave is present and valid now.

    `settings` are as exact as they are known; `may_go_on` is asked while a file is read.

    Raises:
        JudgingCutShortError: `may_go_on` said no.
    """
    stages = [_known_of(one, settings) for one in checkpoint.completions]
    known = [one for completion in checkpoint.completions for one in completion.artifacts]
    return _judge(stages, known, may_go_on)


def _judge(
    stages: Sequence[StageSettings], known: Collection[Artifact], may_go_on: MayGoOn
) -> ArtifactsVerdict:
    masked = [path for one in stages for path in _unknown_artifacts(one)]
    paths = [path for one in stages for path in one.expected_artifacts if path not in masked]
    verdict = judge(paths, None, allow_stale=True, known=known, may_go_on=may_go_on)
    unknown = tuple(ArtifactProblem(path, UNKNOWN_PATH) for path in dict.fromkeys(masked))
    return verdict._replace(missing=(*verdict.missing, *unknown))


def maker_of(
    checkpoint: Checkpoint, settings: Mapping[str, StageSettings], path: str
) -> Completion | None:
    """Return the first completion that was to leave an artifact; None where there is none."""
    for one in checkpoint.completions:
        if path in _known_of(one, settings).expected_artifacts:
            return one
    return None


def changed_artifacts(
    checkpoint: Checkpoint, verdict: ArtifactsVerdict, settings: Mapping[str, StageSettings]
) -> tuple[str, ...]:
    """Return the good artifacts that are not what they were when their stage completed."""
    digests = {
        path: artifact.sha256
        for one in checkpoint.completions
        for path, artifact in zip(
            _known_of(one, settings).expected_artifacts,
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


def _known_of(completion: Completion, settings: Mapping[str, StageSettings]) -> StageSettings:
    """Return the settings of a completed stage, as exact as they are known; else as recorded."""
    known = settings.get(completion.stage)
    return known or settings_of(completion.stage, completion.settings, {})


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
    from fsm_orchestrator.model.unmeasured import own_failure  # noqa: PLC0415 - rare

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
