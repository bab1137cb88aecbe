"""The settings that each stage runs with: those given now, else those kept (stage_record.py)."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fsm_orchestrator.config.file_texts import in_force
from fsm_orchestrator.config.given_types import Inherited
from fsm_orchestrator.config.hidden_text import HiddenText
from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.constants import DEFAULT_LIFECYCLE
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.model import Lifecycle, State
from fsm_orchestrator.model.limits import GivenLimits
from fsm_orchestrator.model.option_kinds import INHERIT_ALL
from fsm_orchestrator.model.promises import OnUnmetered
from fsm_orchestrator.model.retry_policy import NO_RETRY, RetryPolicy
from fsm_orchestrator.model.verify_options import VERIFY_KEYS
from fsm_orchestrator.secrets.declared import asked, looks_secret
from fsm_orchestrator.text.phrases import option_prefix, own_stages, suggestion
from fsm_orchestrator.vocabulary import Compared

if TYPE_CHECKING:
    from fsm_orchestrator.model.confinement import Confine
    from fsm_orchestrator.model.contracts import Contract
    from fsm_orchestrator.model.program import Pins


class StageSettings(NamedTuple):
    """All settings that a stage runs with; paths are absolute, a bare command name stays bare.

    Values of `env` are None if only the key is known, because the private file is gone; those of
    `secrets` if they are neither in the operator's environment nor kept. `hidden` are the texts
    with a secret that is not known now: they are masked here.
    """

    command: str
    args: tuple[str, ...]
    cwd: str
    env: Mapping[str, str | None] = {}
    secrets: Mapping[str, str | None] = {}
    expected_artifacts: tuple[str, ...] = ()
    limits: GivenLimits = GivenLimits()
    retry: RetryPolicy = NO_RETRY
    confine: "Confine | None" = None
    env_inherit: Inherited = INHERIT_ALL
    allow_stale: bool = False
    on_unmetered: OnUnmetered | None = None
    task_queue: str | None = None
    pin: bool = False
    pins: "Pins | None" = None
    verify: tuple[tuple[str, ...], ...] = ()
    verify_timeout_ms: int | None = None
    clean_env: bool = True
    verify_unconfined: bool = False
    hidden: tuple[HiddenText, ...] = ()
    contracts: "tuple[Contract, ...]" = ()
    protect: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    input_program: bool = False

    @property
    def artifact_paths(self) -> tuple[str, ...]:
        """The paths of all that the stage must leave, each once: those with contracts last."""
        if not self.contracts:
            return self.expected_artifacts
        listed = (*self.expected_artifacts, *(one.path for one in self.contracts))
        return tuple(dict.fromkeys(listed))

    @property
    def must_earn(self) -> bool:
        """True if success takes more than the exit code and existing files."""
        return bool(self.contracts or self.protect or self.inputs or self.input_program)

    @property
    def missing_values(self) -> tuple[str, ...]:
        """The keys of environment pairs whose value was lost."""
        return tuple(key for key, value in self.env.items() if value is None)

    @property
    def missing_secrets(self) -> tuple[str, ...]:
        """The names of secrets whose value is not known now."""
        return tuple(key for key, value in self.secrets.items() if value is None)

    @property
    def variables(self) -> dict[str, str | None]:
        """The variables that the stage is given, settings and secrets."""
        return {**self.env, **self.secrets}

    @property
    def is_known(self) -> bool:
        """True if the stage can be run with these settings: none of them is missing."""
        return not (self.missing_values or self.missing_secrets or self.hidden)


def declared_secrets(kept: Mapping[str, StageSettings]) -> frozenset[str]:
    """Return the names of the variables that stages keep as secrets."""
    return frozenset(key for one in kept.values() for key in one.secrets)


def given_settings(
    config: RunConfig, lifecycle: Lifecycle, kept: Mapping[str, StageSettings], run_id: str
) -> dict[str, StageSettings]:
    """Merge kept settings and those given now, for every stage that has a binary.

    Raises:
        UsageError: settings for an unknown stage, or for one without a binary; a template of a
            config file that cannot be filled in; a program that is to be pinned and cannot be.
    """
    unknown = [stage for stage in config.stages if stage not in lifecycle.stages]
    if unknown:
        own = f"; {own_stages(unknown)}" if lifecycle.name == DEFAULT_LIFECYCLE else ""
        raise UsageError(
            f"the lifecycle {lifecycle.name!r} has no stage {unknown[0]!r}"
            f"{suggestion(unknown[0], lifecycle.stages)}",
            remedy=f"its stages are {', '.join(lifecycle.stages)}{own}",
        )
    given = in_force(config, run_id, declared_secrets(kept))
    merged: dict[str, StageSettings] = {}
    for stage in lifecycle.stages:
        now = given[stage] if stage in given else StageGiven()
        settings = _merge(stage, config, now, kept.get(stage))
        if settings is not None:
            merged[stage] = settings
            _refuse_senseless_retry(lifecycle.states[stage], settings)
    for stage in config.skip_stages or ():
        _refuse_senseless_skip(stage, lifecycle, merged)
    if any(one.pin for one in merged.values()):
        from fsm_orchestrator.config.program_files import pinned  # noqa: PLC0415 - rare

        return pinned(merged)
    return merged


def _refuse_senseless_skip(
    stage: str, lifecycle: Lifecycle, settings: Mapping[str, StageSettings]
) -> None:
    if stage not in lifecycle.stages:
        raise UsageError(
            f"--skip-stage {stage}: the lifecycle {lifecycle.name!r} has no such stage"
            f"{suggestion(stage, lifecycle.stages)}",
            remedy=f"its stages are {', '.join(lifecycle.stages)}",
        )
    if stage in settings:
        raise UsageError(
            f"--skip-stage {stage}: the stage has a binary, and is not passed over",
            remedy=f"leave --skip-stage {stage} out",
        )


def _refuse_senseless_retry(declared: State, settings: StageSettings) -> None:
    retry = settings.retry.over(declared.retry)
    option = option_prefix(declared.name)
    if retry.names_nothing:
        raise UsageError(
            f"stage {declared.name!r} has {retry.max_attempts} attempts, but names nothing to"
            " retry after",
            remedy=f"give {option}-retry-exit-code CODE, {option}-retry-signal SIGNAL, or"
            f" {option}-retry-timeouts",
        )
    for code, meaning in declared.meanings.items():
        if code in (retry.exit_codes or ()):
            raise UsageError(
                f"stage {declared.name!r} says {meaning.value} by exit code {code}, so it cannot be"
                " tried again after it",
                remedy="leave that code out",
            )


def _merge(
    stage: str, config: RunConfig, given: StageGiven, kept: StageSettings | None
) -> StageSettings | None:
    stored = {} if kept is None else kept.secrets
    if given.bin is not None:
        command = config.absolute(given.bin) if os.sep in given.bin else given.bin
        kept = StageSettings(command=command, args=(), cwd=config.directory)
    if given.is_empty:
        return kept
    if kept is None:
        raise UsageError(
            f"settings for stage {stage!r}, but no binary: none was given and none is kept",
            remedy=f"give {option_prefix(stage)}-bin as well",
        )
    artifacts = given.expected_artifacts
    env, secrets = _variables(kept, given, stored)
    replaced = {
        Compared.ARGS: given.args is not None,
        Compared.CWD: given.cwd is not None,
        Compared.EXPECTED_ARTIFACTS: artifacts is not None,
        Compared.VERIFICATION: given.verify is not None,
    }
    return kept._replace(
        args=kept.args if given.args is None else given.args,
        cwd=kept.cwd if given.cwd is None else config.absolute(given.cwd),
        env=env,
        secrets=secrets,
        hidden=tuple(one for one in kept.hidden if not replaced.get(one.field)),
        expected_artifacts=(
            kept.expected_artifacts
            if artifacts is None
            else tuple(dict.fromkeys(config.absolute(path) for path in artifacts))
        ),
        limits=given.limits.over(kept.limits),
        retry=kept.retry if given.retry is None else given.retry.over(kept.retry),
        env_inherit=kept.env_inherit if given.env_inherit is None else given.env_inherit,
        confine=_confine(config, given.confine, kept.confine),
        allow_stale=kept.allow_stale if given.allow_stale is None else given.allow_stale,
        on_unmetered=given.on_unmetered or kept.on_unmetered,
        task_queue=given.task_queue or kept.task_queue,
        pin=kept.pin if given.pin is None else given.pin,
        pins=None if given.pin is False else kept.pins,
        **_verifying(config, given),
        **_earned(config, given, kept),
    )


def _verifying(config: RunConfig, given: StageGiven) -> dict[str, Any]:
    """Return the given verification settings; its programs are found as those of stages are."""
    found = {key: one for key in VERIFY_KEYS if (one := getattr(given, key)) is not None}
    if given.verify is not None:
        found["verify"] = tuple(
            (config.absolute(first) if os.sep in first else first, *rest)
            for first, *rest in given.verify
        )
    return found


def _earned(config: RunConfig, given: StageGiven, kept: StageSettings) -> dict[str, Any]:
    """Return the contracts, protected paths and inputs of a stage, given now or kept."""
    paths = {
        key: getattr(kept, key)
        if listed is None
        else tuple(dict.fromkeys(map(config.absolute, listed)))
        for key, listed in (("protect", given.protect), ("inputs", given.inputs))
    }
    contracts = kept.contracts
    if given.artifact is not None:
        from fsm_orchestrator.config.given_contracts import contracts_of  # noqa: PLC0415 - rare

        contracts = contracts_of(given.artifact, config.absolute)
    program = kept.input_program if given.input_program is None else given.input_program
    return {**paths, "contracts": contracts, "input_program": program}


def _confine(
    config: RunConfig, given: "Confine | None", kept: "Confine | None"
) -> "Confine | None":
    """Return the confinement of a stage, its paths absolute."""
    if given is None:
        return kept
    paths = {
        key: tuple(dict.fromkeys(map(config.absolute, listed)))
        for key in ("write", "read")
        if (listed := getattr(given, key)) is not None
    }
    return given.model_copy(update=paths).over(kept)


def _variables(
    kept: StageSettings, given: StageGiven, stored: Mapping[str, str | None]
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Return the settings and the secrets among a stage's variables.

    A name that is declared a secret, or looks like one, is never a setting. A secret that is not
    set in the environment has the value that is `stored`, if there is one.
    """
    env, secrets = dict(kept.env), dict(kept.secrets)
    for key, value in (given.secrets or {}).items():
        found = asked(key) if value is None else value
        secrets[key] = stored.get(key) if found is None else found
    for key, text in (given.env or {}).items():
        if key not in secrets and not looks_secret(key):
            env[key] = text
        elif (given.secrets or {}).get(key) is None:
            secrets[key] = text
    return {key: value for key, value in env.items() if key not in secrets}, secrets


def signal_warnings(lifecycle: Lifecycle, settings: Mapping[str, StageSettings]) -> tuple[str, ...]:
    """Return a warning for each exit code to retry after by which a shell reports a signal."""
    policies = {
        stage: one.retry.over(lifecycle.states[stage].retry) for stage, one in settings.items()
    }
    return tuple(
        f"stage {stage!r}: retries after exit code {code}, by which a shell reports {name}; if"
        f" that is meant, name it: {option_prefix(stage)}-retry-signal {name}"
        for stage, policy in policies.items()
        for code, name in policy.meant_signals.items()
        if name not in (policy.killed_by or ())
    )


def guessed_secrets(given: StageGiven) -> tuple[str, ...]:
    """Return the names that were given as settings but are treated as secrets."""
    return tuple(
        key for key in given.env or {} if looks_secret(key) and key not in (given.secrets or {})
    )
