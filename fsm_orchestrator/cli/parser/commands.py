"""The commands that run and look, with their parameters; those that design are in `designing`.

Each command does its work in its own module, loaded when the command runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import click

from fsm_orchestrator.cli.parser.help_texts import HELP, SHORT_HELP
from fsm_orchestrator.cli.parser.names import COMMAND_GROUPS, COMMANDS
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    FilePath,
    NonEmpty,
    Once,
    Section,
    Since,
    StageName,
    Whole,
)
from fsm_orchestrator.cli.parser.parts import (
    argument,
    calls,
    earlier_run,
    in_full_option,
    json_option,
    output_directory,
    place,
)
from fsm_orchestrator.cli.parser.sectioned import LongCommand, ManyAfterFrom, SectionedCommand
from fsm_orchestrator.lifecycle.source import Declared
from fsm_orchestrator.model.option_kinds import GRACE_MILLISECONDS, MILLISECONDS, Bounds


def build_command(name: str, declared: Declared) -> click.Command | None:
    """Return the command of that name, for a lifecycle's declarations; None if there is none."""
    if name not in COMMANDS:
        return None
    help_text = HELP.get(name, "")
    parameters = _PARAMETERS.get(name)
    if name in COMMAND_GROUPS["Answer"]:
        from fsm_orchestrator.cli.parser import answering

        parameters = answering.PARAMETERS[name]
    elif name in COMMAND_GROUPS["Prove"]:
        from fsm_orchestrator.cli.parser import proving

        parameters, help_text = proving.PARAMETERS[name], proving.HELP[name]
    elif name in {*COMMAND_GROUPS["Keep"], "notify"}:
        from fsm_orchestrator.cli.parser import keeping

        if name == "archive":
            return keeping.archive_group()
        parameters, help_text = keeping.PARAMETERS[name], keeping.HELP[name]
    elif name == "temporal":
        from fsm_orchestrator.cli.parser import across_machines

        return across_machines.temporal_group(declared)
    elif parameters is None:
        from fsm_orchestrator.cli.parser import designing

        if name == "config":
            return designing.config_group()
        if name == "telemetry":
            return designing.telemetry_group()
        parameters = designing.PARAMETERS[name]
    if name in SHORT_HELP:
        return LongCommand(
            name,
            short=SHORT_HELP[name],
            stages=declared.stages,
            help=HELP[name],
            short_help=COMMANDS[name],
            params=parameters(declared),
            callback=calls(name, f"{name}_command"),
        )
    kind = ManyAfterFrom if name == "init" else SectionedCommand
    return kind(
        name,
        help=help_text,
        short_help=COMMANDS[name],
        params=parameters(declared),
        callback=calls(name, f"{name}_command"),
    )


def _planned(declared: Declared) -> list[click.Parameter]:
    from fsm_orchestrator.cli.parser.run_options import output_options, run_options

    return [output_directory(), *run_options(declared), json_option(), *output_options()]


def _plan(declared: Declared) -> list[click.Parameter]:
    in_full = "Show everything known of each gate and stage: command, limits, files."
    return [*_planned(declared), in_full_option(in_full)]


def _run(declared: Declared) -> list[click.Parameter]:
    print_config = Section(
        "Output",
        "--print-config",
        is_flag=True,
        help="Print these options as a config file, without secrets, and do nothing else.",
    )
    wait = Once(
        "Run",
        ("--wait", "--wait-ms", "wait_ms"),
        type=Whole(MILLISECONDS),
        help="If gates that can still be given block the run, wait up to this long for them and"
        " continue: 8h, 30m. A wait holds nothing; exit code 124 if they are not decided by then.",
    )
    return [*_planned(declared), wait, print_config]


def _wait(_declared: Declared) -> list[click.Parameter]:
    section = "Waiting"
    return [
        output_directory(),
        Once(
            section,
            ("--timeout", "--timeout-ms", "wait_ms"),
            type=Whole(MILLISECONDS),
            help="How long to wait: 8h, 30m, or a number of milliseconds (default: 24 days).",
        ),
        Section(
            section,
            "--resume",
            is_flag=True,
            help="Resume the run once its gates passed, and exit as that does.",
        ),
        json_option(),
    ]


