"""The settings of what a stage must leave alone, and of what it goes by, one row each."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.model.option_kinds import Kind, StageOption

EARNED_OPTIONS: Final = (
    StageOption(
        "protect",
        Kind.FILE,
        help="File or directory that the stage must leave as it is: compared by digests from before"
        " it. Repeatable.",
        description="Files and directories that the stage must leave as they are, compared by"
        " digests from before it.",
        is_repeatable=True,
    ),
    StageOption(
        "inputs",
        Kind.FILE,
        named="input",
        help="File, directory or glob that the stage goes by: digested when it completes, and"
        " compared on a resume. Repeatable.",
        description="Files, directories and globs that the stage goes by: digested when it"
        " completes, and compared on a resume.",
        is_repeatable=True,
    ),
    StageOption(
        "input_program",
        Kind.FLAG,
        help="Take the program's own file for an input, too.",
        description="Whether the program's own file is one of its inputs.",
    ),
)
