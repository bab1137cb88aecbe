"""Writes docs/cli.md from the commands themselves: their help, in Markdown.

`python -m tests.tools.cli_reference FILE` writes it to a file. It rewords no help text; it adds the
frame, the kinds of values and the table of exit codes.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import click

from fsm_orchestrator.cli.parser import parameters as kinds
from fsm_orchestrator.cli.parser.commands import build_command
from fsm_orchestrator.cli.parser.help_texts import GROUP_HELP
from fsm_orchestrator.cli.parser.keeping import Age
from fsm_orchestrator.cli.parser.names import COMMANDS
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.lifecycle.source import Declared
from fsm_orchestrator.text.units import Measure
from fsm_orchestrator.vocabulary import ExitCode

STAGE: Final = "stage"
"""The stage name used for all stages: its options become `--<stage>-…`."""
MANY: Final = 6
"""From this number of options, they are under headings; those of `run` are named, not repeated."""

INTRODUCTION: Final = """# The command line

{summary}

This page is what `--help` says, made by `make docs` from the commands themselves. Every command
takes `--help` (`-h`), and `fsm-orchestrator --version` prints the version. An option may stand
before or after the arguments; its value follows after a space or `=`, and `--` ends the options.
An option of a run that takes a value and is not called repeatable may be given once: given twice it
is refused, so that no value wins by its place. A result goes to stdout, messages and the log to
stderr.

A result is waited for: a command that nobody reads waits until somebody does, or Ctrl-C. One that
cannot be written (a full disk, a closed stdout) is exit 1 and a message; a reader that goes away
(`| head`) is not. The exception is a run, whose product is the report in OUT: its exit code is the
run's, whatever becomes of the summary or of `--json`. It waits 30 s for a reader that stands still,
then says so on stderr.

| command | what it does |
| --- | --- |
{commands}

