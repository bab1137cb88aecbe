"""The parameters of the commands that prove to others what a run did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import click

from fsm_orchestrator.cli.parser.parameters import FilePath, Once, Section
from fsm_orchestrator.cli.parser.parts import argument, earlier_run, json_option, output_directory
from fsm_orchestrator.lifecycle.source import Declared


def _bundle(_declared: Declared) -> list[click.Parameter]:
    """Return the parameters of `bundle`."""
    contents, signing = "Contents", "Signing"
    return [
        output_directory(),
        argument("file", FilePath("FILE")),
        Section(
            contents,
            "--without-logs",
            is_flag=True,
            help="Leave out what stages and gates printed.",
        ),
        Section(
            contents,
            "--with-artifacts",
            is_flag=True,
            help="Put in the artifacts themselves (default: their digests).",
        ),
        Section(
            signing,
            ("--key", "keys"),
            multiple=True,
            type=FilePath("KEY"),
            help="Sign with this key: an SSH key, or its .pub where an agent has it; or an ed25519"
            " key in PEM, for DSSE and Sigstore. Repeatable.",
        ),
        Once(
            "Run",
            "--state-key-file",
            type=FilePath("FILE"),
            help="As for a run: the key that the record is proved by.",
        ),
        earlier_run(),
        Section("Output", "--force", is_flag=True, help="Replace FILE if it is there."),
        json_option(),
    ]


PARAMETERS: Final[Mapping[str, Callable[[Declared], list[click.Parameter]]]] = {
    "bundle": _bundle,
}
