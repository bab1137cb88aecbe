"""The command line as a whole: selects the command. The parameters of each are in commands.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import click

from fsm_orchestrator.cli.parser.help_texts import GROUP_HELP
from fsm_orchestrator.cli.parser.names import COMMAND_GROUPS, COMMANDS, HELP_WORD, VERSION_WORD
from fsm_orchestrator.constants import PRODUCT, __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from fsm_orchestrator.lifecycle.source import Declared


class CommandGroup(click.Group):
    """A group in which `OUT …` alone means `run OUT …`.

    A command is built when it is needed: the options of all others cost nothing.
    """

    def __init__(self, find_declared: Callable[[], Declared]) -> None:
        context = {"help_option_names": ["--help", "-h"], "max_content_width": 100}
        super().__init__(name=PRODUCT, help=GROUP_HELP, context_settings=context)
        self._find_declared = find_declared

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before anything that is neither a command nor an option of the group."""
        if args and args[0] in {HELP_WORD, VERSION_WORD} and not ctx.resilient_parsing:
            from fsm_orchestrator.cli.parser import bare_words

            args = bare_words.as_options(ctx, args)
        if args and args[0] not in {*COMMANDS, "-h", "--help", "--version"}:
            if not ctx.resilient_parsing:
                from fsm_orchestrator.cli.parser import bare_words

                bare_words.refuse_bare_word(ctx, args)
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, built for the options that the chosen lifecycle declares."""
        del ctx
        declared = self._declared  # first, since what this loads is then loaded with fewer modules
        from fsm_orchestrator.cli.parser.commands import build_command

        return build_command(cmd_name, declared)

    @cached_property
    def _declared(self) -> Declared:
        return self._find_declared()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands without building them."""
        del ctx
        grouped = {name for names in COMMAND_GROUPS.values() for name in names}
        others = tuple(name for name in COMMANDS if name not in grouped)
        for group, names in COMMAND_GROUPS.items():
            shown = (*names, *others) if group == "Machine" else names
            with formatter.section(group):
                formatter.write_dl([(f"{name:13}", COMMANDS[name]) for name in shown])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Offer commands; once something is typed, also what may follow an omitted `run`."""
        offered = super().shell_complete(ctx, incomplete)
        run = self.get_command(ctx, "run")
        if incomplete.startswith("-") and run is not None:
            of_run = run.shell_complete(click.Context(run, ctx, "run"), incomplete)
            known = {item.value for item in offered}
            return [*offered, *(item for item in of_run if item.value not in known)]
        from fsm_orchestrator.cli.parser import completion

        return [*offered, *completion.directories(incomplete)] if incomplete else offered


def build_app(find_declared: Callable[[], Declared]) -> click.Group:
    """Return the command line; `find_declared` is called when a command needs it."""
    version = click.version_option(__version__, prog_name=PRODUCT, message="%(prog)s %(version)s")
    return version(CommandGroup(find_declared))
