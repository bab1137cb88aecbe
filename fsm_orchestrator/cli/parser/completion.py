"""Looks up the names and ids to offer while somebody types.

Light, because a key press waits for it, and silent: a file that cannot be read offers nothing.
Click decides where a candidate fits, and each shell's script how it is shown. Paths are never
listed here: the shells do that, and quote what they list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from fsm_orchestrator.cli.parser.prescan import Prescan, kept_declared
from fsm_orchestrator.constants import ARCHIVE_DIRECTORY, RUN_ID_PATTERN
from fsm_orchestrator.disk import archive
from fsm_orchestrator.lifecycle import source as lifecycle_names


def beginning_with(incomplete: str, names: Iterable[str]) -> list[CompletionItem[str]]:
    """Return the names that begin with what is typed so far."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def directories(incomplete: str) -> list[CompletionItem[str]]:
    """Let the shell offer directories."""
    return [CompletionItem(incomplete, type="dir")]


def paths(incomplete: str) -> list[CompletionItem[str]]:
    """Let the shell offer files, and the directories on the way to them."""
    return [CompletionItem(incomplete, type="file")]


def shipped_lifecycles(incomplete: str) -> list[CompletionItem[str]]:
    """Return the names of the built-in lifecycles."""
    return beginning_with(incomplete, lifecycle_names.shipped_names())


def archived_runs(ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """Return the ids of the runs in the archive of the OUT that was typed."""
    output = _output_directory(ctx)
    if output is None:
        return []
    found = sorted(
        name
        for name in archive.archived_run_ids(output)
        if re.fullmatch(RUN_ID_PATTERN, name) and os.path.isdir(output / ARCHIVE_DIRECTORY / name)
    )
    return beginning_with(incomplete, found)


def stages(
    ctx: click.Context, incomplete: str, of_lifecycle: Sequence[str]
) -> list[CompletionItem[str]]:
    """Return the stages of the run in the OUT that was typed, or else those of the lifecycle."""
    output = _output_directory(ctx)
    kept = () if output is None else kept_declared(output).stages
    return beginning_with(incomplete, kept or of_lifecycle)


def _output_directory(ctx: click.Context) -> Path | None:
    """Return OUT from the prescan: click has not read it while an option still lacks its value."""
    found = ctx.find_object(Prescan)
    if found is None or found.output_directory is None:
        return None
    return Path(found.output_directory)
