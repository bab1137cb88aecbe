"""A command with headings in its help; unknown extra arguments are errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from fsm_orchestrator.cli.parser.parameters import Once, Section

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class SectionedCommand(click.Command):
    """A command whose options stand under headings in the help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse extra arguments with a hint."""
        ctx.allow_extra_args = True
        left_over = super().parse_args(ctx, args)
        if left_over and not ctx.resilient_parsing:
            raise click.UsageError(_unexpected(ctx, left_over[0]), ctx)
        return left_over

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Offer the options, without those that may be given once and were."""
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
    """Return the refusal of an extra argument: which one was given already, and what is missing."""
    arguments = [one for one in ctx.command.params if isinstance(one, click.Argument)]
    if not arguments:
        return f"unexpected {word!r}: this command takes options only"
    given = ", ".join(f"{one.metavar} is {ctx.params[one.name or '']!r}" for one in arguments)
    hint = "; an argument for a stage needs its --<stage>-arg" if len(arguments) == 1 else ""
    return f"unexpected {word!r}: {given} already{hint}"
