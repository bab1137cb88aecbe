"""The commands and their help. What each does is in a module of its own, loaded when it runs."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import Any

import click

from fsm_orchestrator import __version__
from fsm_orchestrator.cli.names import COMMANDS
from fsm_orchestrator.cli.options import (
    NonEmpty,
    Once,
    RunIdentifier,
    Section,
    Whole,
    output_options,
    print_config_option,
    run_options,
)
from fsm_orchestrator.vocabulary import PRODUCT, SchemaName

RUN_HELP = """Run the stages of a lifecycle behind their gates, or resume a run.

OUT holds the run: report, checkpoint, events, logs. It is made if need be; an earlier run in it
is moved to OUT/archive.

\b
Example:
  fsm-orchestrator run ./out \\
    --policy-status allow --ci-status success --review-status approved \\
    --manager-bin /bin/sh --manager-arg -c --manager-arg 'echo planned' \\
    --executor-bin /bin/sh --executor-arg -c --executor-arg 'echo applied'
  fsm-orchestrator run ./out --resume

\b
Exit codes:
  0 done       2 usage error or refused request: nothing was written
  1 failed     75 busy: another orchestrator works in OUT
  3 blocked    129, 130, 143 interrupted by SIGHUP, SIGINT, SIGTERM
  124 timeout  70 a bug of ours
"""
PLAN_HELP = """Say what a run or a resume would do, per gate and stage, and why.

Takes the options of `run`. Nothing is started and nothing is written.
"""
STATUS_HELP = """Say where the run in OUT stands, and what to type next.

With --run-id, how an archived run ended.
"""
INIT_HELP = """Write a config file and two stub stages to DIR, and print what to type next.

Nothing that is there is overwritten.
"""
CONFIG_HELP = """Check a config file, or show what a run would use and where it was set."""
SELFTEST_HELP = """Check whether the promises hold on this machine, in this directory.

Locks, atomic replacement, fsync, containment, and runs of harmless stages that are killed and
resumed, all in a scratch directory below OUT that is removed again. For network, overlay and
container file systems, before runs are kept there.

\b
Exit codes:
  0 nothing is broken   1 something is; do not keep runs there   2 OUT cannot be written
"""
SCHEMA_HELP = f"""Print the JSON Schema of one of the shapes that are written or read.

NAME is one of {", ".join(SchemaName)}.
"""
GROUP_HELP = """Run binaries as stages of a declared state machine: gates first, every transition
durable, a report a supervisor can trust.

\b
  fsm-orchestrator run OUT ...   run or resume; the word `run` may be left out
  fsm-orchestrator plan OUT ...  what would run, and why
  fsm-orchestrator status OUT    where a run stands
"""


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
