"""A request for approval, as a person reads it: its subject, the commands, the answers so far.

Everything that somebody else wrote is quoted, so that nothing in it can drive a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.approvals.request import Requester, StoredRequest
from fsm_orchestrator.approvals.standing import Decided
from fsm_orchestrator.approvals.texts import ArtifactText
from fsm_orchestrator.cli.formatting import age, sentences
from fsm_orchestrator.cli.screen import Line
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.model.approval import Answer
from fsm_orchestrator.text.hidden import copyable, printable
from fsm_orchestrator.text.phrases import counted, described, span_ms
from fsm_orchestrator.text.units import span_words

LABEL_WIDTH: Final = 9
_DIGEST_SHOWN: Final = 12


class Shown(NamedTuple):
    """The parts of a request that are shown.

    Attributes:
        artifacts: the contents of the artifacts.
        changed: a diff against the request answered last; empty if there is none, or no change.
        last: the answer to the request that the diff is against.
        answers: the answers of others to this request.
        needed: how many must approve, and how many have; None if unknown here.
        decided: the state of the gate's decision; None if unknown here.
    """

    request: StoredRequest
    artifacts: tuple[ArtifactText, ...]
    changed: tuple[str, ...] = ()
    last: Answer | None = None
    answers: tuple[Answer, ...] = ()
    needed: tuple[int, int] | None = None
    decided: Decided | None = None


def request_lines(shown: Shown, width: int) -> Iterator[Line]:
    """Yield the lines of a request, the most important first."""
    predicate = shown.request.predicate
    mark, stands = _stands(shown.decided)
    cycle = f", cycle {predicate.cycle}" if predicate.cycle > 1 else ""
    yield Line(f"{predicate.gate} of run {predicate.runId} {stands}{cycle}", mark)
    yield Line("")
    since = f"{requester_words(predicate.requester)}, {age(predicate.askedAt)} ago"
    yield from map(Line, _labeled("asked", f"by {since}", width))
    yield from map(Line, _labeled("until", expiry_words(predicate.expiresAt), width))
    yield from map(Line, _labeled("digest", shown.request.sha256, width))
    for one in predicate.subject:
        about = f"{copyable(one.name)}, {one.digest_words}"
        yield from map(Line, _labeled("about", about, width))
    lifecycle = predicate.lifecycle
    follows = f"{lifecycle.name}, sha256 {lifecycle.sha256[:_DIGEST_SHOWN]}"
    yield from map(Line, _labeled("follows", follows, width))
    for artifact in shown.artifacts:
        yield Line("")
        yield from artifact_lines(artifact, width)
    for command in predicate.commands:
        yield Line("")
        masked = ", with secrets masked" if command.masked else ""
        yield Line(f"releases {command.stage}{masked}", Mark.AHEAD)
        for text in command.lines:
            yield from map(Line, sentences(text, width, indent="    ", hanging="      "))
    yield from _changed_lines(shown, width)
    yield from _answer_lines(shown, width)


def _stands(decided: Decided | None) -> tuple[Mark, str]:
    """Return the mark and the words for where a request stands before it is answered."""
    match decided:
        case Decided.PASSED:
            return Mark.GOOD, "is approved already"
        case Decided.REFUSED:
            return Mark.BAD, "is denied"
        case None | Decided.AWAITED | Decided.EXPIRED | Decided.STALE:
            return Mark.WAITING, "asks for approval"
        case _:
            assert_never(decided)


def _labeled(label: str, text: str, width: int) -> list[str]:
    indent = f"  {label:<{LABEL_WIDTH}}"
    return sentences(text, width, indent=indent, hanging=" " * len(indent))


def requester_words(requester: Requester) -> str:
    """Return who asks: the principal, and the user at the machine."""
    user = None
    if requester.host is not None:
        name = requester.user if requester.user is not None else f"uid {requester.uid}"
        user = f"{name}@{requester.host}"
    if requester.principal is None:
        return user or "nobody knows whom"
    return requester.principal if user is None else f"{requester.principal} ({user})"


def expiry_words(expires_at: str) -> str:
    """Return a future time and how far away it is, or that it has passed."""
    now = timestamp(SystemClock().now())
    if expires_at <= now:
        return f"{expires_at}, which has passed"
    return f"{expires_at}, {span_words(span_ms(now, expires_at))} from now"


def artifact_lines(
    artifact: ArtifactText, width: int, lines_max: int | None = None
) -> Iterator[Line]:
    """Yield an artifact: its path, size and digest, and its content."""
    file = artifact.file
    size = "" if file.size is None else f", {counted(file.size, 'byte')}"
    digest = "unreadable" if file.sha256 is None else file.sha256[:_DIGEST_SHOWN]
    text = f"{copyable(artifact.path)}{size}, sha256 {digest}"
    yield from map(Line, sentences(text, width, indent="  ", hanging="    "))
    if artifact.lines is None:
        yield Line(f"    not shown: {artifact.why}", Mark.BAD if artifact.is_other else None)
        return
    kept = artifact.lines if lines_max is None else artifact.lines[:lines_max]
    yield from _quoted(kept)
    if len(kept) < len(artifact.lines):
        yield Line(f"    ({counted(len(artifact.lines) - len(kept), 'more line')})", is_dim=True)


def _quoted(lines: Iterable[str]) -> Iterator[Line]:
    yield from (Line(f"    | {printable(one)}") for one in lines)


def _changed_lines(shown: Shown, width: int) -> Iterator[Line]:
    if shown.last is None:
        return
    yield Line("")
    last = shown.last
    said = f"since {last.who} {last.said.past} the last request"
    if not shown.changed:
        yield from map(Line, sentences(f"nothing has changed {said}", width))
        return
    yield from map(Line, sentences(f"changed {said}", width, indent="", hanging=""))
    yield from _quoted(shown.changed)


def _answer_lines(shown: Shown, width: int) -> Iterator[Line]:
    if shown.needed is not None:
        needed, given = shown.needed
        yield Line("")
        yield Line(f"{given} of {counted(needed, 'approval')}")
    for one in shown.answers:
        yield from map(Line, sentences(answer_words(one), width))


def answer_words(one: Answer) -> str:
    """Return an answer as text for people."""
    when = "" if one.at is None else f" {age(one.at)} ago"
    why = f": {described(one.reason)}" if one.reason else ""
    state = " (withdrawn)" if one.is_withdrawn else ""
    if one.problem is not None:
        state = f" (does not count: {one.problem})"
    return f"{one.said.past} by {one.who}{when}{why}{state}"
