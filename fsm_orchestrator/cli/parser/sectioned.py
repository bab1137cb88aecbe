"""A command with headings in its help; unknown extra arguments are errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from fsm_orchestrator.cli.parser.parameters import Once, Section
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS, setting_named
from fsm_orchestrator.text.phrases import option_prefix

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class SectionedCommand(click.Command):
    """A command whose options are under headings in the help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse extra arguments with a hint."""
        ctx.allow_extra_args = True
        try:
            left_over = super().parse_args(ctx, args)
        except click.UsageError as error:  # lacks it for an option without a value
            error.ctx = error.ctx or ctx
            raise
        if left_over and not ctx.resilient_parsing:
            raise click.UsageError(_unexpected(ctx, left_over[0]), ctx)
        return left_over

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Offer the options, except those that may be given once and were."""
        given = {
            name
            for one in self.params
            if isinstance(one, Once)
            and ctx.get_parameter_source(one.name or "") is ParameterSource.COMMANDLINE
            for name in one.opts
        }
        return [item for item in super().shell_complete(ctx, incomplete) if item.value not in given]

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


class LongCommand(SectionedCommand):
    """A command with more options than fit on a screen.

    `--help` names them, those of stages only once; `--help-all` explains them.
    """

    def __init__(self, *args: Any, short: str, stages: Sequence[str], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._short, self._stages = short, stages
        self.params.append(
            Section(
                "Output",
                "--help-all",
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_all,
                help="Show the help with what each option is for, stage by stage.",
            )
        )

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the short text, unless the whole help is asked for."""
        whole, self.help = self.help, self.help if _ALL in ctx.meta else self._short
        try:
            super().format_help_text(ctx, formatter)
        finally:
            self.help = whole

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names of the options by section, unless the whole help is asked for."""
        if _ALL in ctx.meta:
            super().format_options(ctx, formatter)
            return
        sections: dict[str, list[str]] = {}
        for one in self.get_params(ctx):
            if isinstance(one, click.Option) and setting_named(one.name or "") is None:
                section = one.section if isinstance(one, Section) else "Output"
                sections.setdefault(section, []).append(one.opts[0])
        suffixes = [f"-{one.suffixes[0]}" for one in STAGE_OPTIONS]
        of_stages = f"Each stage, by its name ({', '.join(map(option_prefix, self._stages))})"
        for section, names in (
            *sections.items(),
            (of_stages, ["--<stage>" + suffixes[0], *suffixes[1:]]),
        ):
            with formatter.section(section):
                indent = " " * formatter.current_indent
                for line in _wrapped(names, formatter.width - len(indent)):
                    formatter.write(f"{indent}{line}\n")


_ALL: Final = "fsm_orchestrator.help_all"


def _show_all(ctx: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    """Print the whole help and exit."""
    if is_asked and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        click.echo(ctx.get_help())
        ctx.exit()


def _wrapped(names: Sequence[str], width: int) -> list[str]:
    """Return names in lines; no name is broken at its dashes."""
    import textwrap

    return textwrap.wrap("  ".join(names), width, break_on_hyphens=False)


class ManyAfterFrom(SectionedCommand):
    """A command whose `--from` takes every word up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat `--from` before each word that belongs to it."""
        words: list[str] = []
        is_from = False
        for word in args:
            if word.startswith("-"):
                is_from = word == "--from"
                words += [] if is_from else [word]
            else:
                words += ["--from", word] if is_from else [word]
        if is_from and args[-1:] == ["--from"]:
            words.append("--from")
        return super().parse_args(ctx, words)


def _unexpected(ctx: click.Context, word: str) -> str:
    """Return the refusal of an extra argument: the arguments already given, and a hint."""
    arguments = [one for one in ctx.command.params if isinstance(one, click.Argument)]
    if not arguments:
        return f"unexpected {word!r}: this command takes options only"
    given = ", ".join(f"{one.metavar} is {ctx.params[one.name or '']!r}" for one in arguments)
    hint = "; an argument for a stage needs its --<stage>-arg" if len(arguments) == 1 else ""
    return f"unexpected {word!r}: {given} already{hint}"
