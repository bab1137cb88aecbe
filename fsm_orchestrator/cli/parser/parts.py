"""The parameters that several commands have, and how the work of a command is called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from fsm_orchestrator.cli.parser.parameters import Directory, EarlierRun, Once, Section, Whole
from fsm_orchestrator.model.option_kinds import ARCHIVED_KEPT


def calls(module: str, function: str) -> Callable[..., int]:
    """Return a callback that loads the command's module when it is called."""

    def callback(**parameters: Any) -> int:
        name = module.replace("-", "_")
        found = import_module(f"fsm_orchestrator.cli.commands.{name}")
        return int(getattr(found, function.replace("-", "_"))(parameters))

    return callback


class _Positional(click.Argument):
    """An argument that is called the same in a message, whether it may be left out or not."""

    def __init__(self, name: str, called: str, **settings: Any) -> None:
        super().__init__([name], **settings)
        self._called = called

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return what it is called in a message."""
        del ctx
        return f"'{self._called}'"


def argument(
    name: str, kind: click.ParamType[Any], metavar: str = "", called: str = "", **settings: Any
) -> click.Argument:
    """Return an argument; it is named by its type unless `metavar` or `called` say otherwise."""
    shown = metavar or kind.name
    return _Positional(name, called or kind.name, type=kind, metavar=shown, **settings)


def output_directory() -> click.Argument:
    """Return OUT for a command that needs one."""
    return argument("output_directory", Directory("OUT"))


def place() -> click.Argument:
    """Return OUT for a command that looks at one: the current directory unless given."""
    return argument("output_directory", Directory("OUT"), "[OUT]", required=False, default=".")


def json_option() -> click.Option:
    """Return the option for the result as JSON."""
    return Section(
        "Output",
        ("--json", "as_json"),
        is_flag=True,
        help="Print the result as JSON instead of text.",
    )


def in_full_option(help_text: str) -> click.Option:
    """Return the option for the whole of what is shown in brief without it."""
    return Section("Output", ("--all", "in_full"), is_flag=True, help=help_text)


def keep_archived_option(section: str) -> click.Option:
    """Return the option for how many archived runs an invocation leaves."""
    return Once(
        section,
        "--keep-archived",
        type=Whole(ARCHIVED_KEPT),
        help="How many archived runs to leave in OUT when this one has ended: the oldest are"
        " removed (default: none is).",
    )


def earlier_run() -> click.Option:
    """Return the option that selects a run in OUT, for the commands that look at one."""
    return Once(
        "Run",
        "--run-id",
        type=EarlierRun(),
        help="An earlier run in OUT, which a later one moved to OUT/archive.",
    )
