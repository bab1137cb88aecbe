"""The kept form of a stage's settings.

`StageRecord` goes into the output directory, without environment values; the values that are kept
go into the private file.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Self

from fsm_orchestrator.config.given_types import Commands, Inherited, Text
from fsm_orchestrator.config.hidden_text import (
    HiddenText,
    Hider,
    Place,
    SecretReference,
    SecretValues,
    keyed_digest,
    texts_of,
)
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.model.base import Many, StrictModel, TaskQueue
from fsm_orchestrator.model.declared import Field, left_out, model_validator
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.model.limits import LIMIT_FIELDS, LimitFields, Milliseconds
from fsm_orchestrator.model.option_kinds import INHERIT_ALL
from fsm_orchestrator.model.promises import OnUnmetered
from fsm_orchestrator.model.retry_policy import NO_RETRY, RetryPolicy
from fsm_orchestrator.model.stage_options import OPTION_OF_KEY
from fsm_orchestrator.model.verify_options import VERIFY_KEYS
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import StageSecrets
from fsm_orchestrator.vocabulary import Compared

if TYPE_CHECKING:
    from fsm_orchestrator.model.confinement import Confine
    from fsm_orchestrator.model.contracts import Contract
    from fsm_orchestrator.model.program import Pins
else:
    Contract = lazily("fsm_orchestrator.model.contracts", "Contract")
    Confine = lazily("fsm_orchestrator.model.confinement", "Confine")
    Pins = lazily("fsm_orchestrator.model.program", "Pins")


class RecordedCommand(StrictModel):
    """The command of a stage as the checkpoint keeps it."""

    command: str = Field(
        description="The binary: an absolute path, or a name looked up on PATH; masked."
    )
    args: tuple[Text, ...] = Field(
        description="Its arguments in order; known secret values are masked."
    )
    hidden: Annotated[tuple[HiddenText, ...], Many] = Field(
        description="Each text of these settings that is masked, in the form that is used."
    )
    cwd: str = Field(description="Absolute path of the directory it runs in; masked.")
    env_digests: dict[str, str] = Field(
        description=(
            "HMAC-SHA-256 in hexadecimal of each environment variable given, by its name, under a"
            " key that is not in the output directory; empty where the value was lost."
        )
    )
    secret_digests: dict[str, str] = Field(
        description=(
            "The same of each secret declared, by its name; empty where no value was known."
        )
    )
    expected_artifacts: tuple[str, ...] = Field(
        description="Absolute paths of the files that the stage must write; masked."
    )


class StageRecord(LimitFields, RecordedCommand):
    """A stage's settings as the checkpoint keeps them.

    Digests show whether an environment value is the same, without letting it be guessed.
    """

    retry: RetryPolicy | None = Field(
        description="When the stage is retried automatically; null if nothing was given."
    )
    env_inherit: Inherited | None = Field(
        description="What it inherits of the operator's environment; null for all of it."
    )
    confine: Confine | None = Field(
        description="What the stage is confined to, paths absolute; null for nothing."
    )
    allow_stale: bool = Field(description=OPTION_OF_KEY["allow_stale"].description)
    on_unmetered: OnUnmetered | None = left_out(
        None, "What it means that it metered nothing; left out if not given."
    )
    task_queue: TaskQueue | None = left_out(
        None, "The task queue of the machines that it needs; left out if not given."
    )
    pins: Pins | None = left_out(None, "The parts of its command that must no longer change.")
    verify: Commands = left_out(
        (), "The commands that verify its work, in order, each a list of words; masked."
    )
    verify_timeout_ms: Milliseconds | None = left_out(
        None, OPTION_OF_KEY["verify_timeout_ms"].description
    )
    clean_env: bool = left_out(True, OPTION_OF_KEY["clean_env"].description)
    verify_unconfined: bool = left_out(False, OPTION_OF_KEY["verify_unconfined"].description)
    contracts: tuple[Contract, ...] = left_out(
        (), "The contracts on artifacts that the stage must write."
    )
    protect: tuple[str, ...] = left_out((), "Absolute paths that the stage must leave unchanged.")
    inputs: tuple[str, ...] = left_out((), "Absolute paths, or globs, of the stage's inputs.")
    input_program: bool = left_out(False, OPTION_OF_KEY["input_program"].description)

    @property
    def artifact_paths(self) -> tuple[str, ...]:
        """The paths of everything that the stage must leave, each once, as they are recorded."""
        listed = (*self.expected_artifacts, *(one.path for one in self.contracts))
        return tuple(dict.fromkeys(listed))

    @property
    def variable_names(self) -> tuple[str, ...]:
        """The names of all variables that the stage is given."""
        return (*self.env_digests, *self.secret_digests)

    @model_validator(mode="after")
    def _refuse_gaps(self) -> Self:
        """Refuse a record without a limit: what the program writes has every key."""
        missing = [key for key in LIMIT_FIELDS if key not in self.model_fields_set]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        return self

    @model_validator(mode="after")
    def _refuse_misplaced(self) -> Self:
        """Refuse a hidden text that stands for none of the texts, or a second one for one text."""
        texts = texts_of(self.command, self.args, self.cwd, self.expected_artifacts, self.verify)
        places = {place for place, _ in texts}
        hidden = [Place(one.field, one.index) for one in self.hidden]
        if len(hidden) != len(places.intersection(hidden)):
            raise ValueError("hidden: there is no such text, or it is there twice")
        return self


def record_of(
    stage: str, settings: StageSettings, hider: Hider, kept: StageRecord | None
) -> StageRecord:
    """Return the record of `settings` for the checkpoint; `kept` has the digests of lost values."""
    known = {Place(one.field, one.index): one for one in settings.hidden}
    hidden = tuple(
        found
        for place, text in _texts(settings)
        if (found := known.get(place) or hider.hidden(stage, place, text)) is not None
    )
    masker = hider.masker
    return StageRecord(
        command=masker.mask(settings.command),
        args=masker.mask_all(settings.args),
        hidden=hidden,
        cwd=masker.mask(settings.cwd),
        env_digests=_digests(
            settings.env, hider.digest_key, {} if kept is None else kept.env_digests
        ),
        secret_digests=_digests(
            settings.secrets, hider.digest_key, {} if kept is None else kept.secret_digests
        ),
        expected_artifacts=masker.mask_all(settings.expected_artifacts),
        **settings.limits._asdict(),
        retry=None if settings.retry == NO_RETRY else settings.retry,
        env_inherit=None if settings.env_inherit == INHERIT_ALL else settings.env_inherit,
        confine=settings.confine,
        allow_stale=settings.allow_stale,
        on_unmetered=settings.on_unmetered,
        task_queue=settings.task_queue,
        pins=settings.pins,
        **_verifying_record(settings, masker),
        contracts=settings.contracts,
        protect=settings.protect,
        inputs=settings.inputs,
        input_program=settings.input_program,
    )


def _verifying_record(settings: StageSettings, masker: Masker) -> dict[str, Any]:
    """Return the record of the verification for the checkpoint; empty if there is none."""
    kept = {key: getattr(settings, key) for key in VERIFY_KEYS}
    return {**kept, "verify": tuple(map(masker.mask_all, settings.verify))}


def _digests(
    values: Mapping[str, str | None], digest_key: bytes, kept: Mapping[str, str]
) -> dict[str, str]:
    return {
        key: kept.get(key, "") if value is None else env_digest(digest_key, key, value)
        for key, value in values.items()
    }


def env_digest(digest_key: bytes, key: str, value: str) -> str:
    """Return the HMAC-SHA-256 of one environment pair, in hexadecimal."""
    return keyed_digest(digest_key, f"{key}={value}")


def settings_of(stage: str, record: StageRecord, values: SecretValues) -> StageSettings:
    """Return the settings from a checkpoint, with the secrets in `values` filled in.

    Environment settings have no values: those are in the private file.
    """
    settings = StageSettings(
        command=record.command,
        args=record.args,
        cwd=record.cwd,
        env=dict.fromkeys(record.env_digests),
        secrets={
            key: values.get(SecretReference(stage=stage, key=key)) for key in record.secret_digests
        },
        expected_artifacts=record.expected_artifacts,
        limits=record.limits,
        retry=record.retry or NO_RETRY,
        env_inherit=record.env_inherit or INHERIT_ALL,
        confine=record.confine,
        allow_stale=record.allow_stale,
        on_unmetered=record.on_unmetered,
        task_queue=record.task_queue,
        pin=record.pins is not None,
        pins=record.pins,
        **{key: getattr(record, key) for key in VERIFY_KEYS},
        contracts=record.contracts,
        protect=record.protect,
        inputs=record.inputs,
        input_program=record.input_program,
    )
    texts = {Place(one.field, one.index): one.filled_in(values) for one in record.hidden}
    exact = {place: texts.get(place) or text for place, text in _texts(settings)}

    def listed(field: Compared) -> tuple[str, ...]:
        return tuple(text for place, text in exact.items() if place.field is field)

    return settings._replace(
        command=exact[Place(Compared.COMMAND, 0)],
        args=listed(Compared.ARGS),
        cwd=exact[Place(Compared.CWD, 0)],
        expected_artifacts=listed(Compared.EXPECTED_ARTIFACTS),
        verify=_in_words(listed(Compared.VERIFICATION), record.verify),
        hidden=tuple(one for one in record.hidden if texts[Place(one.field, one.index)] is None),
    )


def _in_words(
    words: tuple[str, ...], commands: tuple[tuple[str, ...], ...]
) -> tuple[tuple[str, ...], ...]:
    """Return consecutive words as commands, each with as many words as in `commands`."""
    rest = iter(words)
    return tuple(tuple(islice(rest, len(one))) for one in commands)


def _texts(settings: StageSettings) -> Iterator[tuple[Place, str]]:
    return texts_of(
        settings.command,
        settings.args,
        settings.cwd,
        settings.expected_artifacts,
        settings.verify,
    )


def secrets_of(
    settings: Mapping[str, StageSettings], *, with_secrets: bool
) -> dict[str, StageSecrets]:
    """Return the content of the private file for the stages that are given any variables."""
    return {
        stage: StageSecrets(
            env=_known(one.env), secrets=_known(one.secrets) if with_secrets else {}
        )
        for stage, one in settings.items()
        if one.variables
    }


def _known(values: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value is not None}
