"""`config check` and `config show`: check a config file, show the settings that a run would use."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns
from fsm_orchestrator.config import config_file, config_reading
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE
from fsm_orchestrator.preparation.effective_settings import Setting, effective_settings
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.text.hidden import shell_line
from fsm_orchestrator.vocabulary import ExitCode

PLACE_HOLDER = "./out-of-config-check"
"""Stands for OUT, which a config file does not name; nothing is read or written there."""


def check_command(parameters: Mapping[str, Any]) -> int:
    """Report that a file is valid, or everything that is wrong with it."""
    name = parameters["file"]
    _prepared(config_reading.check(Path(name), name))
    console.stdout().write(f"{name}: ok\n")
    return ExitCode.DONE


def show_command(parameters: Mapping[str, Any]) -> int:
    """Print every setting and where it was set, for a config file or a run's directory."""
    name = parameters["out_or_file"]
    if os.path.isdir(name):
        preparation = prepare(RunConfig(output_directory=name, resume=True), may_lack_values=True)
        kept_in = str(Path(name) / CHECKPOINT_FILE)
        settings = effective_settings(preparation, lambda *_: kept_in)
    else:
        read = config_reading.load(Path(name), name)
        settings = effective_settings(_prepared(read), read.origin)
    if parameters["as_json"]:
        rows = [setting.model_dump(mode="json") for setting in settings]
        console.stdout().write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    else:
        lines = columns([_row(setting) for setting in settings], indent="")
        console.stdout().write("\n".join(lines) + "\n")
    return ExitCode.DONE


def _prepared(read: config_reading.ReadConfig) -> Preparation:
    """Prepare the file as a new run would, whatever it says about resuming."""
    flags = RunConfig(output_directory=PLACE_HOLDER)
    path = flags.absolute(read.name)
    content = read.content.model_copy(
        update={"resume": None, "rerun": None, "on_changed_stage": None}
    )
    config = config_file.with_file(flags, content, path, read.sha256)
    return prepare(config, may_lack_values=True)


def _row(setting: Setting) -> Sequence[str]:
    return setting.key, _shown(setting.value), setting.source


def _shown(value: str | int | bool | tuple[str, ...] | None) -> str:
    match value:
        case None | ():
            return "(none)"
        case tuple():
            return shell_line(value)
        case bool():
            return str(value).lower()
        case _:
            return str(value)
