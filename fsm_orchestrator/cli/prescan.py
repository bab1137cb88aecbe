"""A first look at argv: which lifecycle is meant, so that its stages' options can be made.

It knows which options take a value, so that a stage's argument `--lifecycle=x` is never taken
for ours. Light: imports nothing that `--help` does not need. What it cannot understand it leaves
to the real parser.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fsm_orchestrator import lifecycle_names
from fsm_orchestrator.cli.names import COMMANDS, STAGE_OPTION_SUFFIXES, VALUE_OPTIONS
from fsm_orchestrator.vocabulary import CHECKPOINT_FILE, DEFAULT_LIFECYCLE

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
_STAGE_OPTION: Final = re.compile(rf"--[a-z][a-z0-9-]*-(?:{'|'.join(STAGE_OPTION_SUFFIXES)})")


@dataclass(frozen=True, slots=True)
class Prescan:
    """What the first look found."""

    lifecycle: str | None
    output_directory: str | None
    resume: bool


def prescan(argv: Sequence[str]) -> Prescan:
    """The first look."""
    lifecycle: str | None = None
    positionals: list[str] = []
    resume = False
    for kind, value in _tokens(argv):
        if kind == "--lifecycle":
            lifecycle = value
        elif kind == "--resume":
            resume = True
        elif kind == "":
            positionals.append(value)
    if positionals and positionals[0] in COMMANDS:
        positionals = positionals[1:]
    return Prescan(lifecycle, positionals[0] if positionals else None, resume)


def stage_names(found: Prescan) -> tuple[str, ...]:
    """The stages of the lifecycle that is meant; empty when it cannot be read (yet)."""
    try:
        if found.lifecycle is not None:
            return lifecycle_names.stage_names(_lifecycle_text(found.lifecycle))
        kept = _kept_stages(found) if found.resume else ()
        return kept or lifecycle_names.stage_names(lifecycle_names.shipped_text(DEFAULT_LIFECYCLE))
    except OSError:
        return ()


def _tokens(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option, value) pairs; an option without a value has "", a positional has no option."""
    rest = iter(argv)
    for word in rest:
        if word == "--":
            yield from (("", positional) for positional in rest)
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            takes_value = name in VALUE_OPTIONS or _STAGE_OPTION.fullmatch(name)
            if takes_value and not equals:
                value = next(rest, "")
            yield name, value
        else:
            yield "", word


def _lifecycle_text(name_or_path: str) -> bytes:
    if name_or_path in lifecycle_names.shipped_names():
        return lifecycle_names.shipped_text(name_or_path)
    return _read(Path(name_or_path))


def _kept_stages(found: Prescan) -> tuple[str, ...]:
    """The stages of the lifecycle that a checkpoint embeds."""
    if found.output_directory is None:
        return ()
    try:
        document = json.loads(_read(Path(found.output_directory) / CHECKPOINT_FILE))
        states = document["lifecycle"]["state"]
        names = tuple(state["name"] for state in states if state["kind"] == "stage")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
    return names if all(isinstance(name, str) for name in names) else ()


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(FILE_BYTES_MAX)
