"""`approve`, `deny` and `withdraw`: show a request, have it confirmed, sign and keep the answer."""

from __future__ import annotations

import hmac
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from fsm_orchestrator.approvals.answering import (
    Answered,
    Wish,
    answered,
    kept_answer,
    raw_statement,
    request_of,
    said_in,
    to_answer,
)
from fsm_orchestrator.approvals.request import (
    REQUEST_BYTES_MAX,
    NotARequestError,
    StoredRequest,
    predicate_of,
)
from fsm_orchestrator.approvals.said import NAMESPACES, SAID_BYTES_MAX, bundle_bytes
from fsm_orchestrator.approvals.signing import key_to_use, signature_of
from fsm_orchestrator.approvals.standing import Awaited, Decided, asked_gates
from fsm_orchestrator.approvals.texts import changes, text_of
from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.approval_screen import Shown, request_lines
from fsm_orchestrator.cli.formatting import command_line, shown_path
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.cli.style import Mark, plain
from fsm_orchestrator.clock import SystemClock
from fsm_orchestrator.constants import APPROVALS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import absolute, run_of
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.inspection.holder import holder_now
from fsm_orchestrator.inspection.run_directories import directory_of_a_run
from fsm_orchestrator.model.approval import Answer, Said
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.preparation.believing import believed
from fsm_orchestrator.preparation.elsewhere import place_options, refuse_copy
from fsm_orchestrator.processes.ancestry import is_below_stage
from fsm_orchestrator.processes.tool import paged
from fsm_orchestrator.record.checkpoint_reader import SavedRun, load_saved
from fsm_orchestrator.record.kept import kept_settings
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import ExitCode

_YES: Final = frozenset({"y", "yes"})
_VERBS: Mapping[Said, str] = {
    Said.APPROVE: "approve",
    Said.DENY: "deny",
    Said.WITHDRAW: "withdraw your answer to",
}


@dataclass(frozen=True)
class _Given:
    """The options that were typed."""

    said: Said
    typed: str
    gate: str | None
    key: str | None
    digest: str | None
    wish: Wish
    place: tuple[str, ...] = ()
    """The options that a resume needs because the record has moved."""
    has_engine: bool = False
    """True if an engine decides when and where the run continues."""


def answer_command(said: Said, parameters: Mapping[str, Any]) -> int:
    """Answer a request; return 0 once the answer is kept, 1 if the person does not confirm it."""
    given = _Given(
        said=said,
        typed=parameters["output_directory"],
        gate=parameters.get("gate"),
        key=parameters.get("key"),
        digest=parameters.get("digest"),
        wish=Wish(
            said, parameters.get("reason") or "", parameters.get("expires"), SystemClock().now()
        ),
    )
    if said is Said.DENY and not given.wish.reason and parameters.get("from_file") is None:
        raise UsageError("a denial needs its reason", remedy="--reason TEXT")
    request, out = parameters.get("request"), parameters.get("out")
    if request is not None and out is not None:
        _refuse_stage(None, None)
        return _answer_file(given, Path(request), Path(out))
    if request is not None or out is not None:
        raise UsageError(
            "--request and --out go together: what is asked, and where the answer is written",
            remedy="see fsm-orchestrator approve --help",
        )
    output = directory_of_a_run(given.typed)
    saved = load_saved(output)
    refuse_copy(saved, output, f"{given.said} in")
    has_engine = run_of(output) != output
    given = replace(given, place=place_options(saved, output), has_engine=has_engine)
    holder = holder_now(output)
    if holder is None:  # a run at work guards its own record
        key_file = parameters.get("state_key_file")
        believed(saved, output, None if key_file is None else absolute(key_file))
    holder_pid = None if holder is None else holder.pid
    for keeper_pid in [one.keeper_pid for one in saved.checkpoint.open_attempts] or [None]:
        _refuse_stage(holder_pid, keeper_pid)
    _refuse_ended(saved, given)
    awaited = to_answer(asked_gates(saved, output, given.wish.now), given.gate)
    if holder is None:
        _refuse_unasked(given, awaited)
    if parameters.get("from_file") is not None:
        return _keep_from(Path(parameters["from_file"]), given, awaited, is_working=bool(holder))
    return _answer(given, saved, awaited, is_working=holder is not None)


