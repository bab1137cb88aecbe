"""Writes a configuration as a config file, for `--print-config`, without secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import tomli_w

from fsm_orchestrator.config.file_texts import (
    TEXT_KEYS,
    as_in_a_file,
    is_path,
    texts_of,
    value_of,
)
from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.config.stage_settings import guessed_secrets
from fsm_orchestrator.config.templates import is_absolute
from fsm_orchestrator.constants import SCHEMA_VERSION
from fsm_orchestrator.disk.where import RelativeTo
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.source import is_name
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.text.hidden import HIDDEN, copyable
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.vocabulary import OnChangedStage


def config_text(config: RunConfig, base: str | None = None) -> str:
    """Return `config` as a config file, without OUT, that requests the same run as `config`.

    It declares secrets; comments at the top name those whose values are to be set. Its relative
    paths are relative to `base`, an absolute path, which is then always named in it; without
    `base`, to the directory where the command is typed.

    Raises:
        UsageError: another setting holds a secret, and would have to be left out.
    """
    masker = Masker(config.known_secrets())
    if config.sources or config.subject is not None:
        from fsm_orchestrator.config.asked_texts import as_in_a_file as tables_in_a_file  # noqa: PLC0415 - rare

        config = tables_in_a_file(config)
    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    fields = (
        *("lifecycle", "run_id", "timeout_ms", "kill_grace_ms", "on_leak", "fixed_clock"),
        *("requester", "run_timeout_ms", "total_timeout_ms", "reverify", "allow_empty"),
        *("keep_archived", "task_queue"),
    )
    document |= {
        field: getattr(config, field) for field in fields if getattr(config, field) is not None
    }
    if config.on_changed_stage is not OnChangedStage.REFUSE:
        document["on_changed_stage"] = config.on_changed_stage.value
    for flag in ("resume", "resume_or_start", "log_output", "telemetry", "keep_secrets"):
        if getattr(config, flag):
            document[flag] = True
    named = {"rerun": config.rerun, "skip_stages": config.skip_stages}
    document |= {key: list(stages) for key, stages in named.items() if stages}
    tables = {"budget": config.budget, "gates": config.gates}
    document |= {name: dict(table) for name, table in tables.items() if table}
    if config.notify is not None:
        document["notify"] = [
            one.based(config.directory).model_dump(mode="json", exclude_defaults=True)
            for one in config.notify
        ]
    if config.subject is not None:
        document["subject"] = config.subject.model_dump(mode="json", exclude_none=True)
    for gate, source in config.sources.items():
        if masker.hides(source.words):
            raise UsageError(
                f"a config file cannot be printed: the source of the gate {gate} holds a secret",
                remedy="let its command read the secret from its environment",
            )
    if config.sources:
        document["gate"] = {
            gate: one.model_dump(mode="json", exclude_defaults=True)
            for gate, one in config.sources.items()
        }
    stages = {name: as_in_a_file(config, name) for name in config.stages}
    if stages:
        document["stage"] = {name: _stage(name, given, masker) for name, given in stages.items()}
    if base is not None or _has_relative_paths(config.lifecycle, stages.values()):
        document = {"relative_to": base or RelativeTo.CWD.value, **document}
    table = _escaped(tomli_w.dumps(document, multiline_strings=False))
    text = "".join(_notes(config)) + table
    if masker.hides(text):
        raise UsageError(
            "a config file cannot be printed: a name or path in it holds a secret (not shown)",
            remedy="rename it, or give the secret another value",
        )
    return text


def _escaped(text: str) -> str:
    """Escape the hidden characters of TOML, which are all in quotes."""
    return HIDDEN.sub(lambda match: f"\\U{ord(match[0]):08x}", text.replace("\t", "\\t"))


def _has_relative_paths(lifecycle: str | None, stages: Iterable[StageGiven]) -> bool:
    """Return whether the meaning of the file depends on its directory."""
    if lifecycle is not None and not (is_name(lifecycle) or os.path.isabs(lifecycle)):
        return True
    return not all(is_absolute(text) for given in stages for text in _paths(given))


def _paths(given: StageGiven) -> Iterator[str]:
    for name in TEXT_KEYS:
        texts = texts_of(name, value_of(given, name))
        yield from (text for key, text in texts if is_path(key, text))
    if given.artifact:
        from fsm_orchestrator.config.contract_texts import paths_of  # noqa: PLC0415 - rare

        yield from paths_of(given)


def _stage(name: str, given: StageGiven, masker: Masker) -> dict[str, Any]:
    _refuse_hidden(name, given, masker)
    secrets = _secrets(given)
    table = given.model_dump(mode="json", exclude_none=True, exclude={"env", "secrets", "artifact"})
    if given.artifact is not None:
        from fsm_orchestrator.config.given_contracts import table_of  # noqa: PLC0415 - rare

        table["artifact"] = [table_of(one) for one in given.artifact]
    env = {key: value for key, value in (given.env or {}).items() if key not in secrets}
    if env:
        table["env"] = env
    if secrets:
        table["secrets"] = list(secrets)
    return table


def _refuse_hidden(name: str, given: StageGiven, masker: Masker) -> None:
    """Refuse settings that hold a secret: without them the file would request something else.

    Raises:
        UsageError: there are such settings.
    """
    secrets = _secrets(given)
    settings = [value for key, value in (given.env or {}).items() if key not in secrets]
    texts = {
        "bin": () if given.bin is None else (given.bin,),
        "arg": given.args or (),
        "env": settings,
        "expected-artifact": given.expected_artifacts or (),
        "cwd": () if given.cwd is None else (given.cwd,),
        "verify": [one for command in given.verify or () for one in command],
    }
    for suffix, values in texts.items():
        if any(map(masker.hides, values)):
            raise UsageError(
                f"a config file cannot be printed: {option_prefix(name)}-{suffix} holds a secret",
                remedy="let the stage read the secret from its environment",
            )


def _secrets(given: StageGiven) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(given.secrets or {}), *guessed_secrets(given))))


def _notes(config: RunConfig) -> Iterator[str]:
    for name, given in config.stages.items():
        for key in _secrets(given):
            option = f"{option_prefix(name)}-secret {copyable(key)}"
            yield f"# {option}: its value is not printed, and is taken from the environment\n"
