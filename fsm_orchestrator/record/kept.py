"""The settings that a run has left, as exactly as they are known here and now.

A checkpoint has no values of variables. Settings are filled in from the private file; secrets from
the values given now, else from the operator's environment, else from the private file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from fsm_orchestrator.config.hidden_text import SecretReference, SecretValues
from fsm_orchestrator.config.run_config import StageGiven
from fsm_orchestrator.config.stage_record import StageRecord, settings_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.secrets.declared import known
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateFile

NOTHING: Mapping[str, StageGiven] = MappingProxyType({})


class KeptSettings(NamedTuple):
    """The settings that a run has left.

    Attributes:
        stages: the settings of each stage that has a binary.
        completed: the settings that each completed stage succeeded with; of its variables, only the
            secrets.
        secrets: the values of known secrets.
    """

    stages: Mapping[str, StageSettings]
    completed: Mapping[str, StageSettings]
    secrets: SecretValues

    @property
    def masker(self) -> Masker:
        """A masker of the known secrets."""
        return Masker(self.secrets.values())


def kept_settings(saved: SavedRun, given: Mapping[str, StageGiven] = NOTHING) -> KeptSettings:
    """Return the settings that a run has left; `given` are the values given now."""
    checkpoint, private = saved.checkpoint, saved.private
    values = {
        one: value
        for one in dict.fromkeys(_references(checkpoint))
        if (value := _value(one, given, private)) is not None
    }
    stages = {
        stage: settings_of(stage, record, values) for stage, record in checkpoint.stages.items()
    }
    for stage, stored in ({} if private is None else private.stages).items():
        if stage in stages:
            found = {key: stored.env.get(key) for key in stages[stage].env}
            stages[stage] = stages[stage]._replace(env=found)
    completed = {
        one.stage: settings_of(one.stage, one.settings, values) for one in checkpoint.completed
    }
    return KeptSettings(stages, completed, values)


def _references(checkpoint: Checkpoint) -> Iterator[SecretReference]:
    """Yield every secret that a stage is given, or that a text of its settings contains."""
    for stage, record in _records(checkpoint):
        yield from (SecretReference(stage=stage, key=key) for key in record.secret_digests)
        for hidden in record.hidden:
            yield from (one for one in hidden.parts if isinstance(one, SecretReference))


def _records(checkpoint: Checkpoint) -> Iterator[tuple[str, StageRecord]]:
    yield from checkpoint.stages.items()
    yield from ((one.stage, one.settings) for one in checkpoint.completed)


def _value(
    secret: SecretReference, given: Mapping[str, StageGiven], private: PrivateFile | None
) -> str | None:
    now = given.get(secret.stage, StageGiven())
    for values in (now.secrets or {}, now.env or {}):
        value = values.get(secret.key)
        if value is not None:
            return value
    value = known(secret.key)
    stored = None if private is None else private.stages.get(secret.stage)
    return stored.secrets.get(secret.key) if value is None and stored is not None else value
