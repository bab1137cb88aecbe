"""The commands for keeping runs for a while, and for trying notices: parameters and help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from fsm_orchestrator.cli.parser.names import COMMANDS
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    EarlierRun,
    FilePath,
    Once,
    Section,
    Whole,
    one_of,
)
from fsm_orchestrator.cli.parser.parts import argument, calls, json_option, output_directory
from fsm_orchestrator.cli.parser.sectioned import SectionedCommand
from fsm_orchestrator.lifecycle.source import Declared
from fsm_orchestrator.model.option_kinds import ARCHIVED_KEPT, MILLISECONDS
from fsm_orchestrator.model.told_ends import ToldEnd
from fsm_orchestrator.text.hidden import quoted
from fsm_orchestrator.text.units import is_bare

_AGE: Final = MILLISECONDS._replace(most=MILLISECONDS.most * 1000)
"""More than a lifetime: runs are kept longer than any stage may run."""


class Age(Whole):
    """The minimum age of a run to remove. A number without a unit is refused: it may mean days."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the milliseconds, checked."""
        if isinstance(value, str) and is_bare(value):
            self.fail(f"{quoted(value)} has no unit: write 30d, 12h or 90m", param, ctx)
        return super().convert(value, param, ctx)


HELP: Final[Mapping[str, str]] = {
    "archive": """List the runs that later ones in the same directory have moved to its archive.

\b
Example:
  fsm-orchestrator archive list ./out
""",
    "restore": """Put an archived run back into OUT, to be looked at or resumed.

The run that is in OUT is archived first. Artifacts in OUT go with their runs; artifacts elsewhere
are not moved. Started again after a kill, continues where it was; a new run in OUT takes it back.

\b
Example:
  fsm-orchestrator archive list ./out
  fsm-orchestrator restore ./out 20260131T090000.000000Z-1f2e3d4c
""",
    "prune": """Remove archived runs that are no longer kept, each as a whole.

PLACE is an OUT, or a directory with output directories below it. Keeps the latest --keep archived
runs of each OUT, and those younger than --older-than; removes what neither keeps, or what the given
one does not keep. The run in OUT is never removed, and nothing of an OUT where a run is at work.
A run with something in it that is not its own, a link, a mount, is left, and reported.

\b
Examples:
  fsm-orchestrator prune ./runs --keep 20 --older-than 30d --dry-run
  fsm-orchestrator prune ./out --older-than 12h

\b
Exit codes:
  0 all that is given up is removed, or would be
  1 something is left; the output says what, and why
""",
    "notify": """Try the notices of a config file, or of the run in OUT: report a pretended end.

Runs the commands and posts to the webhooks, as at the end of a run; the notice says that it is a
test. Shows of each whether it was delivered. Writes nothing to OUT.

\b
Example:
  fsm-orchestrator notify nightly.toml --event waiting

\b
Exit codes:
  0 all were delivered   1 one was not   2 there is none to try
""",
}


def archive_group() -> click.Group:
    """Return the group `archive` with its command."""
    listing = SectionedCommand(
        "list",
        help="List the archived runs of OUT, the latest first.\n\nShows how they stood, since when,"
        " and their size.\n\n\b\nExample:\n  fsm-orchestrator archive list ./out",
        params=[output_directory(), json_option()],
        callback=calls("archive", "list_command"),
    )
    return click.Group("archive", [listing], help=HELP["archive"], short_help=COMMANDS["archive"])


def _restore(_declared: Declared) -> list[click.Parameter]:
    return [output_directory(), argument("run_id", EarlierRun(), "RUN_ID"), json_option()]


def _prune(_declared: Declared) -> list[click.Parameter]:
    section = "Keeping"
    return [
        argument("place", Directory("PLACE")),
        Once(
            section,
            "--keep",
            type=Whole(ARCHIVED_KEPT),
            help="Keep the latest N archived runs of each OUT.",
        ),
        Once(
            section,
            "--older-than",
            type=Age(_AGE),
            help="Keep those that ended less than this ago: 30d, 12h.",
        ),
        Section(
            section,
            "--dry-run",
            is_flag=True,
            help="Remove nothing; show what would be removed.",
        ),
        json_option(),
    ]


def _notify(_declared: Declared) -> list[click.Parameter]:
    return [
        argument("out_or_file", FilePath("OUT|FILE")),
        Once(
            "Trying",
            "--event",
            type=one_of(ToldEnd),
            help="The end to report: only the notices for it are tried (default: all are, each"
            " with its first).",
        ),
        json_option(),
    ]


PARAMETERS: Final[Mapping[str, Callable[[Declared], list[click.Parameter]]]] = {
    "restore": _restore,
    "prune": _prune,
    "notify": _notify,
}