def _refuse_stage(orchestrator_pid: int | None, keeper_pid: int | None) -> None:
    if is_below_stage(orchestrator_pid, keeper_pid):
        raise UsageError(
            "a stage cannot answer for a person: this was typed below one",
            remedy="type it in a shell of your own",
        )


def _refuse_ended(saved: SavedRun, given: _Given) -> None:
    if saved.checkpoint.is_done:
        raise UsageError(
            f"the run {saved.checkpoint.run_id} has ended, and is done: there is nothing to"
            f" {given.said} any more",
            remedy="an approval is for a run that continues",
        )


def _refuse_unasked(given: _Given, awaited: Awaited) -> None:
    """Refuse to approve a request that is approved already, if the run has used the approval.

    Raises:
        UsageError: the run has used it, and asks for nothing now.
    """
    look, shown_as = awaited.look, shown_path(given.typed)
    is_used = look.current is not None and look.current.sha256 in look.kept.used
    if given.said is Said.APPROVE and awaited.decided is Decided.PASSED and is_used:
        raise UsageError(
            f"the gate {awaited.gate} of run {awaited.desk.checkpoint.run_id} is approved, and the"
            " run has continued with that: nothing is asked now",
            remedy=f"see why it stands where it does: {command_line('explain', shown_as)}",
        )


def _answer(given: _Given, saved: SavedRun, awaited: Awaited, *, is_working: bool) -> int:
    request = request_of(awaited, _resume(given))
    look, mask = awaited.look, kept_settings(saved).masker.mask
    artifacts = tuple(
        text_of(one, awaited.desk.output, mask) for one in request.predicate.artifacts
    )
    for one in artifacts:
        if one.is_other:
            raise UsageError(
                f"the request {request.file} is stale: {copyable(one.path)} was changed just now",
                remedy=f"have it asked again: {_resume(given)}",
            )
    last = _last_answer(awaited, request)
    earlier = {one.sha256: one for one in look.requests.earlier}
    before = None if last is None else earlier.get(last[0])
    diff = (
        ()
        if before is None
        else tuple(changes(awaited.desk.output, before, request.predicate, mask))
    )
    here = {one.answer.file for one in look.votes if one.request_sha256 == request.sha256}
    seen = Shown(
        request,
        artifacts,
        diff,
        None if last is None or before is None else last[1],
        tuple(one for one in look.judged.answers if one.file in here),
        (awaited.source.approval.quorum, look.judged.given),
        awaited.decided,
    )
    if not _is_confirmed(given, seen):
        return _left()
    done = answered(awaited, request, given.wish, _signer(given, awaited))
    return _told(given, awaited, done, is_working=is_working)


def _last_answer(awaited: Awaited, request: StoredRequest) -> tuple[str, Answer] | None:
    """Return the most recently answered request before this one, and its answer."""
    foreign = {EvidenceProblem.BAD_SIGNATURE, EvidenceProblem.UNKNOWN_SIGNER}
    found = [
        (one.request_sha256, one.answer)
        for one in awaited.look.votes
        if one.request_sha256 != request.sha256
        and one.answer.said is not Said.WITHDRAW
        and one.answer.problem not in foreign
    ]
    return found[-1] if found else None


def _signer(given: _Given, awaited: Awaited) -> Callable[[bytes], str | None]:
    signers = awaited.look.signers
    if awaited.source.approval.allowed_signers is None:
        return lambda _raw: None
    if signers is None:
        raise UsageError(f"nobody can answer: {awaited.look.judged.detail}")
    key = key_to_use(given.key, signers.fingerprints)
    return lambda raw: signature_of(raw, key, NAMESPACES[given.said])


def _is_confirmed(given: _Given, seen: Shown) -> bool:
    """Show a request and have it confirmed, by a person at a terminal or by its digest.

    Raises:
        UsageError: neither is possible, or a different digest was given.
    """
    out = console.stdout()
    lines = tuple(request_lines(seen, prose_width(out)))
    if given.digest is not None:
        if not hmac.compare_digest(given.digest.lower(), seen.request.sha256):
            raise UsageError(
                f"the request has another digest: {seen.request.sha256}",
                remedy="look at it again: it is not what was looked at",
            )
        out.show(shown(lines))
        return True
    is_asked = out.is_terminal and sys.stdin.isatty()
    if not is_asked:
        out.show(shown(lines))
        raise UsageError(
            "there is no terminal to ask on: name what you have looked at by its digest",
            remedy=f"--digest {seen.request.sha256}",
        )
    text = shown(lines)
    is_long = len(lines) >= out.size[1] > 0
    if not (is_long and paged(text if out.has_color else plain(text))):
        out.show(text)
    predicate = seen.request.predicate
    out.write(f"\n{_VERBS[given.said]} {predicate.gate} of run {predicate.runId}? [y/N] ")
    return sys.stdin.readline().strip().lower() in _YES


