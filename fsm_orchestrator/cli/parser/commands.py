"""The parameters of each command. Its work is in a module of its own, loaded when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import click

from fsm_orchestrator.cli.parser import help_texts
from fsm_orchestrator.cli.parser.names import COMPLETION_SHELLS
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    FilePath,
    LifecycleSource,
    Once,
    Section,
    ShippedLifecycle,
    StageName,
    Whole,
)
from fsm_orchestrator.cli.parser.run_options import (
    earlier_run_option,
    json_option,
    output_options,
    print_config_option,
    run_options,
)
from fsm_orchestrator.cli.parser.sectioned import SectionedCommand
from fsm_orchestrator.model.stage_options import GRACE_MILLISECONDS, Bounds
from fsm_orchestrator.vocabulary import SchemaName


def build_command(name: str, stages: Sequence[str]) -> click.Command | None:
    """Return the command of that name, made for these stages; None when there is none."""
    build = _BUILDERS.get(name)
    return None if build is None else build(stages)


def _calls(module: str, function: str) -> Callable[..., int]:
    """Return a callback that loads the command's module when it is called."""

    def callback(**parameters: Any) -> int:
        command = getattr(import_module(f"fsm_orchestrator.cli.commands.{module}"), function)
        return int(command(parameters))

    return callback


def _output_directory() -> click.Argument:
    return click.Argument(["output_directory"], metavar="OUT", type=Directory("OUT"))


def _run(stages: Sequence[str]) -> click.Command:
    return SectionedCommand(
        "run",
        help=help_texts.RUN_HELP,
        short_help="Run or resume.",
        params=[*run_options(stages), *output_options(), print_config_option()],
        callback=_calls("run", "run_command"),
    )


def _plan(stages: Sequence[str]) -> click.Command:
    return SectionedCommand(
        "plan",
        help=help_texts.PLAN_HELP,
        short_help="Show what a run would do.",
        params=[*run_options(stages), *output_options()],
        callback=_calls("plan", "plan_command"),
    )


def _status(_stages: Sequence[str]) -> click.Command:
    many = click.Argument(
        ["output_directories"], metavar="OUT...", nargs=-1, required=True, type=Directory("OUT")
    )
    return SectionedCommand(
        "status",
        help=help_texts.STATUS_HELP,
        short_help="Show where runs stand.",
        params=[many, earlier_run_option(), json_option()],
        callback=_calls("status", "status_command"),
    )


def _explain(_stages: Sequence[str]) -> click.Command:
    return SectionedCommand(
        "explain",
        help=help_texts.EXPLAIN_HELP,
        short_help="Explain why a run stands where it does.",
        params=[_output_directory(), earlier_run_option(), json_option()],
        callback=_calls("explain", "explain_command"),
    )


def _logs(stages: Sequence[str]) -> click.Command:
    section = "Selection"
    return SectionedCommand(
        "logs",
        help=help_texts.LOGS_HELP,
        short_help="Show the output of stages, live.",
        params=[
            _output_directory(),
            click.Argument(["stage"], metavar="[STAGE]", required=False, type=StageName(stages)),
            Section(
                ["--follow", "-f"],
                section=section,
                is_flag=True,
                help="Keep printing new output until the run has ended.",
            ),
            Once(
                ["--attempt"],
                section=section,
                type=Whole(Bounds(1, 999_999_999, "the number of an attempt,")),
                metavar="N",
                help="Show only this attempt (default: all of them, in order).",
            ),
            Once(
                ["--lines"],
                section=section,
                type=Whole(Bounds(0, 999_999_999, "a whole number of lines")),
                metavar="N",
                help="Show only the last N lines of each log, and what follows.",
            ),
            earlier_run_option(),
        ],
        callback=_calls("logs", "logs_command"),
    )


def _stop(_stages: Sequence[str]) -> click.Command:
    section = "Stopping"
    return SectionedCommand(
        "stop",
        help=help_texts.STOP_HELP,
        short_help="Stop the run at work in OUT.",
        params=[
            _output_directory(),
            Section(
                ["--now"],
                section=section,
                is_flag=True,
                help="Kill the stage at once instead of giving it time to end.",
            ),
            Once(
                ["--wait-ms"],
                section=section,
                type=Whole(GRACE_MILLISECONDS),
                metavar="N",
                help="How long to wait for the run to end (default 60000).",
            ),
            json_option(),
        ],
        callback=_calls("stop", "stop_command"),
    )


