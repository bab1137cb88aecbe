"""The commands and their help. What each does is in a module of its own, loaded when it runs."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import Any

import click

from fsm_orchestrator import __version__
from fsm_orchestrator.cli.diagram_options import DIAGRAM_HELP, diagram_parameters
from fsm_orchestrator.cli.help_texts import (
    CONFIG_HELP,
    GROUP_HELP,
    INIT_HELP,
    LIFECYCLE_HELP,
    PLAN_HELP,
    RUN_HELP,
    SCHEMA_HELP,
    SELFTEST_HELP,
    STATUS_HELP,
    VERIFY_HELP,
)
from fsm_orchestrator.cli.names import COMMANDS
from fsm_orchestrator.cli.options import output_options, print_config_option, run_options
from fsm_orchestrator.cli.parameters import NonEmpty, Once, RunIdentifier, Section, Whole
from fsm_orchestrator.vocabulary import PRODUCT, SchemaName


class SectionedCommand(click.Command):
    """A command that takes one OUT, and whose options stand under headings in the help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse what is left over in words that help."""
        ctx.allow_extra_args = True
        left_over = super().parse_args(ctx, args)
        if left_over and not ctx.resilient_parsing:
            raise click.UsageError(
                f"unexpected {left_over[0]!r}: {_first_argument(ctx)} already; an argument for a"
                " stage needs its --<stage>-arg",
                ctx,
            )
        return left_over

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by section, in the order in which they are declared."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                section = parameter.section if isinstance(parameter, Section) else "Output"
                sections.setdefault(section, []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


def _first_argument(ctx: click.Context) -> str:
    """`OUT is 'out'`: the command's one argument and what it was given."""
    argument = next(one for one in ctx.command.params if isinstance(one, click.Argument))
    return f"{argument.metavar} is {ctx.params[argument.name or '']!r}"


class CommandGroup(click.Group):
    """A group in which `OUT …` alone means `run OUT …`, as operators are used to."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before anything that is neither a command nor an option of the group."""
        if args and args[0] not in {*COMMANDS, "-h", "--help", "--version"}:
            _refuse_mistyped_command(args)
            args = ["run", *args]
        return super().parse_args(ctx, args)


def _refuse_mistyped_command(args: Sequence[str]) -> None:
    """A word that is nearly a command, and no directory, was meant as one."""
    word = args[0]
    near = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.6)
    if near and not word.startswith("-") and os.sep not in word and not os.path.isdir(word):
        raise click.UsageError(
            f"no command {word!r}; did you mean {near[0]!r}?"
            f" (To run in a directory of that name write ./{word})"
        )


def build_app(stages: Sequence[str]) -> click.Group:
    """The command line for a lifecycle with these stages."""
    context = {"help_option_names": ["--help", "-h"], "max_content_width": 100}
    app = CommandGroup(name=PRODUCT, help=GROUP_HELP, context_settings=context)
    version = click.version_option(__version__, prog_name=PRODUCT, message="%(prog)s %(version)s")
    app = version(app)
    app.add_command(
        SectionedCommand(
            "run",
            help=RUN_HELP,
            short_help="Run or resume.",
            params=[*run_options(stages), *output_options(), print_config_option()],
            callback=_run,
        )
    )
    app.add_command(
        SectionedCommand(
            "plan",
            help=PLAN_HELP,
            short_help="Say what a run would do.",
            params=[*run_options(stages), *output_options()],
            callback=_plan,
        )
    )
    app.add_command(
        SectionedCommand(
            "status",
            help=STATUS_HELP,
            short_help="Say where a run stands.",
            params=[
                click.Argument(["output_directory"], metavar="OUT", type=NonEmpty("OUT")),
                Once(
                    ["--run-id"],
                    section="Run",
                    type=RunIdentifier(),
                    help="An earlier run in OUT, moved to OUT/archive by a later one.",
                ),
                *output_options()[:1],
            ],
            callback=_status,
        )
    )
    app.add_command(_lifecycle_command())
    app.add_command(_verify_command())
    app.add_command(_diagram_command())
    app.add_command(_config_group())
    app.add_command(_schema_command())
    app.add_command(
        SectionedCommand(
            "init",
            help=INIT_HELP,
            short_help="Begin with a config file and two stub stages.",
            params=[click.Argument(["directory"], metavar="DIR", type=NonEmpty("DIR"))],
            callback=_init,
        )
    )
    app.add_command(
        SectionedCommand(
            "selftest",
            help=SELFTEST_HELP,
            short_help="Check this machine and file system.",
            params=[
                click.Argument(["output_directory"], metavar="OUT", type=NonEmpty("OUT")),
                Once(
                    ["--kills"],
                    section="Checks",
                    type=Whole(1, 1000, "runs"),
                    metavar="N",
                    help="How many runs are killed and resumed (default 12).",
                ),
                *output_options()[:1],
            ],
            callback=_selftest,
        )
    )
    return app


