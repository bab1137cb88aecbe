"""Writes a configuration as a config file, for `--print-config`, without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tomli_w

from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.secrets.masking import MASK, Masker
from fsm_orchestrator.text.phrases import option_prefix, printable_name
from fsm_orchestrator.vocabulary import SCHEMA_VERSION, OnChangedStage


def config_text(config: RunConfig) -> str:
    """Return `config` as a config file, without OUT and environment values.

    Comments at the top list what was left out; an argument that holds a value is masked.
    """
    masker = Masker(
        value for given in config.stages.values() for value in (given.env or {}).values()
    )
    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    fields = ("lifecycle", "run_id", "timeout_ms", "kill_grace_ms", "on_leak", "fixed_clock")
    document |= {
        field: getattr(config, field) for field in fields if getattr(config, field) is not None
    }
    if config.resume:
        document["resume"] = True
    if config.on_changed_stage is not OnChangedStage.REFUSE:
        document["on_changed_stage"] = config.on_changed_stage.value
    if config.log_output:
        document["log_output"] = True
    if config.rerun:
        document["rerun"] = list(config.rerun)
    if config.gates:
        document["gates"] = {gate.value: status for gate, status in config.gates.items()}
    if config.stages:
        document["stage"] = {name: _stage(given, masker) for name, given in config.stages.items()}
    return "".join(_left_out(config, masker)) + tomli_w.dumps(document, multiline_strings=False)


def _stage(given: StageGiven, masker: Masker) -> dict[str, Any]:
    if given.args is not None:
        given = given.model_copy(update={"args": masker.mask_all(given.args)})
    return given.model_dump(mode="json", exclude_none=True, exclude={"env"})


def _left_out(config: RunConfig, masker: Masker) -> Iterator[str]:
    for name, given in config.stages.items():
        option = option_prefix(name)
        for key in given.env or {}:
            yield f"# left out, a secret: {option}-env {printable_name(key)}=...\n"
        if given.args is not None and masker.mask_all(given.args) != given.args:
            yield f"# masked, it holds a secret: {option}-arg, where it says {MASK}\n"
