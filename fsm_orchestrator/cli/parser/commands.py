"""The parameters of each command. Its work is in a module of its own, loaded when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import click

from fsm_orchestrator.cli.parser.help_texts import HELP, SHORT_HELP
from fsm_orchestrator.cli.parser.names import COMMANDS, COMPLETION_SHELLS
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    EarlierRun,
    FilePath,
    LifecycleSource,
    NonEmpty,
    Once,
    Section,
    ShippedLifecycle,
    Since,
    StageName,
    Whole,
    Word,
    one_of,
)
from fsm_orchestrator.cli.parser.sectioned import LongCommand, ManyAfterFrom, SectionedCommand
from fsm_orchestrator.model.stage_options import GRACE_MILLISECONDS, MILLISECONDS, Bounds
from fsm_orchestrator.vocabulary import SchemaName

_FORMATS: Final = ("mermaid", "dot", "svg", "png", "text", "markdown")


def build_command(name: str, stages: Sequence[str]) -> click.Command | None:
    """Return the command of that name, made for these stages; None when there is none."""
    if name not in COMMANDS:
        return None
    if name == "config":
        return _config()
    if name in SHORT_HELP:
        return LongCommand(
            name,
            short=SHORT_HELP[name],
            epilog="--help-all explains each option.",
            stages=stages,
            help=HELP[name],
            short_help=COMMANDS[name],
            params=_PARAMETERS[name](stages),
            callback=_calls(name, f"{name}_command"),
        )
    kind = ManyAfterFrom if name == "init" else SectionedCommand
    return kind(
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


class _Positional(click.Argument):
    """An argument that is called the same in a message, whether it may be left out or not."""

    def __init__(self, name: str, called: str, **settings: Any) -> None:
        super().__init__([name], **settings)
        self._called = called

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return what it is called in a message."""
        del ctx
        return f"'{self._called}'"


def _argument(
    name: str, kind: click.ParamType[Any], metavar: str = "", called: str = "", **settings: Any
) -> click.Argument:
    shown = metavar or kind.name
    return _Positional(name, called or kind.name, type=kind, metavar=shown, **settings)


def _output_directory() -> click.Argument:
    return _argument("output_directory", Directory("OUT"))


def _place() -> click.Argument:
    """Return OUT for a command that looks at one: the current directory unless given."""
    return _argument("output_directory", Directory("OUT"), "[OUT]", required=False, default=".")


def _json() -> click.Option:
    return Section(
        "Output",
        ("--json", "as_json"),
        is_flag=True,
        help="Print the result as JSON instead of text.",
    )


def _in_full(help_text: str) -> click.Option:
    """Return the option for the whole of what is shown in brief without it."""
    return Section("Output", ("--all", "in_full"), is_flag=True, help=help_text)


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


def _plan(stages: Sequence[str]) -> list[click.Parameter]:
    in_full = "Show of each gate and stage all that is known: command, limits, files."
    return [*_planned(stages), _in_full(in_full)]


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
        _place(),
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
        _earlier_run(),
    ]


def _answer(verb: str) -> list[click.Parameter]:
    """Return the options of a command that answers a request for approval."""
    section = "Answer"
    return [
        _place(),
        Once(
            section,
            "--gate",
            type=NonEmpty("GATE"),
            help="The gate whose request is answered; the one that waits unless given.",
        ),
        Once(
            section,
            "--key",
            type=FilePath("KEY"),
            help="The SSH key to sign with, or its .pub where an agent has it (default: the one of"
            " yours that is allowed).",
        ),
        Once(
            section,
            "--reason",
            type=NonEmpty("TEXT"),
            required=verb == "deny",
            help="Why; it is kept, and shown with the answer.",
        ),
        Once(
            section,
            "--digest",
            type=NonEmpty("SHA256"),
            help="The digest of the request that was looked at: needed without a terminal.",
        ),
    ]