def _lifecycle_command() -> click.Command:
    return SectionedCommand(
        "lifecycle",
        help=LIFECYCLE_HELP,
        short_help="Print a lifecycle that ships.",
        params=[click.Argument(["name"], metavar="[NAME]", required=False, type=NonEmpty("NAME"))],
        callback=_lifecycle,
    )


def _verify_command() -> click.Command:
    lifecycles = click.Argument(
        ["lifecycles"], metavar="[LIFECYCLE]...", nargs=-1, type=NonEmpty("LIFECYCLE")
    )
    return SectionedCommand(
        "verify",
        help=VERIFY_HELP,
        short_help="Prove what lifecycles promise.",
        params=[lifecycles, *output_options()[:1]],
        callback=_verify,
    )


def _diagram_command() -> click.Command:
    return SectionedCommand(
        "diagram",
        help=DIAGRAM_HELP,
        short_help="Draw a lifecycle, a run, a difference.",
        params=diagram_parameters(),
        callback=_diagram,
    )


def _schema_command() -> click.Command:
    names = click.Choice([name.value for name in SchemaName])
    return click.Command(
        "schema",
        help=SCHEMA_HELP,
        short_help="Print a JSON Schema.",
        params=[click.Argument(["name"], metavar="NAME", type=names)],
        callback=_schema,
    )


def _config_group() -> click.Group:
    group = click.Group("config", help=CONFIG_HELP, short_help="Check or show settings.")
    group.add_command(
        SectionedCommand(
            "check",
            help="Say everything that is wrong with a config file.",
            params=[click.Argument(["file"], metavar="FILE", type=NonEmpty("FILE"))],
            callback=_config_check,
        )
    )
    group.add_command(
        SectionedCommand(
            "show",
            help="Print every setting a run would use, and where it was set.\n\n"
            "For a config file: as a new run would take it. For OUT: as a resume would.",
            params=[
                click.Argument(["out_or_file"], metavar="OUT|FILE", type=NonEmpty("OUT|FILE")),
                *output_options()[:1],
            ],
            callback=_config_show,
        )
    )
    return group


def _run(**parameters: Any) -> int:
    from fsm_orchestrator.cli.run_command import run_command

    return run_command(parameters)


def _plan(**parameters: Any) -> int:
    from fsm_orchestrator.cli.plan_command import plan_command

    return plan_command(parameters)


def _status(**parameters: Any) -> int:
    from fsm_orchestrator.cli.status_command import status_command

    return status_command(parameters)


def _lifecycle(**parameters: Any) -> int:
    from fsm_orchestrator.cli.lifecycle_command import lifecycle_command

    return lifecycle_command(parameters)


def _verify(**parameters: Any) -> int:
    from fsm_orchestrator.cli.verify_command import verify_command

    return verify_command(parameters)


def _diagram(**parameters: Any) -> int:
    from fsm_orchestrator.cli.diagram_command import diagram_command

    return diagram_command(parameters)


def _schema(**parameters: Any) -> int:
    from fsm_orchestrator.cli.schema_command import schema_command

    return schema_command(parameters)


def _config_check(**parameters: Any) -> int:
    from fsm_orchestrator.cli.config_command import check_command

    return check_command(parameters)


def _config_show(**parameters: Any) -> int:
    from fsm_orchestrator.cli.config_command import show_command

    return show_command(parameters)


def _selftest(**parameters: Any) -> int:
    from fsm_orchestrator.cli.selftest_command import selftest_command

    return selftest_command(parameters)


def _init(**parameters: Any) -> int:
    from fsm_orchestrator.cli.init_command import init_command

    return init_command(parameters)
