"""The parameters of the command that runs many runs."""

from __future__ import annotations

from typing import Final

import click

from fsm_orchestrator.cli.parser.engine_options import heartbeat_option, server_options
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    FilePath,
    NonEmpty,
    Once,
    Section,
    Whole,
    Word,
)
from fsm_orchestrator.cli.parser.parts import argument, json_option
from fsm_orchestrator.model.option_kinds import Bounds

ENGINES: Final = ("temporal",)
"""The engines that a fleet can be handed to."""
_JOBS: Final = Bounds(1, 1024, "a whole number of runs")
_FAILURES: Final = Bounds(1, 1_000_000, "a whole number of runs")


def parameters() -> list[click.Parameter]:
    """Return the parameters of `fleet`."""
    runs, again = "Runs", "Runs that have ended"
    return [
        argument("file", FilePath("FILE")),
        Once(
            runs,
            ("--dir", "directory"),
            type=Directory("DIR"),
            help="Where the directories of the runs are (default ./fleet).",
        ),
        Once(
            runs,
            ("--jobs", "-j"),
            type=Whole(_JOBS),
            help="How many are worked on at once (default: as many as there are processors; with an"
            " engine 100).",
        ),
        Section(
            runs,
            "--only",
            multiple=True,
            type=NonEmpty("NAME"),
            help="Work at this run alone. Repeatable.",
        ),
        Once(
            runs,
            "--state-key-file",
            type=FilePath("FILE"),
            help="As for a run: the key that the records are proved by.",
        ),
        Section(runs, "--fail-fast", is_flag=True, help="Begin no more once one has failed."),
        Once(
            runs,
            "--max-failures",
            type=Whole(_FAILURES),
            help="Begin no more once this many have failed.",
        ),
        Section(
            again, "--retry-failed", is_flag=True, help="Resume those that failed or timed out."
        ),
        Section(again, "--retry-blocked", is_flag=True, help="Resume those that are blocked."),
        Section(
            "Output",
            "--quiet",
            is_flag=True,
            help="Show only what did not end well, and no summary where all are done.",
        ),
        json_option(),
        Once(
            "Engine",
            "--engine",
            type=Word(ENGINES),
            help="Hand the runs to this engine, for its workers: at most --jobs at once. The"
            " fleet follows them, and can be ended and started again. Needs the extra `temporal`.",
        ),
        heartbeat_option("Engine"),
        *server_options(),
    ]