def _elsewhere(verb: str) -> list[click.Parameter]:
    """Return the options for signing on another machine than that of the run."""
    section = "Another machine"
    return [
        Once(
            section,
            "--request",
            type=FilePath("FILE"),
            help="A request that was sent, from OUT/approvals, instead of OUT.",
        ),
        Once(
            section,
            "--out",
            type=FilePath("FILE"),
            help="Where to write the signed answer, to be sent back.",
        ),
        Once(
            section,
            ("--from", "from_file"),
            type=FilePath("FILE"),
            help=f"A signed answer that was sent, for {verb} beside the run.",
        ),
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
            ("--wait", "--wait-ms", "wait_ms"),
            type=Whole(GRACE_MILLISECONDS),
            help="How long to wait for the run to end (default 1m).",
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
    as_json = Section(
        "Output",
        ("--json", "as_json"),
        is_flag=True,
        help="Print the JSON on a terminal, too.",
    )
    return [_place(), html, _earlier_run(), as_json]


def _diagram(_stages: Sequence[str]) -> list[click.Parameter]:
    section = "Drawing"
    return [
        _argument("lifecycle", LifecycleSource("LIFECYCLE"), "[LIFECYCLE]", required=False),
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
    ]


def _config() -> click.Group:
    check = SectionedCommand(
        "check",
        help="Report everything that is wrong with a config file.\n\n\b\nExample:\n  "
        "fsm-orchestrator config check run.toml",
        params=[_argument("file", FilePath("FILE"))],
        callback=_calls("config", "check_command"),
    )
    show = SectionedCommand(
        "show",
        help="Print the settings of a run that were set, and where; with --all, every one.\n\n"
        "For a config file, as a new run would take it; for OUT, as a resume would. With OUT after"
        " a file, as a new run in OUT would.\n\n"
        "\b\nExample:\n  fsm-orchestrator config show run.toml ./out",
        params=[
            _argument("out_or_file", FilePath("OUT|FILE")),
            _argument("output_directory", Directory("OUT"), "[OUT]", required=False),
            _in_full("Show every setting that a run would use, defaults included."),
            _json(),
        ],
        callback=_calls("config", "show_command"),
    )
    commands = [check, show]
    return click.Group("config", commands, help=HELP["config"], short_help=COMMANDS["config"])


def _init(_stages: Sequence[str]) -> list[click.Parameter]:
    section = "Stages of your own"
    return [
        _argument("directory", Directory("DIR"), "[DIR]", required=False),
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
    "plan": _plan,
    "status": lambda _: [
        _argument("output_directories", Directory("OUT"), "[OUT]...", nargs=-1),
        _earlier_run(),
        _json(),
    ],
    "explain": lambda _: [
        _place(),
        _earlier_run(),
        _in_full("Show all that is known, each gate and each attempt of each stage included."),
        _json(),
    ],
    "gates": lambda _: [
        _argument("output_directory", Directory("OUT"), "[OUT]", required=False),
        Once(
            "Run",
            "--config",
            type=FilePath("FILE"),
            help="Ask for a run that this config file would make, instead of the run in OUT.",
        ),
        _json(),
    ],
    "approve": lambda _: [
        *_answer("approve"),
        Once(
            "Answer",
            "--expires",
            type=Whole(MILLISECONDS),
            help="How long it holds, such as 4h (default: as long as the request).",
        ),
        *_elsewhere("approve"),
    ],
    "deny": lambda _: [*_answer("deny"), *_elsewhere("deny")],
    "withdraw": lambda _: _answer("withdraw"),
    "logs": _logs,
    "stop": _stop,
    "report": _report,
    "lifecycle": lambda _: [_argument("name", ShippedLifecycle("NAME"), "[NAME]", required=False)],
    "verify": lambda _: [
        _argument("lifecycles", LifecycleSource("LIFECYCLE"), "[LIFECYCLE]...", nargs=-1),
        Section(
            "Output",
            ("--verbose", "-v"),
            is_flag=True,
            help="Show what is proved of each, and the walk of every finding.",
        ),
        _json(),
    ],
    "diagram": _diagram,
    "schema": lambda _: [_argument("name", one_of(SchemaName), "[NAME]", "NAME", required=False)],
    "init": _init,
    "selftest": _selftest,
    "completion": lambda _: [_argument("shell", Word(COMPLETION_SHELLS), "SHELL", "SHELL")],
}