def _report(_stages: Sequence[str]) -> click.Command:
    return SectionedCommand(
        "report",
        help=help_texts.REPORT_HELP,
        short_help="Print the report, or write it as a web page.",
        params=[
            _output_directory(),
            Once(
                ["--html"],
                section="Output",
                type=FilePath("FILE"),
                metavar="FILE",
                help="Write the report as one self-contained web page; - writes it to stdout.",
            ),
            earlier_run_option(),
        ],
        callback=_calls("report", "report_command"),
    )


def _lifecycle(_stages: Sequence[str]) -> click.Command:
    return SectionedCommand(
        "lifecycle",
        help=help_texts.LIFECYCLE_HELP,
        short_help="Print a built-in lifecycle.",
        params=[
            click.Argument(
                ["name"], metavar="[NAME]", required=False, type=ShippedLifecycle("NAME")
            )
        ],
        callback=_calls("lifecycle", "lifecycle_command"),
    )


def _verify(_stages: Sequence[str]) -> click.Command:
    lifecycles = click.Argument(
        ["lifecycles"], metavar="[LIFECYCLE]...", nargs=-1, type=LifecycleSource("LIFECYCLE")
    )
    return SectionedCommand(
        "verify",
        help=help_texts.VERIFY_HELP,
        short_help="Prove what lifecycles promise.",
        params=[lifecycles, json_option()],
        callback=_calls("verify", "verify_command"),
    )


def _diagram(_stages: Sequence[str]) -> click.Command:
    from fsm_orchestrator.cli.parser.diagram_options import DIAGRAM_HELP, diagram_parameters

    return SectionedCommand(
        "diagram",
        help=DIAGRAM_HELP,
        short_help="Draw a lifecycle, a run, a difference.",
        params=diagram_parameters(),
        callback=_calls("diagram", "diagram_command"),
    )


def _schema(_stages: Sequence[str]) -> click.Command:
    names = click.Choice([name.value for name in SchemaName])
    return SectionedCommand(
        "schema",
        help=help_texts.SCHEMA_HELP,
        short_help="Print a JSON Schema.",
        params=[click.Argument(["name"], metavar="NAME", type=names)],
        callback=_calls("schema", "schema_command"),
    )


def _config(_stages: Sequence[str]) -> click.Command:
    group = click.Group("config", help=help_texts.CONFIG_HELP, short_help="Check or show settings.")
    group.add_command(
        SectionedCommand(
            "check",
            help="Report everything that is wrong with a config file.",
            params=[click.Argument(["file"], metavar="FILE", type=FilePath("FILE"))],
            callback=_calls("config", "check_command"),
        )
    )
    group.add_command(
        SectionedCommand(
            "show",
            help="Print every setting that a run would use, and where it was set.\n\n"
            "For a config file, as a new run would take it; for OUT, as a resume would.",
            params=[
                click.Argument(["out_or_file"], metavar="OUT|FILE", type=FilePath("OUT|FILE")),
                json_option(),
            ],
            callback=_calls("config", "show_command"),
        )
    )
    return group


def _init(_stages: Sequence[str]) -> click.Command:
    return SectionedCommand(
        "init",
        help=help_texts.INIT_HELP,
        short_help="Write a config file and two stub stages to start from.",
        params=[click.Argument(["directory"], metavar="DIR", type=Directory("DIR"))],
        callback=_calls("init", "init_command"),
    )


def _selftest(_stages: Sequence[str]) -> click.Command:
    return SectionedCommand(
        "selftest",
        help=help_texts.SELFTEST_HELP,
        short_help="Check this machine and file system.",
        params=[
            _output_directory(),
            Once(
                ["--kills"],
                section="Checks",
                type=Whole(Bounds(1, 1000, "a whole number of runs")),
                metavar="N",
                help="Number of runs to kill and resume (default 12).",
            ),
            json_option(),
        ],
        callback=_calls("selftest", "selftest_command"),
    )


def _completion(_stages: Sequence[str]) -> click.Command:
    shells = click.Choice(COMPLETION_SHELLS)
    return SectionedCommand(
        "completion",
        help=help_texts.COMPLETION_HELP,
        short_help="Print the completion script of a shell.",
        params=[click.Argument(["shell"], metavar="SHELL", type=shells)],
        callback=_calls("completion", "completion_command"),
    )


_BUILDERS: Final[Mapping[str, Callable[[Sequence[str]], click.Command]]] = {
    "run": _run,
    "plan": _plan,
    "status": _status,
    "explain": _explain,
    "logs": _logs,
    "stop": _stop,
    "report": _report,
    "lifecycle": _lifecycle,
    "verify": _verify,
    "diagram": _diagram,
    "config": _config,
    "schema": _schema,
    "init": _init,
    "selftest": _selftest,
    "completion": _completion,
}
