"""The parameters of each command. Its work is in a module of its own, loaded when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import click

from fsm_orchestrator.cli.parser.help_texts import HELP
from fsm_orchestrator.cli.parser.names import COMMANDS, COMPLETION_SHELLS
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    EarlierRun,
    FilePath,
    LifecycleSource,
    Once,
    Section,
    ShippedLifecycle,
    StageName,
    Whole,
    one_of,
)
from fsm_orchestrator.cli.parser.sectioned import SectionedCommand
from fsm_orchestrator.model.stage_options import GRACE_MILLISECONDS, Bounds
from fsm_orchestrator.vocabulary import SchemaName

_FORMATS: Final = ("mermaid", "dot", "svg", "png", "text", "markdown")


def build_command(name: str, stages: Sequence[str]) -> click.Command | None:
    """Return the command of that name, made for these stages; None when there is none."""
    if name not in COMMANDS:
        return None
    if name == "config":
        return _config()
    return SectionedCommand(
        name,
        help=HELP[name],
        short_help=COMMANDS[name],
        params=_PARAMETERS[name](stages),
        callback=_calls(name, f"{name}_command"),
    )


def _calls(module: str, function: str) -> Callable[..., int]:
    """Return a callback that loads the command's module when it is called."""

    def callback(**parameters: Any) -> int:
        command = getattr(import_module(f"fsm_orchestrator.cli.commands.{module}"), function)
        return int(command(parameters))

    return callback


def _argument(
    name: str, kind: click.ParamType[Any], metavar: str = "", **settings: Any
) -> click.Argument:
    return click.Argument([name], type=kind, metavar=metavar or kind.name, **settings)


def _output_directory() -> click.Argument:
    return _argument("output_directory", Directory("OUT"))


def _json() -> click.Option:
    return Section(
        "Output",
        ("--json", "as_json"),
        is_flag=True,
        help="Print the result as JSON instead of text.",
    )


def _earlier_run() -> click.Option:
    """Return the option that selects a run in OUT, for the commands that look at one."""
    return Once(
        "Run",
        "--run-id",
        type=EarlierRun(),
        help="An earlier run in OUT, which a later one moved to OUT/archive.",
    )


def _planned(stages: Sequence[str]) -> list[click.Parameter]:
    from fsm_orchestrator.cli.parser.run_options import output_options, run_options

    return [_output_directory(), *run_options(stages), _json(), *output_options()]


def _run(stages: Sequence[str]) -> list[click.Parameter]:
    print_config = Section(
        "Output",
        "--print-config",
        is_flag=True,
        help="Print these options as a config file, without secrets, and do nothing else.",
    )
    return [*_planned(stages), print_config]


def _logs(stages: Sequence[str]) -> list[click.Parameter]:
    section = "Selection"
    return [
        _output_directory(),
        _argument("stage", StageName(stages), "[STAGE]", required=False),
        Section(
            section,
            ("--follow", "-f"),
            is_flag=True,
            help="Keep printing new output until the run has ended.",
        ),
        Once(
            section,
            "--attempt",
            type=Whole(Bounds(1, 999_999_999, "the number of an attempt,")),
            help="Show only this attempt (default: all of them, in order).",
        ),
        Once(
            section,
            "--lines",
            type=Whole(Bounds(0, 999_999_999, "a whole number of lines")),
            help="Show only the last N lines of each log, and what follows.",
        ),
        _earlier_run(),
    ]


def _stop(_stages: Sequence[str]) -> list[click.Parameter]:
    section = "Stopping"
    return [
        _output_directory(),
        Section(
            section,
            "--now",
            is_flag=True,
            help="Kill the stage at once instead of giving it time to end.",
        ),
        Once(
            section,
            "--wait-ms",
            type=Whole(GRACE_MILLISECONDS),
            help="How long to wait for the run to end (default 60000).",
        ),
        _json(),
    ]


def _report(_stages: Sequence[str]) -> list[click.Parameter]:
    html = Once(
        "Output",
        "--html",
        type=FilePath("FILE"),
        help="Write the report as one self-contained web page; - writes it to stdout.",
    )
    return [_output_directory(), html, _earlier_run()]


def _diagram(_stages: Sequence[str]) -> list[click.Parameter]:
    section = "Drawing"
    return [
        _argument("lifecycle", LifecycleSource("LIFECYCLE"), "[LIFECYCLE]", required=False),
        Once(
            section,
            "--format",
            type=click.Choice(_FORMATS),
            help="Default: by the name of FILE, else mermaid; of --diff, text. text and markdown"
            " are for --diff.",
        ),
        Once(
            section,
            ("-o", "--output"),
            type=FilePath("FILE"),
            help="Write it to FILE instead of stdout.",
        ),
        Once(
            section,
            "--style",
            type=click.Choice(("full", "simple")),
            help="simple: states and outcomes alone, to be seen at a glance (default: full).",
        ),
        Once(section, "--run", type=Directory("OUT"), help="Show where the run in OUT went."),
        Once(
            section,
            ("--diff", "pair"),
            nargs=2,
            metavar="OLD NEW",
            type=LifecycleSource("OLD NEW"),
            help="Show what NEW changes about OLD, names or paths.",
        ),
    ]


def _config() -> click.Group:
    check = SectionedCommand(
        "check",
        help="Report everything that is wrong with a config file.",
        params=[_argument("file", FilePath("FILE"))],
        callback=_calls("config", "check_command"),
    )
    show = SectionedCommand(
        "show",
        help="Print every setting that a run would use, and where it was set.\n\n"
        "For a config file, as a new run would take it; for OUT, as a resume would.",
        params=[_argument("out_or_file", FilePath("OUT|FILE")), _json()],
        callback=_calls("config", "show_command"),
    )
    commands = [check, show]
    return click.Group("config", commands, help=HELP["config"], short_help=COMMANDS["config"])


def _selftest(_stages: Sequence[str]) -> list[click.Parameter]:
    kills = Once(
        "Checks",
        "--kills",
        type=Whole(Bounds(1, 1000, "a whole number of runs")),
        help="Number of runs to kill and resume (default 12).",
    )
    return [_output_directory(), kills, _json()]


_PARAMETERS: Final[Mapping[str, Callable[[Sequence[str]], list[click.Parameter]]]] = {
    "run": _run,
    "plan": _planned,
    "status": lambda _: [
        _argument("output_directories", Directory("OUT"), "OUT...", nargs=-1, required=True),
        _earlier_run(),
        _json(),
    ],
    "explain": lambda _: [_output_directory(), _earlier_run(), _json()],
    "logs": _logs,
    "stop": _stop,
    "report": _report,
    "lifecycle": lambda _: [_argument("name", ShippedLifecycle("NAME"), "[NAME]", required=False)],
    "verify": lambda _: [
        _argument("lifecycles", LifecycleSource("LIFECYCLE"), "[LIFECYCLE]...", nargs=-1),
        _json(),
    ],
    "diagram": _diagram,
    "schema": lambda _: [_argument("name", one_of(SchemaName), "NAME")],
    "init": lambda _: [_argument("directory", Directory("DIR"))],
    "selftest": _selftest,
    "completion": lambda _: [_argument("shell", click.Choice(COMPLETION_SHELLS), "SHELL")],
}
