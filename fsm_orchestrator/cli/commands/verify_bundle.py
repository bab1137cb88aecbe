"""`verify-bundle`: shows what a bundle proves of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.bundle.known import Requirement, Wanted
from fsm_orchestrator.bundle.opened import OpenedBundle, open_file
from fsm_orchestrator.bundle.verified import Verdict
from fsm_orchestrator.bundle.verifying import verification_of
from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.screen import prose_width, shown
from fsm_orchestrator.cli.verification_screen import verification_lines
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.gates.sources.signatures import KEY_BYTES_MAX
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.late_pattern import late_pattern
from fsm_orchestrator.text.phrases import listed, suggestion
from fsm_orchestrator.vocabulary import ExitCode

_DIGEST: Final = late_pattern(r"[0-9a-f]{64}")


def verify_bundle_command(parameters: Mapping[str, Any]) -> int:
    """Print the result; return 0 if no link is broken, else 1.

    Raises:
        UsageError: the bundle, or a file of keys, cannot be read.
    """
    typed = parameters["file"]
    wanted = _wanted(parameters)
    path = absolute(typed)
    with open_file(path) as stream:
        found, known = verification_of(OpenedBundle(stream, str(path)), wanted)
        out = console.stdout() if parameters["html"] != "-" else console.stderr()
        if parameters["as_json"]:
            out.write(json_text(found.model_dump(mode="json")) + "\n")
        else:
            out.show(shown(verification_lines(found, typed, prose_width(out))))
        if parameters["html"] is not None:
            from fsm_orchestrator.cli.bundle_page import write_page

            told = console.stderr() if parameters["as_json"] else out
            write_page(found, known, typed, parameters["html"], told)
    return ExitCode.FAILED if found.verdict is Verdict.BROKEN else ExitCode.DONE


def _wanted(parameters: Mapping[str, Any]) -> Wanted:
    head = parameters["expect_head"]
    if head is not None and _DIGEST.fullmatch(head.lower()) is None:
        raise UsageError(
            "--expect-head: not a SHA-256 in hexadecimal",
            remedy="take events_head.sha256 of a report that you trust",
        )
    if parameters["as_json"] and parameters["html"] == "-":
        raise UsageError(
            "--json and --html - exclude each other", remedy="name a file for the page"
        )
    keys = tuple(map(_readable, parameters["public_keys"]))
    return Wanted(
        allowed_signers=_readable(parameters["allowed_signers"]),
        revoked_keys=_readable(parameters["revoked_keys"]),
        public_keys=tuple(one for one in keys if one is not None),
        requires=frozenset(_required(parameters["required"])),
        expected_head=None if head is None else head.lower(),
    )


def _readable(typed: str | None) -> str | None:
    """Return the absolute path of a file of keys, after checking that it can be read."""
    if typed is None:
        return None
    path = absolute(typed)
    try:
        files.read_bounded(Path(path), KEY_BYTES_MAX, is_link_good=True)
    except OSError as error:
        raise UsageError(
            f"cannot read {copyable(path)}: {files.reason(error)}", remedy="name a file of keys"
        ) from None
    return str(path)


def _required(typed: Iterable[str]) -> Iterable[Requirement]:
    names = [one.value for one in Requirement]
    for word in (word for one in typed for word in one.split(",")):
        if word not in names:
            raise UsageError(
                f"--require: nothing is called {word!r}{suggestion(word, names)}",
                remedy=f"name some of {listed(names)}, with commas",
            )
        yield Requirement(word)