def _logs(declared: Declared) -> list[click.Parameter]:
    section = "Selection"
    return [
        place(),
        argument("stage", StageName(declared.stages), "[STAGE]", required=False),
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
            "--verify",
            type=Whole(Bounds(1, 999_999_999, "the number of a verification,")),
            help="Show only what this verification printed (default: stages and verifications).",
        ),
        Once(
            section,
            "--lines",
            type=Whole(Bounds(0, 999_999_999, "a whole number of lines")),
            help="Show only the last N lines of each log, and what follows.",
        ),
        Once(
            section,
            "--since",
            type=Since(),
            help="Show only attempts that have printed something since then, with all they printed:"
            " their lines have no times.",
        ),
        Once(
            section,
            ("--grep", "pattern"),
            type=NonEmpty("PATTERN"),
            help="Show only lines in which PATTERN is found, a regular expression as in Python.",
        ),
        earlier_run(),
    ]


def _stop(_declared: Declared) -> list[click.Parameter]:
    section = "Stopping"
    return [
        output_directory(),
        Section(
            section,
            "--now",
            is_flag=True,
            help="Kill the stage at once instead of giving it time to end.",
        ),
        Once(
            section,
            ("--wait", "--wait-ms", "wait_ms"),
            type=Whole(GRACE_MILLISECONDS),
            help="How long to wait for the run to end (default 1m).",
        ),
        json_option(),
    ]


def _report(_declared: Declared) -> list[click.Parameter]:
    html = Once(
        "Output",
        "--html",
        type=FilePath("FILE"),
        help="Write the report as one self-contained web page; - writes it to stdout.",
    )
    as_json = Section(
        "Output",
        ("--json", "as_json"),
        is_flag=True,
        help="Print the JSON on a terminal, too.",
    )
    junit = Once(
        "Output",
        "--junit",
        type=FilePath("FILE"),
        help="Write gates and stages as test cases, JUnit XML; - writes it to stdout.",
    )
    markdown = Once(
        "Output",
        "--markdown",
        type=FilePath("FILE"),
        help="Write a summary of 30 lines at most in Markdown; - writes it to stdout.",
    )
    return [place(), html, junit, markdown, earlier_run(), as_json]


def _fleet(_declared: Declared) -> list[click.Parameter]:
    from fsm_orchestrator.cli.parser import many_runs

    return many_runs.parameters()


def _status(_declared: Declared) -> list[click.Parameter]:
    from fsm_orchestrator.cli.parser import lists_of_runs

    return lists_of_runs.status_parameters()


def _watch(_declared: Declared) -> list[click.Parameter]:
    from fsm_orchestrator.cli.parser import lists_of_runs

    return lists_of_runs.watch_parameters()


def _serve(_declared: Declared) -> list[click.Parameter]:
    from fsm_orchestrator.cli.parser import lists_of_runs

    return lists_of_runs.serve_parameters()


_PARAMETERS: Final[Mapping[str, Callable[[Declared], list[click.Parameter]]]] = {
    "run": _run,
    "plan": _plan,
    "fleet": _fleet,
    "status": _status,
    "watch": _watch,
    "serve": _serve,
    "explain": lambda _: [
        place(),
        earlier_run(),
        in_full_option(
            "Show everything known, including each gate and each attempt of each stage."
        ),
        json_option(),
    ],
    "gates": lambda _: [
        argument("output_directory", Directory("OUT"), "[OUT]", required=False),
        Once(
            "Run",
            "--config",
            type=FilePath("FILE"),
            help="Ask for a run that this config file would make, instead of the run in OUT.",
        ),
        Section(
            "Waiting",
            "--watch",
            is_flag=True,
            help="Ask again, and show what changes, until nothing is awaited any longer.",
        ),
        Once(
            "Waiting",
            "--interval",
            type=Whole(MILLISECONDS),
            help="How long --watch waits before it asks again (default: 10s).",
        ),
        json_option(),
    ],
    "wait": _wait,
    "logs": _logs,
    "stop": _stop,
    "report": _report,
}
