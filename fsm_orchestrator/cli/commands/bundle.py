"""`bundle`: one file from which others can prove what a run did."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, assert_never

from fsm_orchestrator.bundle.making import Asked, Made, make
from fsm_orchestrator.bundle.members import SUFFIX
from fsm_orchestrator.bundle.signatures import Form, Signed, named
from fsm_orchestrator.bundle.signing import Signature, key_at
from fsm_orchestrator.bundle.statement import LogsKept
from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import sentences
from fsm_orchestrator.cli.screen import Line, labeled, labeled_command, prose_width, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.constants import CHECKPOINT_FILE, PRODUCT, SIGNAL_BASE
from fsm_orchestrator.disk import peek
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.inspected_run import standing_of
from fsm_orchestrator.inspection.run_directories import directory_of_a_run, run_directory
from fsm_orchestrator.preparation.believing import key_for
from fsm_orchestrator.processes.interrupts import ENDING_SIGNALS
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import ExitCode

_FORMS: Final = {Form.SSH: "SSH", Form.DSSE: "DSSE", Form.SIGSTORE: "Sigstore"}


def bundle_command(parameters: Mapping[str, Any]) -> int:
    """Write the bundle, and print what is in it and what is not."""
    output = directory_of_a_run(parameters["output_directory"])
    directory = run_directory(output, parameters["run_id"])
    key_file = parameters["state_key_file"]
    typed = _file(parameters["file"], directory)
    asked = Asked(
        with_logs=not parameters["without_logs"],
        with_artifacts=parameters["with_artifacts"],
        keys=tuple(map(key_at, parameters["keys"])),
        record_key=key_for(output, None if key_file is None else absolute(key_file)),
        may_replace=parameters["force"],
    )
    try:
        with _ends_tidily():
            made = make(directory, absolute(typed), asked)
    except _AskedToEnd as request:
        return SIGNAL_BASE + request.signum
    out = console.stdout()
    if parameters["as_json"]:
        out.write(json_text(_document(made)) + "\n")
    else:
        out.show(shown(_lines(made, typed, prose_width(out))))
    return ExitCode.DONE


class _AskedToEnd(BaseException):
    """A signal that asks the program to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextlib.contextmanager
def _ends_tidily() -> Iterator[None]:
    """Treat other requests to end like Ctrl-C: anything written so far is removed."""

    def end(signum: int, _frame: object) -> None:
        raise _AskedToEnd(signum)

    asking = [one for one in ENDING_SIGNALS if signal.getsignal(one) is signal.SIG_DFL]
    try:
        for one in asking:
            signal.signal(one, end)
        yield
    finally:
        for one in asking:
            signal.signal(one, signal.SIG_DFL)


def _file(typed: str, directory: Path) -> str:
    """Return the file to write; for a directory, a file in it with the name of the run."""
    if typed == "-":
        raise UsageError("a bundle is written to a file", remedy="name one, such as run.fsmbundle")
    if not absolute(typed).is_dir():
        return typed
    run_id = peek.run_id(directory / CHECKPOINT_FILE) or directory.name
    return os.path.join(typed, f"{run_id}{SUFFIX}")


def _lines(made: Made, typed: str, width: int) -> Iterator[Line]:
    said = made.predicate
    members = len(said.members) + 1 + len(made.signatures)
    size = f"{counted(members, 'member')}, {counted(made.size_bytes, 'byte')}"
    yield Line(f"wrote {copyable(typed)}: {size}", Mark.GOOD)
    standing = standing_of(made.report, made.path, None).words
    for label, text in (
        ("run", f"{said.runId} ({said.lifecycle.name}): {standing}"),
        ("head", f"{said.chain.head}, the last of {counted(said.chain.lastSeq, 'event')}"),
        ("file", f"sha256 {made.sha256}"),
        ("logs", _logs_words(said.logs)),
        ("keys", _signed_words(made.signatures)),
    ):
        yield from map(Line, labeled(label, text, width))
    for warning in _warnings(made):
        first, *rest = sentences(warning, width - lead_cells(), indent="", hanging="  ")
        yield Line(first, Mark.WAITING)
        yield from map(Line, rest)
    yield Line("")
    yield from map(Line, labeled_command("check", (PRODUCT, "verify-bundle", typed), width))


def _logs_words(logs: LogsKept) -> str:
    match logs:
        case LogsKept.WHOLE:
            return "as the stages wrote them"
        case LogsKept.LEFT_OUT:
            return "left out, as asked for"
        case LogsKept.WITHHELD:
            return "left out: the run has secrets, and its stages may have printed them"
        case _:
            assert_never(logs)


def _signed_words(signatures: tuple[Signature, ...]) -> str:
    if not signatures:
        return "signed by nobody: to verify it, others need the head from elsewhere (--key signs)"
    forms: dict[str, list[str]] = {}
    for one in signatures:
        name = named(one.member)
        if name is not None and name.signed is Signed.STATEMENT:
            forms.setdefault(one.by, []).append(_FORMS[name.form])
    return "\n".join(f"{by} ({', '.join(each)})" for by, each in forms.items())


def _warnings(made: Made) -> Iterator[str]:
    if made.doubt is not None:
        yield (
            "it is not known whether the record is the one that was left:"
            f" {made.doubt.words}; its chain holds"
        )
    for one in made.accepted:
        yield (
            f"somebody continued from a record that was not the one that was left: {one}; a"
            " verification reports that, and what the events do not show is broken"
        )
    if made.ignored:
        names = ", ".join(map(copyable, made.ignored[:3]))
        more = f", and {len(made.ignored) - 3} more" if len(made.ignored) > 3 else ""  # noqa: PLR2004
        yield f"left out, as the record does not mention it: {names}{more}"


def _document(made: Made) -> dict[str, Any]:
    said = made.predicate
    return {
        "file": str(made.path),
        "sha256": made.sha256,
        "size_bytes": made.size_bytes,
        "run_id": said.runId,
        "terminal_state": said.outcome.terminalState,
        "closure_ready": said.outcome.closureReady,
        "head": said.chain.head,
        "members": [one.name for one in said.members],
        "logs": said.logs,
        "signatures": [{"member": one.member, "by": one.by} for one in made.signatures],
        "doubt": made.doubt,
        "ignored": [*made.ignored],
    }
