"""The parameters of the commands that prove to others what a run did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import click

from fsm_orchestrator.cli.parser.parameters import FilePath, NonEmpty, Once, Section
from fsm_orchestrator.cli.parser.parts import (
    argument,
    earlier_run,
    in_full_option,
    json_option,
    output_directory,
)
from fsm_orchestrator.lifecycle.source import Declared

HELP: Final[Mapping[str, str]] = {
    "compare": """Show what differs between two runs, the worst first: "it worked yesterday".

A and B are output directories, OUT/archive/RUN_ID of an archived run, or bundles. Without B, the
run in A is compared with the one that was archived there last. Paths in and below the directories
are compared as if both runs had the same; durations are shown where one is twice the other.

\b
Examples:
  fsm-orchestrator compare ./monday ./tuesday
  fsm-orchestrator compare ./out
  fsm-orchestrator compare yesterday.fsmbundle ./out

\b
Exit codes:
  0 the same, except for how long it took   1 they differ
  2 one of them is no run, or cannot be read
""",
    "bundle": """Write FILE, from which others can prove what the run in OUT did, offline.

FILE is a tar archive of the report, checkpoint, events, lifecycle, settings, evidence, approvals
and logs, with a statement that lists them by digest and says how the run ended. The same run gives
the same bytes. The values of variables are not in it; logs are left out where the run has secrets,
for stages may have printed them. A run that has not ended yet is refused only while it is at work.
If FILE is a directory, writes RUN_ID.fsmbundle in it.

\b
Examples:
  fsm-orchestrator bundle ./out run.fsmbundle --key ~/.ssh/id_ed25519
  fsm-orchestrator bundle ./out . --with-artifacts

\b
Exit codes:
  0 written   1 the record cannot be used, or is not the one that was left
  2 usage error, or FILE is there already   75 a run is at work in OUT
""",
    "verify-bundle": """Verify what a bundle proves of a run, link by link, offline.

Needs nothing of the machine that the run was on, and follows no path and runs nothing of FILE.
Says `verified` only with a signature that SIGNERS or PEM know, or where the chain of events ends
with DIGEST; else `consistent, unsigned`; or names the first link that is broken, where, and what
that means. Keys, approvals and their ends are judged as of the end of the run.

\b
Examples:
  fsm-orchestrator verify-bundle run.fsmbundle --allowed-signers signers
  fsm-orchestrator verify-bundle run.fsmbundle --require signature,approvals \\
    --allowed-signers signers --html run.html

\b
Exit codes:
  0 verified, or consistent and unsigned
  1 a link is broken, or what --require asks for is not there
  2 FILE, or a file of keys, cannot be read
""",
}


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


def _verify_bundle(_declared: Declared) -> list[click.Parameter]:
    """Return the parameters of `verify-bundle`."""
    by = "Trust"
    return [
        argument("file", FilePath("FILE")),
        Once(
            by,
            "--allowed-signers",
            type=FilePath("SIGNERS"),
            help="Which SSH keys are whose, as ssh-keygen(1) has it: who has signed the bundle, and"
            " who has approved.",
        ),
        Once(
            by,
            "--revoked-keys",
            type=FilePath("KEYS"),
            help="SSH keys that no longer count: a list of them, or a KRL.",
        ),
        Section(
            by,
            ("--public-key", "public_keys"),
            multiple=True,
            type=FilePath("PEM"),
            help="An ed25519 key in PEM that may have signed the bundle, as DSSE. Repeatable.",
        ),
        Once(
            by,
            "--expect-head",
            type=NonEmpty("DIGEST"),
            help="The digest that the chain of the run's events has to end with, from elsewhere:"
            " events_head.sha256 of a report that you trust.",
        ),
        Section(
            by,
            ("--require", "required"),
            multiple=True,
            type=NonEmpty("WHAT"),
            help="What else has to be proved, with commas: signature (whose it is), approvals"
            " (people have signed them), evidence (policy, ci and review passed by it).",
        ),
        Once(
            "Output",
            "--html",
            type=FilePath("PAGE"),
            help="Write the page of the run, with a seal of what was verified; - writes it to"
            " stdout.",
        ),
        json_option(),
    ]


def _compare(_declared: Declared) -> list[click.Parameter]:
    return [
        argument("a", FilePath("A")),
        argument("b", FilePath("B"), "[B]", required=False),
        in_full_option("Show every difference, and what is the same."),
        json_option(),
    ]


PARAMETERS: Final[Mapping[str, Callable[[Declared], list[click.Parameter]]]] = {
    "bundle": _bundle,
    "verify-bundle": _verify_bundle,
    "compare": _compare,
}
