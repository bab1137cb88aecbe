"""The values that a resume lacks: the stages that must run, and their settings that are not known.

Values are needed only if a stage must run, or may have to run again for rework, and if an expected
artifact of a completed stage must be looked for. The remedy is made here alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fsm_orchestrator.config.hidden_text import SecretReference
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.vocabulary import Compared


class LostValues(NamedTuple):
    """The unknown values of the stages that need them.

    Attributes:
        secrets: names of secrets that the environment must have.
        settings: by stage, the names of the variables that must be given again.
        undeclared: stages that must be declared again: an argument or a path of theirs holds a
            secret in a form that cannot be filled in.
    """

    secrets: tuple[str, ...]
    settings: Mapping[str, tuple[str, ...]]
    undeclared: tuple[str, ...]

    def __bool__(self) -> bool:
        """Return whether anything is lost."""
        return bool(self.secrets or self.settings or self.undeclared)

    @property
    def sentences(self) -> Iterator[str]:
        """The missing values and the reasons, as sentences."""
        if self.secrets:
            yield f"the environment does not have the secret {', '.join(self.secrets)}"
        for stage, keys in self.settings.items():
            yield (
                f"the values of {', '.join(keys)} of stage {stage!r} are gone: they are in no file"
                " of the output directory, and no private file of this directory keeps them"
            )
        for stage in self.undeclared:
            yield (
                f"settings of stage {stage!r} hold a secret in a form that was not kept, so they"
                " are known only masked"
            )

    @property
    def remedy(self) -> str:
        """The complete remedy."""
        return ", and ".join(self._steps())

    @property
    def secrets_step(self) -> str:
        """The remedy for lost secrets, before the command is typed."""
        return f"set {', '.join(self.secrets)} in the environment of the command"

    def _steps(self) -> Iterator[str]:
        if self.secrets:
            yield self.secrets_step
        given = [
            f"{option_prefix(stage)}-env {key}=VALUE"
            for stage, keys in self.settings.items()
            if stage not in self.undeclared
            for key in keys
        ]
        if given:
            yield f"give again: {' '.join(given)}"
        for stage in self.undeclared:
            option = option_prefix(stage)
            yield (
                f"declare {stage!r} again: {option}-bin with every {option}-arg, {option}-env,"
                f" {option}-secret, {option}-expected-artifact"
            )


class LostValuesError(UsageError):
    """An error for a resume that lacks values it needs.

    Attributes:
        lost: the values.
    """

    def __init__(self, why: str, lost: LostValues) -> None:
        super().__init__(f"{why}: {'; '.join(lost.sentences)}", remedy=lost.remedy)
        self.lost = lost


def stages_to_run(checkpoint: Checkpoint, rerun: tuple[str, ...]) -> tuple[str, ...]:
    """Return the stages that a resume runs, and those that a loop may make it run again."""
    lifecycle = checkpoint.lifecycle
    to_run = {
        stage
        for stage in lifecycle.stages
        if stage in rerun or checkpoint.completion_of(stage) is None
    }
    reached = {name for stage in to_run for name in lifecycle.stages_from(stage)}
    for edge in lifecycle.loops:
        if edge.source in reached and checkpoint.times_taken(edge) < (edge.at_most or 0):
            to_run.update(lifecycle.stages_from(edge.dest))
    return tuple(stage for stage in lifecycle.stages if stage in to_run)


def refuse_lost_values(settings: Mapping[str, StageSettings], stages: tuple[str, ...]) -> None:
    """Refuse a resume in which stages must run whose settings are no longer all known.

    Raises:
        LostValuesError: there are such stages.
    """
    found = {
        stage: settings[stage]
        for stage in stages
        if stage in settings and not settings[stage].is_known
    }
    if found:
        named = " and ".join(map(repr, found))
        raise LostValuesError(f"stage {named} must run", _lost(found))


def refuse_unknown_artifacts(completed: Mapping[str, StageSettings]) -> None:
    """Refuse a resume in which the path of a completed stage's artifact lacks a secret.

    It is then not known whether the artifact is there.

    Raises:
        LostValuesError: there is such a path.
    """
    names = tuple(
        dict.fromkeys(
            part.key
            for one in completed.values()
            for hidden in one.hidden
            if hidden.field is Compared.EXPECTED_ARTIFACTS
            for part in hidden.parts
            if isinstance(part, SecretReference)
        )
    )
    if names:
        raise LostValuesError(
            "cannot look for an expected artifact, because its path holds a secret",
            LostValues(names, {}, ()),
        )


def _lost(found: Mapping[str, StageSettings]) -> LostValues:
    secrets = dict.fromkeys(key for one in found.values() for key in one.missing_secrets)
    for one in found.values():
        for hidden in one.hidden:
            parts = (part for part in hidden.parts if isinstance(part, SecretReference))
            secrets.update(dict.fromkeys(part.key for part in parts))
    return LostValues(
        secrets=tuple(secrets),
        settings={stage: one.missing_values for stage, one in found.items() if one.missing_values},
        undeclared=tuple(
            stage for stage, one in found.items() if any(not text.parts for text in one.hidden)
        ),
    )
