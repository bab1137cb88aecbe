"""Finds the chosen lifecycle in argv before parsing, to build the options that it declares.

It knows which options take a value, so that a stage's argument `--lifecycle=x` is never taken for
the option. Imports nothing that `--help` does not need, and leaves errors to the real parser.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.cli.parser.names import COMMANDS, GROUPS, VALUE_OPTIONS
from fsm_orchestrator.constants import CHECKPOINT_FILE, DEFAULT_LIFECYCLE
from fsm_orchestrator.disk import peek
from fsm_orchestrator.disk.files import read_bounded
from fsm_orchestrator.lifecycle import source as lifecycle_names
from fsm_orchestrator.lifecycle.source import Declared
from fsm_orchestrator.model.option_kinds import Kind
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.text.toml import NotATableError, table_of

_VALUE_SUFFIXES: Final = [
    suffix for one in STAGE_OPTIONS if one.kind is not Kind.FLAG for suffix in one.suffixes
]
_DECLARED_ENDS: Final = tuple(f"-{suffix}" for suffix in ("status", *_VALUE_SUFFIXES))
"""The endings of the options for stages and gates that lifecycles declare."""
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class Prescan(NamedTuple):
    """The result of the prescan."""

    lifecycle: str | None
    config: str | None
    output_directory: str | None
    resume: bool


def prescan(argv: Sequence[str]) -> Prescan:
    """Find the options that choose the lifecycle."""
    values: dict[str, str] = {}
    positionals: list[str] = []
    resume = False
    for kind, value, _ in tokens(argv):
        if kind in {"--lifecycle", "--config"}:
            values[kind] = value
        elif kind in {"--resume", "--resume-or-start"}:
            resume = True
        elif kind == "":
            positionals.append(value)
    if positionals and positionals[0] in COMMANDS:
        positionals = positionals[2 if positionals[0] in GROUPS else 1 :]
    return Prescan(
        lifecycle=values.get("--lifecycle"),
        config=values.get("--config"),
        output_directory=positionals[0] if positionals else None,
        resume=resume,
    )


def declared_by_chosen(found: Prescan) -> Declared:
    """Return what the chosen lifecycle declares; nothing if it cannot be read (yet)."""
    file = _config_file(found)
    lifecycle = found.lifecycle or file.get("lifecycle")
    try:
        if isinstance(lifecycle, str):
            directory = Path() if found.lifecycle else _base(found, file)
            return lifecycle_names.declared_in(lifecycle_names.text_of(lifecycle, directory))
        in_file = (file.get("resume"), file.get("resume_or_start"))
        is_resume = found.resume or True in in_file
        output = found.output_directory
        kept = kept_declared(Path(output)) if is_resume and output is not None else Declared()
        if kept.stages:
            return kept
        return lifecycle_names.declared_in(lifecycle_names.shipped_text(DEFAULT_LIFECYCLE))
    except OSError:
        return Declared()


def _config_file(found: Prescan) -> dict[str, Any]:
    """Return the content of the config file; empty if it cannot be read, which is refused later."""
    if found.config is None:
        return {}
    try:
        return table_of(read_bounded(Path(found.config), peek.RECORD_BYTES_MAX))
    except (OSError, NotATableError):
        return {}


def _base(found: Prescan, file: Mapping[str, Any]) -> Path:
    """Return the directory to which the relative paths of the config file are relative."""
    if found.config is None:
        return Path()
    from fsm_orchestrator.disk.where import base_of

    return Path(base_of(file.get("relative_to"), os.path.dirname(found.config), ""))


def without_options(argv: Sequence[str], names: Collection[str]) -> list[str]:
    """Return a command line without these options and their values, wherever they are in it."""
    return [word for name, _, words in tokens(argv) if name not in names for word in words]


class Token(NamedTuple):
    """An option with its value, or an argument: its `option` is empty."""

    option: str
    value: str
    words: tuple[str, ...]


def tokens(argv: Sequence[str]) -> Iterator[Token]:
    """Yield options, with the values that they take, and arguments, as they were typed."""
    rest = iter(argv)
    for word in rest:
        if word == "--":
            positionals = tuple(rest)
            yield Token(word, "", (word,))
            yield from (Token("", one, (one,)) for one in positionals)
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            takes_value = name in VALUE_OPTIONS or _may_be_declared(name)
            if takes_value and not equals:
                values = tuple(itertools.islice(rest, 1))
                yield Token(name, "".join(values), (word, *values))
            else:
                yield Token(name, value, (word,))
        else:
            yield Token("", word, (word,))


def _may_be_declared(name: str) -> bool:
    """Return whether a lifecycle may declare an option of this name: `--<stage>-bin`."""
    stage_at = len("--")
    return (
        name.endswith(_DECLARED_ENDS, stage_at + 1)
        and name[stage_at].isalpha()
        and _NAME_CHARACTERS.issuperset(name[stage_at:])
    )


def kept_declared(output_directory: Path) -> Declared:
    """Return what the lifecycle in a run's checkpoint declares; nothing if it cannot be used."""
    from fsm_orchestrator.disk.where import record_of

    document = peek.document(record_of(output_directory) / CHECKPOINT_FILE)
    lifecycle = document.get("lifecycle")
    return lifecycle_names.declared_by(lifecycle if isinstance(lifecycle, dict) else {})
