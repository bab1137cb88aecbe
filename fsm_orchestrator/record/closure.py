"""Judges the expected artifacts of all completed stages once more, to close a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

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
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Compared, Operation, StageStatus

if TYPE_CHECKING:
    from fsm_orchestrator.model.contracts import Contract
    from fsm_orchestrator.stages.contracted import Contracted

UNKNOWN_PATH: Final = "cannot be looked for: its path holds a secret that is not known here"


class ChangedArtifact(NamedTuple):
    """An artifact that is good, but not what its stage left.

    Attributes:
        stage: the stage that it belongs to.
        path: its path.
        then: the SHA-256 of the content that the stage left, in hexadecimal.
        now: the SHA-256 of the current content, in hexadecimal.
    """

    stage: str
    path: str
    then: str
    now: str

    @property
    def name(self) -> str:
        """The path, as shown in a line of text."""
        return copyable(self.path)

    @property
    def difference(self) -> str:
        """The difference, as text for people."""
        return content_difference(self.name, self.then, self.now)


def content_difference(name: str, then: str, now: str) -> str:
    """Return as a sentence which content an artifact had when its stage completed, and has."""
    return f"{name} had the sha256 {then} when its stage completed, and has {now} now"


def changed_words(differences: Iterable[str]) -> str:
    """Return the part of a summary that lists changed artifacts; empty if there are none."""
    listed = ", ".join(differences)
    return f"changed: {listed}" if listed else ""


def wrong_artifacts(summary: str) -> str:
    """Return why a run may not be closed, from a summary of what is wrong."""
    return f"expected artifacts are wrong: {summary}"


class WorkVerdict(NamedTuple):
    """The verdict on the current state of what the completed stages have left.

    Attributes:
        artifacts: the artifacts that are present and valid, and those that are not.
        changed: those that are valid, but not what was left.
    """

    artifacts: ArtifactsVerdict
    changed: tuple[ChangedArtifact, ...]

    def below(self, directory: Path) -> WorkVerdict:
        """Return the verdict on the artifacts that are, or should be, below a directory."""

        def inside(one: ArtifactProblem | ChangedArtifact) -> bool:
            return Path(one.path).is_relative_to(directory)

        found = self.artifacts
        problems = {
            name: tuple(filter(inside, getattr(found, name)))
            for name in ("missing", "malformed", "stale")
        }
        return WorkVerdict(found._replace(**problems), tuple(filter(inside, self.changed)))

    @property
    def is_intact(self) -> bool:
        """True if everything is present, valid, and what was left."""
        return self.artifacts.is_good and not self.changed

    def summary(self) -> str:
        """Return everything that is wrong, by kind, like `ArtifactsVerdict.summary`."""
        changed = changed_words(one.difference for one in self.changed)
        return "; ".join(filter(None, (self.artifacts.summary(), changed)))


def judge_kept(
    settings: StageSettings, known: Collection[Artifact], may_go_on: MayGoOn = always
) -> ArtifactsVerdict:
    """Judge the expected artifacts of a completed stage, which left `known`, as they are now.

    An artifact whose path is not known here counts as missing: a masked path is never looked up.

    Raises:
        JudgingCutShortError: `may_go_on` said no.
    """
    return _judge([settings], known, may_go_on)


def judge_artifacts(
    checkpoint: Checkpoint,
    settings: Mapping[str, StageSettings],
    *,
    may_go_on: MayGoOn = always,
) -> WorkVerdict:
    """Judge whether what the completed stages left is present, valid and unchanged.

    `settings` are as exact as they are known; `may_go_on` is called while a file is read.

    Raises:
        JudgingCutShortError: `may_go_on` said no.
    """
    stages = [_known_of(one, settings) for one in checkpoint.completions]
    known = [one for completion in checkpoint.completions for one in completion.artifacts]
    verdict = _judge(stages, known, may_go_on)
    return WorkVerdict(verdict, changed_artifacts(checkpoint, verdict, settings))


def _judge(
    stages: Sequence[StageSettings], known: Collection[Artifact], may_go_on: MayGoOn
) -> ArtifactsVerdict:
    masked = [path for one in stages for path in _unknown_artifacts(one)]
    paths = [path for one in stages for path in one.artifact_paths if path not in masked]
    contracts = [contract for one in stages for contract in one.contracts]
    verdict = judge(
        paths,
        None,
        allow_stale=True,
        known=known,
        may_go_on=may_go_on,
        contracts=_contracted(contracts) if contracts else None,
    )
    unknown = tuple(ArtifactProblem(path, UNKNOWN_PATH) for path in dict.fromkeys(masked))
    return verdict._replace(missing=(*verdict.missing, *unknown))


def _contracted(contracts: Sequence[Contract]) -> Contracted:
    """Return the judge of the artifacts that have contracts: by their bytes, not by the terms."""
    from fsm_orchestrator.stages.contracted import Contracted  # noqa: PLC0415 - rare

    return Contracted(contracts, None, None)


def maker_of(
    checkpoint: Checkpoint, settings: Mapping[str, StageSettings], path: str
) -> Completion | None:
    """Return the first completion that was to leave an artifact, or None."""
    for one in checkpoint.completions:
        if path in _known_of(one, settings).artifact_paths:
            return one
    return None


def changed_artifacts(
    checkpoint: Checkpoint, verdict: ArtifactsVerdict, settings: Mapping[str, StageSettings]
) -> tuple[ChangedArtifact, ...]:
    """Return the good artifacts that are not what their stage left.

    A path that several stages declare belongs to the one that completed last.
    """
    left = {
        path: (one.stage, artifact.sha256)
        for one in checkpoint.completions
        for path, artifact in zip(
            _known_of(one, settings).artifact_paths,
            one.artifacts,
            strict=False,  # a different list, where the stage's settings changed since
        )
    }
    found = ((left[one.path], one) for one in verdict.good if one.path in left)
    return tuple(
        ChangedArtifact(stage, one.path, sha256, one.sha256)
        for (stage, sha256), one in found
        if sha256 != one.sha256
    )


def _known_of(completion: Completion, settings: Mapping[str, StageSettings]) -> StageSettings:
    """Return the settings of a completed stage, as exactly as they are known; else as recorded."""
    known = settings.get(completion.stage)
    return known or settings_of(completion.stage, completion.settings, {})


def _unknown_artifacts(settings: StageSettings) -> tuple[str, ...]:
    """Return the expected artifacts whose paths are known only masked, in that form."""
    return tuple(
        settings.expected_artifacts[one.index]
        for one in settings.hidden
        if one.field is Compared.EXPECTED_ARTIFACTS
    )


def refused_execution(
    run_id: str, verdict: WorkVerdict, masker: Masker, *, at: str
) -> StageExecution:
    """Return the record that a run may not be closed because of its artifacts."""
    from fsm_orchestrator.model.unmeasured import own_failure  # noqa: PLC0415 - rare

    failure = own_failure(
        run_id,
        Operation.CLOSURE_VERIFY,
        error=masker.mask(wrong_artifacts(verdict.summary())),
        at=at,
    )
    return failure.model_copy(
        update={
            "status": StageStatus.ARTIFACT_MISSING,
            "missing_artifacts": masked_paths(verdict.artifacts.missing, masker),
            "malformed_artifacts": masked_paths(verdict.artifacts.malformed, masker),
        }
    )
