"""`config check` and `config show`: check a config file, show the settings that a run would use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line, sentences, shown_path
from fsm_orchestrator.cli.request import looked_at
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.config import config_file, config_reading
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE
from fsm_orchestrator.disk.where import record_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.spelled_out import NAMES_OF
from fsm_orchestrator.model.stage_options import BOUNDS
from fsm_orchestrator.preparation.effective_settings import Setting, effective_settings, setting
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.text.hidden import copyable, shell_line
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import as_typed
from fsm_orchestrator.vocabulary import ExitCode

PLACE_HOLDER = "./out-of-config-check"
"""A stand-in for OUT, which a config file does not name; nothing is read or written there."""
VALUE_WIDTH_MIN: Final = 20
"""The minimum room for a value next to the other columns; with less, it wraps below them."""
_OUT, _RUN_ID = "{out}", "{run_id}"


def check_command(parameters: Mapping[str, Any]) -> int:
    """Report that a file is valid, or everything that is wrong with it."""
    name = parameters["file"]
    _prepared(config_reading.check(Path(name), name))
    console.stdout().write(f"{copyable(name)}: ok\n")
    return ExitCode.DONE


def show_command(parameters: Mapping[str, Any]) -> int:
    """Print every setting and where it was set, for a config file or a run's directory."""
    name, output = parameters["out_or_file"], parameters["output_directory"]
    if os.path.isdir(name):
        if output is not None:
            raise UsageError(
                f"unexpected {output!r}: {copyable(name)} is a directory, and OUT already",
                remedy="leave it out, or name a config file before it",
            )
        config = looked_at(RunConfig(output_directory=name, resume=True))
        preparation = prepare(config, may_lack_values=True)
        kept_in = str(record_of(Path(name)) / CHECKPOINT_FILE)
        settings = effective_settings(preparation, lambda *_: kept_in)
    else:
        read = config_reading.load(Path(name), name)
        preparation = _prepared(read, output or PLACE_HOLDER)
        settings = effective_settings(preparation, read.origin, read.content)
        settings = tuple(_with_templates(settings, preparation, is_out_known=output is not None))
    if parameters["as_json"]:
        rows = [one.model_dump(mode="json") for one in settings]
        console.stdout().write(json_text(rows) + "\n")
    else:
        out = console.stdout()
        out.show(shown(_lines(settings, name, prose_width(out), in_full=parameters["in_full"])))
    return ExitCode.DONE


def _with_templates(
    settings: Iterable[Setting], preparation: Preparation, *, is_out_known: bool
) -> Iterator[Setting]:
    """Yield settings with templates for values that only a run has: its id, and perhaps OUT."""
    unknown = {preparation.checkpoint.run_id: _RUN_ID}
    if preparation.config.run_id is not None:
        unknown.clear()
    if not is_out_known:
        unknown[str(preparation.config.output_path)] = _OUT

    def shown(text: str) -> str:
        for known, template in unknown.items():
            text = text.replace(known, template)
        return text

    for one in settings:
        match one.value:
            case tuple(texts):
                yield one.model_copy(update={"value": tuple(map(shown, texts))})
            case str(text):
                yield one.model_copy(update={"value": shown(text)})
            case _:
                yield one


def _prepared(read: config_reading.ReadConfig, output: str = PLACE_HOLDER) -> Preparation:
    """Prepare the file as a new run would, ignoring its settings about resuming."""
    flags = RunConfig(output_directory=output)
    path = flags.absolute(read.name)
    content = read.content.model_copy(
        update=dict.fromkeys(("resume", "resume_or_start", "rerun", "on_changed_stage", "reverify"))
    )
    config = config_file.with_file(flags, content, path, read.sha256)
    return prepare(config, may_lack_values=True)


def _lines(settings: Sequence[Setting], name: str, width: int, *, in_full: bool) -> Iterator[Line]:
    """Yield a line for each setting that was set, or for all: key, where it was set, value."""
    rows = [_as_typed(one) for one in settings if one.is_set or in_full]
    sources = {one.key: copyable(one.source) for one in rows}
    if len(set(sources.values())) == 1:
        yield Line(f"from {next(iter(sources.values()))}")
        sources = dict.fromkeys(sources, "")
    key_width, source_width = (
        max(map(len, texts), default=0) for texts in (sources, sources.values())
    )
    for one in rows:
        source = f"{sources[one.key]:<{source_width}}  " if source_width else ""
        lead = f"{one.key:<{key_width}}  {source}"
        has_room = width - len(lead) >= VALUE_WIDTH_MIN
        hanging = " " * (len(lead) if has_room else key_width + 2)
        for line in sentences(_shown(one.value) or "''", width, indent=lead, hanging=hanging):
            yield Line(line, is_dim=not one.is_set)
    if any(_OUT in _shown(one.value) for one in rows):
        command = command_line("config", "show", name, "OUT")
        yield Line(f"{_OUT} is the run's directory: {command} fills it in", is_dim=True)
    left = len(settings) - len(rows)
    if left:
        command = command_line("config", "show", shown_path(name), "--all")
        have = "has its default" if left == 1 else "have their defaults"
        yield Line(f"{counted(left, 'other')} {have}: {command}", is_dim=True)


def _as_typed(one: Setting) -> Setting:
    """Return a setting as people type it: `timeout` and `2m` for `timeout_ms` and 120000."""
    *path, key = one.path
    bounds = BOUNDS.get(key)
    if bounds is None or bounds.measure is None:
        return one
    source = f"as {NAMES_OF[key]}" if one.source == f"as {key}" else one.source
    value = as_typed(one.value, bounds.measure) if type(one.value) is int else one.value
    return setting((*path, NAMES_OF[key]), value, source, is_set=one.is_set)


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
