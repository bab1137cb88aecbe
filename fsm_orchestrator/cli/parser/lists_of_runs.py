"""The parameters of the commands that show many runs, and the type for where runs stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    NonEmpty,
    Once,
    Section,
    Since,
    Whole,
    Word,
)
from fsm_orchestrator.cli.parser.parts import argument, earlier_run, json_option
from fsm_orchestrator.model.listing import UNREADABLE, WORST_FIRST, Order
from fsm_orchestrator.model.option_kinds import Bounds

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_WORDS: Final = (UNREADABLE, *(one.value for one in WORST_FIRST))
_MANY: Final = "Runs"


class Standings(click.ParamType[tuple[str, ...]]):
    """A list of standings: words, separated by commas."""

    name = "STATE,..."

    def __init__(self) -> None:
        self._word = Word(_WORDS)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the words, each checked."""
        if isinstance(value, tuple):
            return value
        return tuple(self._word.convert(one, param, ctx) for one in str(value).split(","))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Offer each word after those already typed."""
        del ctx, param
        from fsm_orchestrator.cli.parser import completion

        typed = incomplete.rpartition(",")[0]
        before = f"{typed}," if typed else ""
        return completion.beginning_with(incomplete, [before + word for word in _WORDS])


def status_parameters() -> list[click.Parameter]:
    """Return the parameters of `status`."""
    return [
        argument("output_directories", Directory("OUT"), "[OUT]...", nargs=-1),
        earlier_run(),
        *_selection(),
        Once(
            _MANY,
            "--sort",
            type=Word([one.value for one in Order]),
            help="The order: worst (the default), name, newest or oldest by when a run came to"
            " stand where it does, or longest by how long it took.",
        ),
        Section(
            _MANY,
            "--fail-if",
            multiple=True,
            type=Standings(),
            help="Exit with 1 if a run that is listed stands there: failed,blocked.",
        ),
        Section(
            _MANY,
            "--history",
            is_flag=True,
            help="List the run in OUT and those that later ones have moved to OUT/archive, the"
            " newest first.",
        ),
        Section(
            _MANY,
            "--watch",
            is_flag=True,
            help="Keep the list up to date until Ctrl-C; where it cannot be redrawn, print a"
            " line for each change.",
        ),
        json_option(),
    ]


def watch_parameters() -> list[click.Parameter]:
    """Return the parameters of `watch`."""
    return [
        argument("directories", Directory("DIR"), "[DIR]...", nargs=-1),
        *_selection(),
        Section(
            "Output",
            "--plain",
            is_flag=True,
            help="Print a line for each change, also on a terminal.",
        ),
    ]


def serve_parameters() -> list[click.Parameter]:
    """Return the parameters of `serve`."""
    port = Once(
        "Listening",
        "--port",
        type=Whole(Bounds(0, 65_535, "the number of a port,")),
        help="Listen at this port of 127.0.0.1 (default 0: any that is free).",
    )
    return [argument("directory", Directory("DIR"), "[DIR]", required=False, default="."), port]


def _selection() -> list[click.Parameter]:
    return [
        Section(
            _MANY,
            ("--state", "states"),
            multiple=True,
            type=Standings(),
            help=f"List only runs that stand there: {', '.join(_WORDS)}; several with commas.",
        ),
        Once(
            _MANY,
            "--since",
            type=Since(),
            help="List only runs that came to stand where they do since then, and those at work.",
        ),
        Section(
            _MANY,
            ("--name", "names"),
            multiple=True,
            type=NonEmpty("GLOB"),
            help="List only runs whose directory has such a name: 'build-*'. Repeatable.",
        ),
    ]
