"""The parameters of the commands by which people answer a request for approval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import click

from fsm_orchestrator.cli.parser.parameters import FilePath, NonEmpty, Once, Whole
from fsm_orchestrator.cli.parser.parts import place
from fsm_orchestrator.lifecycle.source import Declared
from fsm_orchestrator.model.option_kinds import MILLISECONDS


def _approve(_declared: Declared) -> list[click.Parameter]:
    """Return the parameters of `approve`."""
    expires = Once(
        "Answer",
        "--expires",
        type=Whole(MILLISECONDS),
        help="How long it holds, such as 4h (default: as long as the request).",
    )
    return [*_answer("approve"), expires, *_elsewhere("approve")]


def _deny(_declared: Declared) -> list[click.Parameter]:
    """Return the parameters of `deny`."""
    return [*_answer("deny"), *_elsewhere("deny")]


def _withdraw(_declared: Declared) -> list[click.Parameter]:
    """Return the parameters of `withdraw`."""
    return _answer("withdraw")


def _answer(verb: str) -> list[click.Parameter]:
    """Return the options of a command that answers a request for approval."""
    section = "Answer"
    needed = " (needed)" if verb == "deny" else ""
    return [
        place(),
        Once(
            section,
            "--gate",
            type=NonEmpty("GATE"),
            help="The gate whose request is answered; the one that waits unless given.",
        ),
        Once(
            section,
            "--key",
            type=FilePath("KEY"),
            help="The SSH key to sign with, or its .pub where an agent has it (default: the one of"
            " yours that is allowed).",
        ),
        Once(
            section,
            "--reason",
            type=NonEmpty("TEXT"),
            help=f"Why; it is kept, and shown with the answer{needed}.",
        ),
        Once(
            section,
            "--state-key-file",
            type=FilePath("FILE"),
            help="As for a run: the key that the record is proved by.",
        ),
        Once(
            section,
            "--digest",
            type=NonEmpty("SHA256"),
            help="The digest of the request that was looked at: needed without a terminal.",
        ),
    ]


def _elsewhere(verb: str) -> list[click.Parameter]:
    """Return the options for signing on a machine other than that of the run."""
    section = "Another machine"
    return [
        Once(
            section,
            "--request",
            type=FilePath("FILE"),
            help="A request that was sent, from OUT/approvals, instead of OUT.",
        ),
        Once(
            section,
            "--out",
            type=FilePath("FILE"),
            help="Where to write the signed answer, to be sent back.",
        ),
        Once(
            section,
            ("--from", "from_file"),
            type=FilePath("FILE"),
            help=f"A signed answer that was sent, for {verb} beside the run.",
        ),
    ]


PARAMETERS: Final[Mapping[str, Callable[[Declared], list[click.Parameter]]]] = {
    "approve": _approve,
    "deny": _deny,
    "withdraw": _withdraw,
}
