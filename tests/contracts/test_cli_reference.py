"""docs/cli.md is the complete help of the commands.

`REWRITE_GOLDEN=1`, or `make docs`, writes it again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
import pytest

from fsm_orchestrator.cli.parser.names import COMMANDS
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.vocabulary import ExitCode
from tests.tools.cli_reference import (
    EXIT_CODES,
    all_commands,
    main,
    options_of,
    reference_text,
    section_text,
    shown_option,
)

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_page_is_current() -> None:
    """The committed page is the generated one."""
    if "REWRITE_GOLDEN" in os.environ:
        main(str(PAGE))
    is_current = PAGE.read_text() == reference_text()
    assert is_current, "docs/cli.md is not what the commands say now: run `make docs`"


@pytest.mark.parametrize("name", [name for name, _ in all_commands()])
def test_every_option_and_argument_stands_in_the_section_of_its_command(name: str) -> None:
    """The section of a command has the names, choices and help of all that it takes."""
    section, command = section_text(name), dict(all_commands())[name]
    assert section.startswith(f"## {name}\n")
    assert section in reference_text()
    of_run = section_text("run")
    for option in options_of(command):
        names = shown_option(option).removesuffix("`")
        assert re.search(r"\s+".join(map(re.escape, names.split())) + r"[` ]", section), names
        (row,) = re.findall(rf"^\| {re.escape(names)}[` ].*$", section + of_run, re.MULTILINE)[:1]
        if isinstance(option.type, click.Choice):
            assert all(f"`{value}`" in row for value in option.type.choices)
        assert option.help
        assert option.help[-25:].replace("`", "") in row.replace("`", "").replace("\\|", "|")
    for one in command.params:
        if isinstance(one, click.Argument):
            assert f"- `{one.make_metavar(click.Context(command))}`: " in section


def test_page_has_every_command_and_the_options_of_stages_once() -> None:
    """No command is left out, and stage options are shown once, under no stage's name."""
    page = reference_text()
    assert [name for name, _ in all_commands() if " " not in name] == list(COMMANDS)
    for row in STAGE_OPTIONS:
        first = row.suffixes[0]
        assert len(re.findall(rf"^\| `--<stage>-{first}[` ]", page, re.MULTILINE)) == 1
    assert "--stage-" not in page
    assert not re.search(r"^\|.*--(manager|executor)-", page, re.MULTILINE)


def test_exit_codes_are_all_there() -> None:
    """The table of exit codes has each code of the program, and no other."""
    assert set(EXIT_CODES) == set(ExitCode)
    table = reference_text().partition("## Exit codes\n")[2]
    assert [int(code) for code in re.findall(r"^\| (\d+) ", table, re.MULTILINE)] == sorted(
        ExitCode
    )


def test_tables_and_blocks_are_whole() -> None:
    """Each row has as many cells as its header, each block ends, and no option is bare HTML."""
    page = reference_text()
    assert page.count("```") % 2 == 0
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(cells) == 1, table
    assert "<stage>" not in re.sub(r"`[^`]*`", "", text)


def test_links_within_the_page_lead_somewhere() -> None:
    """Each `#anchor` is that of a heading."""
    page = reference_text()
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= anchors
