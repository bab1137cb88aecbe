"""The parameters of the commands that design lifecycles, and check this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import click

from fsm_orchestrator.cli.parser.help_texts import HELP
from fsm_orchestrator.cli.parser.names import COMMANDS, COMPLETION_SHELLS
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    FilePath,
    LifecycleSource,
    NonEmpty,
    Once,
    Section,
    Whole,
    Word,
    one_of,
)
from fsm_orchestrator.cli.parser.parts import (
    argument,
    calls,
    earlier_run,
    in_full_option,
    json_option,
    output_directory,
)
from fsm_orchestrator.cli.parser.sectioned import SectionedCommand
from fsm_orchestrator.lifecycle.source import Declared
from fsm_orchestrator.model.option_kinds import Bounds
from fsm_orchestrator.vocabulary import SchemaName

_FORMATS: Final = ("mermaid", "dot", "svg", "png", "text", "markdown")


def config_group() -> click.Group:
    """Return the group `config` with its commands."""
    check = SectionedCommand(
        "check",
        help="Report everything that is wrong with a config file.\n\n\b\nExample:\n  "
        "fsm-orchestrator config check run.toml",
        params=[argument("file", FilePath("FILE"))],
        callback=calls("config", "check_command"),
    )
    show = SectionedCommand(
        "show",
        help="Print the settings of a run that were set, and where; with --all, every one.\n\n"
        "For a config file, as a new run would take it; for OUT, as a resume would. With OUT after"
        " a file, as a new run in OUT would.\n\n"
        "\b\nExample:\n  fsm-orchestrator config show run.toml ./out",
        params=[
            argument("out_or_file", FilePath("OUT|FILE")),
            argument("output_directory", Directory("OUT"), "[OUT]", required=False),
            in_full_option("Show every setting that a run would use, defaults included."),
            json_option(),
        ],
        callback=calls("config", "show_command"),
    )
    commands = [check, show]
    return click.Group("config", commands, help=HELP["config"], short_help=COMMANDS["config"])


def telemetry_group() -> click.Group:
    """Return the group `telemetry` with its command."""
    export = SectionedCommand(
        "export",
        short_help="Send what was done in OUT and was not taken before.",
        help="Send what was done in OUT to OpenTelemetry: every invocation that has ended and was"
        " not taken before.\n\nExits with 0 if all of it was taken, else with 1.\n\n\b\nExample:\n "
        " fsm-orchestrator telemetry export ./out",
        params=[
            output_directory(),
            Section(
                "Selection",
                "--again",
                is_flag=True,
                help="Send again what was taken before. Sums count it twice.",
            ),
            earlier_run(),
            json_option(),
        ],
        callback=calls("telemetry", "export_command"),
    )
    help_text, short = HELP["telemetry"], COMMANDS["telemetry"]
    return click.Group("telemetry", [export], help=help_text, short_help=short)


def _diagram(_declared: Declared) -> list[click.Parameter]:
    section = "Drawing"
    return [
        argument("lifecycle", LifecycleSource("LIFECYCLE"), "[LIFECYCLE]", required=False),
        Once(
            section,
            "--format",
            type=Word(_FORMATS),
            help="Default: by the name of FILE, else text on a terminal and for --diff, and mermaid"
            " elsewhere. markdown is for --diff.",
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
            type=Word(("full", "simple")),
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
        Section(
            section,
            "--rename",
            multiple=True,
            type=NonEmpty("OLD=NEW"),
            help="Take a state of OLD for one of NEW under another name, for --diff: manager=plan.",
        ),
    ]


def _init(_declared: Declared) -> list[click.Parameter]:
    section = "Stages of your own"
    return [
        argument("directory", Directory("DIR"), "[DIR]", required=False),
        Once(
            section,
            "--stages",
            type=NonEmpty("NAMES"),
            help="Stages in their order, with commas: plan,apply. Each gets a script to fill in.",
        ),
        Section(
            section,
            ("--from", "commands"),
            multiple=True,
            type=NonEmpty("COMMAND..."),
            help="Commands in their order, each in quotes, which become the stages.",
        ),
        Once(
            section,
            "--approve-before",
            type=NonEmpty("NAMES"),
            help="Stages, with commas, that wait until the gate review has passed.",
        ),
    ]


def _selftest(_declared: Declared) -> list[click.Parameter]:
    kills = Once(
        "Checks",
        "--kills",
        type=Whole(Bounds(1, 1000, "a whole number of runs")),
        help="Number of runs to kill and resume (default 12).",
    )
    return [output_directory(), kills, json_option()]


PARAMETERS: Final[Mapping[str, Callable[[Declared], list[click.Parameter]]]] = {
    "lifecycle": lambda _: [
        argument("lifecycle", LifecycleSource("LIFECYCLE"), "[LIFECYCLE]", required=False),
        Section(
            "Output",
            "--expand",
            is_flag=True,
            help="Write out every state and edge that it stands for, including those that a file"
            " may leave out.",
        ),
    ],
    "verify": lambda _: [
        argument("lifecycles", LifecycleSource("LIFECYCLE"), "[LIFECYCLE]...", nargs=-1),
        Section(
            "Output",
            ("--verbose", "-v"),
            is_flag=True,
            help="Show what is proved of each, and the walk of every finding.",
        ),
        json_option(),
    ],
    "diagram": _diagram,
    "schema": lambda _: [argument("name", one_of(SchemaName), "[NAME]", "NAME", required=False)],
    "init": _init,
    "selftest": _selftest,
    "completion": lambda _: [argument("shell", Word(COMPLETION_SHELLS), "SHELL", "SHELL")],
}