`OUT` alone means `run OUT`. The shell completes commands, options and values after one line in its
start file: [completion](#completion).
"""
EXIT_CODES: Final[Mapping[ExitCode, str]] = {
    ExitCode.DONE: "of a run: done; else: the command did what it was asked",
    ExitCode.FAILED: "the run failed, or a checkpoint or report cannot be used; of commands that"
    " judge: the verdict is no",
    ExitCode.USAGE: "usage error or refused request: nothing was started, nothing was written",
    ExitCode.BLOCKED: "the run is blocked by a gate",
    ExitCode.INTERNAL: "internal error, a bug",
    ExitCode.BUSY: (
        "another orchestrator works in OUT, or a worker that has the run now continues it"
    ),
    ExitCode.TIMEOUT: "a stage of the run timed out",
    ExitCode.HANGUP: "interrupted by SIGHUP",
    ExitCode.INTERRUPTED: "interrupted by SIGINT (Ctrl-C)",
    ExitCode.QUIT: "interrupted by SIGQUIT (Ctrl-\\\\)",
    ExitCode.TERMINATED: "interrupted by SIGTERM",
}
_KINDS: Final[Sequence[tuple[type[click.ParamType[object]], str]]] = (
    (kinds.Directory, "a directory"),
    (kinds.FilePath, "a file"),
    (kinds.LifecycleSource, "a built-in lifecycle, or a file"),
    (kinds.StageName, "a stage"),
    (kinds.TaskQueueName, "a name"),
    (kinds.RunIdentifier, "a run id"),
    (kinds.Instant, "a time in ISO 8601"),
    (kinds.EnvironmentPair, "a name and its value"),
    (kinds.DeclaredSecret, "a name"),
)
_EXAMPLES: Final = {
    Measure.MILLISECONDS: "`90s`, `10m`, `1h30m`",
    Measure.BYTES: "`64k`, `10MB`, `2GiB`",
}
_CODES: Final = "| code | what it means |\n| --- | --- |\n"
_UNQUOTED_OPTION: Final = re.compile(r"`[^`]*`|(?<![\w`-])(--[a-z<][\w<>-]*)")


@cache
def reference_text() -> str:
    """Return the whole page."""
    sections = [section_text(name) for name, _ in all_commands()]
    codes = "".join(f"| {code.value} | {text} |\n" for code, text in EXIT_CODES.items())
    summary = GROUP_HELP.partition("\b")[0].strip()
    rows = "\n".join(
        f"| [{name}](#{name.replace(' ', '-')}) | {_cell(command.get_short_help_str(100))} |"
        for name, command in all_commands()
    )
    head = INTRODUCTION.format(summary=summary, commands=rows)
    return "\n".join((head, *sections, "## Exit codes\n", _CODES + codes))


@cache
def all_commands() -> tuple[tuple[str, click.Command], ...]:
    """Return every command with its words, subcommands after their group."""
    return tuple(_all_commands())


def _all_commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = build_command(name, Declared((STAGE,)))
        assert command is not None, name
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {word}", one) for word, one in command.commands.items())


def options_of(command: click.Command) -> list[click.Option]:
    """Return the options of a command, without `--help`."""
    return [one for one in command.params if isinstance(one, click.Option)]


def shown_option(option: click.Option) -> str:
    """Return the names of an option as they are typed, the short one first."""
    return ", ".join(f"`{_of_any_stage(option, name)}`" for name in option.opts)


def section_text(name: str) -> str:
    """Return the page's section about one command."""
    command = dict(all_commands())[name]
    context = click.Context(command, info_name=f"{PRODUCT} {name}")
    pieces = command.collect_usage_pieces(context)
    if not options_of(command):
        pieces.remove("[OPTIONS]")
    usage = " ".join((PRODUCT, name, *pieces))
    parts = [f"## {name}\n", f"```text\n{usage}\n```\n"]
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    if arguments:
        shown = (f"- `{one.make_metavar(context)}`: {_value(one)}\n" for one in arguments)
        parts.append("".join(shown))
    parts.append(_help_text(command.help or ""))
    told = {_identity(one) for one in options_of(dict(all_commands())["run"])}
    shared = [one for one in options_of(command) if name != "run" and _identity(one) in told]
    if len(shared) < MANY:
        shared = []
    else:
        names = ", ".join(shown_option(one) for one in shared)
        parts.append(_filled(f"As for [run](#run): {names}.") + "\n")
    left = [one for one in options_of(command) if one not in shared]
    sections: dict[str, list[tuple[str, str, str]]] = {}
    for option in left:
        row = (_typed(option, context), _value(option), _cell(option.help or ""))
        sections.setdefault(_heading(option) if len(left) > MANY else "", []).append(row)
    for heading, rows in sections.items():
        if heading:
            parts.append(f"### {heading}\n")
        parts.append(_table(("option", "value", "what it is for"), rows))
    return "\n".join(parts)


def _filled(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _identity(option: click.Option) -> tuple[tuple[str, ...], str | None]:
    return tuple(option.opts), option.help


def _is_of_stage(option: click.Option) -> bool:
    return option.opts[0].startswith(f"--{STAGE}-")


def _of_any_stage(option: click.Option, name: str) -> str:
    return name.replace(f"--{STAGE}-", "--<stage>-", 1) if _is_of_stage(option) else name


def _heading(option: click.Option) -> str:
    if _is_of_stage(option):
        return "Each stage, by its name (`_` becomes `-`)"
    return option.section if isinstance(option, kinds.Section) else "Output"


def _typed(option: click.Option, context: click.Context) -> str:
    """Return the option with a placeholder for its value, unless its help has one."""
    names = shown_option(option)
    if option.is_flag or isinstance(option.type, click.Choice):
        return names
    return f"{names.removesuffix('`')} {_cell(option.make_metavar(context))}`"


def _value(parameter: click.Parameter) -> str:
    """Return the possible values."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return ""
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{one}`" for one in kind.choices)
    if isinstance(kind, Age):
        return "`30d`, `12h`, `90m`: a number and its unit"
    if isinstance(kind, kinds.Whole):
        bounds = kind.bounds
        if bounds.measure is not None:
            return f"{_EXAMPLES[bounds.measure]}, or {bounds.text}"
        return f"{bounds.least} to {bounds.most}"
    words = next((words for one, words in _KINDS if isinstance(kind, one)), "any text")
    if parameter.name == "out_or_file":
        words = "a config file, or a directory with a run"
    if parameter.nargs == 2:
        words = f"twice {words}"
    return words


def _help_text(text: str) -> str:
    r"""Return the help of a command in Markdown: text after `\b` stays unchanged, in a block."""
    parts = []
    for paragraph in textwrap.dedent(text).strip().split("\n\n"):
        if not paragraph.startswith("\b\n"):
            parts.append(_quoted(paragraph) + "\n")
            continue
        lines = paragraph.removeprefix("\b\n").splitlines()
        title = ""
        if lines[0].endswith(":") and not lines[0].startswith(" "):
            title = lines.pop(0)
            parts.append(f"{title}\n")
        if title == "Exit codes:" and (table := _codes_table(lines)):
            parts.append(table)
            continue
        language = "sh" if title.startswith("Example") else "text"
        block = textwrap.dedent("\n".join(lines))
        parts.append(f"```{language}\n{block}\n```\n")
    return "\n".join(parts)


def _codes_table(lines: Sequence[str]) -> str:
    """Return the exit codes of a help text as a table with one a row; "" if they are not a list."""
    pieces = [piece for line in lines for piece in re.split(r" {2,}", line.strip())]
    found = [re.fullmatch(r"(\d+(?:, \d+)*) (.+)", piece) for piece in pieces]
    rows = [(one[1], _cell(one[2])) for one in found if one is not None]
    if len(rows) < len(pieces):
        return ""
    return _table(
        ("code", "what it means"), sorted(rows, key=lambda row: int(row[0].split(",")[0]))
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Return text for a table cell."""
    return _quoted(" ".join(text.split())).replace("|", "\\|")


def _quoted(text: str) -> str:
    """Return a sentence with its options as code: `--<stage>-arg` would be taken for HTML."""
    return _UNQUOTED_OPTION.sub(
        lambda found: f"`{found[1]}`" if found[1] is not None else found[0], text
    )


def main(path: str) -> None:
    """Write the page to a file."""
    Path(path).write_text(reference_text())


if __name__ == "__main__":
    main(sys.argv[1])
