"""A bare word in the place of a command: refused unless options of a run show what it means.

Whether a word is accepted does not depend on the files on the disk: to name a directory, write it
as a path, put the word `run` before it, or give an option that only a run has.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

import click

from fsm_orchestrator.cli.parser.names import COMMANDS, FIRST_WORDS, HELP_WORD, VERSION_WORD
from fsm_orchestrator.constants import PRODUCT

_OTHER_NAMES: Final[Mapping[str, str]] = {
    "cancel": "stop OUT",
    "check": "config check FILE",
    "continue": "run OUT --resume",
    "describe": "explain OUT",
    "doctor": "selftest OUT",
    "dry-run": "plan OUT",
    "draw": "diagram LIFECYCLE",
    "graph": "diagram LIFECYCLE",
    "kill": "stop OUT --now",
    "lifecycles": "lifecycle",
    "list": "status",
    "ls": "status",
    "monitor": "watch DIR",
    "new": "init DIR",
    "output": "logs OUT",
    "prove": "verify LIFECYCLE",
    "ps": "status",
    "reject": "deny OUT",
    "restart": "run OUT --resume",
    "resume": "run OUT --resume",
    "retry": "run OUT --resume",
    "runs": "status",
    "schemas": "schema NAME",
    "show": "status OUT",
    "start": "run OUT",
    "signal": "temporal signal OUT",
    "stats": "status",
    "submit": "temporal submit OUT",
    "tail": "logs OUT --follow",
    "top": "watch DIR",
    "validate": "verify LIFECYCLE",
    "why": "explain OUT",
    "worker": "temporal worker",
}
"""The words of other programs, and the commands that do the same here."""
_OF_EVERY_COMMAND: Final = frozenset({"--json", "--run-id", "--help", "-h", "--version"})
"""Options of a run that other commands have as well: they do not show that a run is meant."""
_NEAR_MAX: Final = 2


def as_options(ctx: click.Context, args: Sequence[str]) -> list[str]:
    """Return `help run` as `run --help`, `version` as `--version`.

    Raises:
        click.UsageError: a word follows that must not.
    """
    word, *rest = args
    if word != HELP_WORD:
        if rest:
            raise click.UsageError(f"unexpected {rest[0]!r}: `version` takes nothing else", ctx)
        return ["--version"]
    if any(one.startswith("-") for one in rest):
        raise click.UsageError(f"`help` takes the name of a command ({_how_to_mean(word)})", ctx)
    if rest and rest[0] in {HELP_WORD, VERSION_WORD}:
        return ["--help"]
    if rest and rest[0] not in COMMANDS:
        raise click.UsageError(f"no command {rest[0]!r}{_hint(rest[0])}", ctx)
    return [*rest, "--help"]


def refuse_bare_word(ctx: click.Context, args: Sequence[str]) -> None:
    """Refuse a word that is neither a command, nor a path, nor OUT with options of a run.

    Raises:
        click.UsageError: it is such a word; the error names the nearest commands.
    """
    from fsm_orchestrator.cli.parser.prescan import tokens

    options: list[str] = []
    words: list[str] = []
    for name, value, _ in tokens(args):
        if name != "--":
            (options if name else words).append(name or value)
    arguments = [one for one in words if not one.startswith("-")]
    if not arguments or _is_path(arguments[0]):
        return
    word = arguments[0]
    is_of_run = any(one not in _OF_EVERY_COMMAND for one in options)
    if is_of_run and (len(arguments) == 1 or not (word in COMMANDS or _hint(word))):
        return
    if word in COMMANDS:
        raise click.UsageError(f"the command comes first: {PRODUCT} {word} ...", ctx)
    raise click.UsageError(f"no command {word!r}{_hint(word)} ({_how_to_mean(word)})", ctx)


def _is_path(word: str) -> bool:
    return not word or os.sep in word or word in {os.curdir, os.pardir}


def _hint(word: str) -> str:
    """Return what was probably meant, the nearest first."""
    if word.lower() in _OTHER_NAMES:
        return f"; here it is `{PRODUCT} {_OTHER_NAMES[word.lower()]}`"
    import difflib

    near = difflib.get_close_matches(word.lower(), FIRST_WORDS, n=_NEAR_MAX)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def _how_to_mean(word: str) -> str:
    return f"To run in a directory of that name write ./{word}, or `run {word}`"
