"""The parameters that several commands have, and the callbacks that run the commands."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    EarlierRun,
    Once,
    Section,
    TaskQueueName,
    Whole,
)
from fsm_orchestrator.model.option_kinds import ARCHIVED_KEPT, MILLISECONDS
from fsm_orchestrator.text.hidden import quoted


class UnitBudget(click.ParamType[tuple[str, str]]):
    """`UNIT=AMOUNT`, with the amount a decimal number greater than 0."""

    name = "UNIT=AMOUNT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the unit and the amount, checked."""
        if isinstance(value, tuple):
            return value
        from fsm_orchestrator.text.amounts import amount_given, is_unit

        unit, equals, text = str(value).partition("=")
        if not equals:
            self.fail(f"{quoted(unit)}: a budget is UNIT=AMOUNT, such as usd=5", param, ctx)
        if not is_unit(unit):
            self.fail(
                f"{quoted(unit)}: a unit is a name of lower-case letters, digits and _, at most 32",
                param,
                ctx,
            )
        try:
            amount = amount_given(text)
        except ValueError as error:
            self.fail(f"{quoted(text)}: {error}", param, ctx)
        if amount == "0":
            self.fail(f"{quoted(text)}: a budget is more than 0", param, ctx)
        return unit, amount


def calls(module: str, function: str) -> Callable[..., int]:
    """Return a callback that loads the command's module when it is called."""

    def callback(**parameters: Any) -> int:
        name = module.replace("-", "_")
        found = import_module(f"fsm_orchestrator.cli.commands.{name}")
        return int(getattr(found, function.replace("-", "_"))(parameters))

    return callback


class _Positional(click.Argument):
    """An argument with the same name in every message, whether it may be omitted or not."""

    def __init__(self, name: str, called: str, **settings: Any) -> None:
        super().__init__([name], **settings)
        self._called = called

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return its name in a message."""
        del ctx
        return f"'{self._called}'"


def argument(
    name: str, kind: click.ParamType[Any], metavar: str = "", called: str = "", **settings: Any
) -> click.Argument:
    """Return an argument; its type names it unless `metavar` or `called` does."""
    shown = metavar or kind.name
    return _Positional(name, called or kind.name, type=kind, metavar=shown, **settings)


def output_directory() -> click.Argument:
    """Return OUT for a command that needs one."""
    return argument("output_directory", Directory("OUT"))


def place() -> click.Argument:
    """Return OUT for a command that looks at one: by default the current directory."""
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
    """Return the option for showing in full what is otherwise shown in brief."""
    return Section("Output", ("--all", "in_full"), is_flag=True, help=help_text)


def keep_archived_option(section: str) -> click.Option:
    """Return the option for the number of archived runs that an invocation leaves."""
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


def task_queue_option(section: str) -> click.Option:
    """Return the option for the machines that the stages of a run need."""
    return Once(
        section,
        "--task-queue",
        type=TaskQueueName(),
        help="Task queue of the machines that the stages need, where an engine runs them: of those"
        " that name none themselves. Without an engine it has no effect.",
    )


def budget_options(section: str) -> list[click.Parameter]:
    """Return the options for what a run may spend over all its stages."""
    return [
        Once(
            section,
            ("--run-timeout", "--run-timeout-ms", "run_timeout_ms"),
            type=Whole(MILLISECONDS),
            help="How long each invocation may work: all stages, gates, waits and retries (default:"
            " no limit).",
        ),
        Once(
            section,
            ("--total-timeout", "--total-timeout-ms", "total_timeout_ms"),
            type=Whole(MILLISECONDS),
            help="How long all invocations of the run together may work; the time between them does"
            " not count (default: no limit).",
        ),
        Section(
            section,
            "--budget",
            multiple=True,
            type=UnitBudget(),
            help="How much of a unit the stages may spend together, as they meter it in the file"
            " ORCHESTRATOR_METER: usd=5, tokens=2000000. Repeatable, once for each unit.",
        ),
    ]