def _left() -> int:
    console.stdout().write("nothing was signed, and nothing was kept\n")
    return ExitCode.FAILED


def _told(given: _Given, awaited: Awaited, done: Answered, *, is_working: bool) -> int:
    out = console.stdout()
    answer, judged, needed = done.answer, done.judged, awaited.source.approval.quorum
    run_id = awaited.desk.checkpoint.run_id
    text = f"{answer.said.past}: {awaited.gate} of run {run_id}, as {answer.who}"
    mark = Mark.BAD if answer.said is Said.DENY else Mark.GOOD
    lines = [Line(""), Line(text, mark), Line(f"  {judged.given} of {counted(needed, 'approval')}")]
    lines.append(Line(f"  kept in {copyable(str(awaited.desk.output / done.file))}"))
    if is_working:
        lines.append(Line("  the run is at work: it counts when it judges the gate again"))
    elif judged.problem is EvidenceProblem.DENIED and answer.said is Said.APPROVE:
        lines.append(Line(f"  {judged.detail}, which holds until it is withdrawn", Mark.WAITING))
    elif judged.problem is None:
        lines.append(Line(f"  next: {_resume(given)}"))
    out.show(shown(lines))
    return ExitCode.DONE


def _resume(given: _Given) -> str:
    if given.has_engine:
        return command_line("temporal", "signal", shown_path(given.typed), "--approve")
    return command_line(shown_path(given.typed), "--resume", *given.place)


def _keep_from(path: Path, given: _Given, awaited: Awaited, *, is_working: bool) -> int:
    """Keep an answer that was signed on another machine."""
    raw = _read(path, SAID_BYTES_MAX)
    said = said_in(raw)
    what = said or Said.APPROVE
    if what is not given.said:
        kept = () if what is Said.WITHDRAW else ("--from", str(path))
        raise UsageError(
            f"the file says {what}, and not {given.said}",
            remedy=command_line(what, shown_path(given.typed), *kept),
        )
    request = request_of(awaited, _resume(given))
    return _told(given, awaited, kept_answer(awaited, request, said, raw), is_working=is_working)


def _answer_file(given: _Given, path: Path, out: Path) -> int:
    """Answer a request from a file, for a run on another machine."""
    raw = _read(path, REQUEST_BYTES_MAX)
    try:
        request = StoredRequest(0, path.name, raw, predicate_of(raw))
    except NotARequestError as error:
        raise UsageError(f"{copyable(str(path))} is not a request: {error}") from None
    if given.said is Said.WITHDRAW:
        raise UsageError("what can be withdrawn is known only beside the run")
    above = Path(os.path.abspath(path)).parent
    output = above.parent if above.name == APPROVALS_DIRECTORY else above
    artifacts = tuple(text_of(one, output, str) for one in request.predicate.artifacts)
    if os.path.lexists(out):
        raise UsageError(f"{copyable(str(out))} is there already", remedy="name a new file")
    if not _is_confirmed(given, Shown(request, artifacts)):
        return _left()
    statement = raw_statement(given.wish, request, ())
    signature = signature_of(statement, key_to_use(given.key, None), NAMESPACES[given.said])
    try:
        files.replace_file(out, bundle_bytes(statement, signature), mode=0o600)
    except OSError as error:
        where = copyable(str(out))
        raise CommandError(f"cannot write {where}: {files.reason(error)}") from error
    there = command_line(given.said, "OUT", "--from", out.name)
    console.stdout().show(
        shown(
            [
                Line(""),
                Line(f"signed: {copyable(str(out))}", Mark.GOOD),
                Line(f"  next, beside the run: {there}"),
            ]
        )
    )
    return ExitCode.DONE


def _read(path: Path, size_bytes_max: int) -> bytes:
    try:
        return files.read_bounded(path, size_bytes_max, is_link_good=True)
    except OSError as error:
        _cannot_read(path, error)


def _cannot_read(path: Path, error: OSError) -> NoReturn:
    raise UsageError(f"cannot read {copyable(str(path))}: {files.reason(error)}") from error
