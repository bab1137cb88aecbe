"""`config check` and `config show`: check a config file, show the settings that a run would use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line, sentences, shown_path
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.config import config_file, config_reading
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE
from fsm_orchestrator.preparation.effective_settings import Setting, effective_settings
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.text.hidden import shell_line
from fsm_orchestrator.text.phrases import counted, printable
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
        settings = effective_settings(_prepared(read), read.origin, read.content)
    if parameters["as_json"]:
        rows = [setting.model_dump(mode="json") for setting in settings]
        console.stdout().write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    else:
        out = console.stdout()
        out.show(shown(_lines(settings, name, prose_width(out), in_full=parameters["in_full"])))
    return ExitCode.DONE


def _prepared(read: config_reading.ReadConfig) -> Preparation:
    """Prepare the file as a new run would, whatever it says about resuming."""
    flags = RunConfig(output_directory=PLACE_HOLDER)
    path = flags.absolute(read.name)
    content = read.content.model_copy(
        update=dict.fromkeys(("resume", "resume_or_start", "rerun", "on_changed_stage"))
    )
    config = config_file.with_file(flags, content, path, read.sha256)
    return prepare(config, may_lack_values=True)


def _lines(settings: Sequence[Setting], name: str, width: int, *, in_full: bool) -> Iterator[Line]:
    """Yield a line for each setting that was set, or for all: key, where it was set, value."""
    rows = [one for one in settings if one.is_set or in_full]
    sources = {one.key: printable(one.source) for one in rows}
    if len(set(sources.values())) == 1:
        yield Line(f"from {next(iter(sources.values()))}")
        sources = dict.fromkeys(sources, "")
    key_width, source_width = (
        max(map(len, texts), default=0) for texts in (sources, sources.values())
    )
    for one in rows:
        source = f"{sources[one.key]:<{source_width}}  " if source_width else ""
        lead = f"{one.key:<{key_width}}  {source}"
        for line in sentences(
            _shown(one.value) or "''", width, indent=lead, hanging=" " * (key_width + 2)
        ):
            yield Line(line, is_dim=not one.is_set)
    left = len(settings) - len(rows)
    if left:
        command = command_line("config", "show", shown_path(name), "--all")
        have = "has its default" if left == 1 else "have their defaults"
        yield Line(f"{counted(left, 'other')} {have}: {command}", is_dim=True)


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
