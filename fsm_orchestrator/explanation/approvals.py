"""The approvals that a run waits for: what to read, who can give them, and what to type.

Loaded only for runs that ask people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from fsm_orchestrator.approvals.standing import Awaited, Decided, asked_gates
from fsm_orchestrator.approvals.texts import text_of
from fsm_orchestrator.clock import SystemClock
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.explanation.explanation import Fact
from fsm_orchestrator.explanation.facts import FactName
from fsm_orchestrator.gates.sources.approval import ApprovalSource
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.record.kept import kept_settings
from fsm_orchestrator.text.hidden import copyable, printable, shell_line
from fsm_orchestrator.text.phrases import counted, listed

FIRST_LINES: Final = 3


def waiting_gates(view: InspectedRun) -> tuple[Awaited, ...]:
    """Return the gates that a waiting run asks people for, as they stand now."""
    asked = {one.gate for one in view.report.waiting_for if one.request is not None}
    if not asked or view.saved is None:
        return ()
    found = asked_gates(view.saved, view.directory, SystemClock().now())
    return tuple(one for one in found if one.gate in asked)


def approval_words(view: InspectedRun, shown: str) -> tuple[str, ...] | None:
    """Return the command that answers, or None if a resume is next. `shown` is OUT as typed."""
    open_gates = [one for one in waiting_gates(view) if one.decided is Decided.AWAITED]
    if not open_gates:
        return None
    which = () if len(open_gates) == 1 else ("--gate", open_gates[0].gate)
    return (PRODUCT, "approve", shown, *which)


def who_approves(view: InspectedRun) -> str | None:
    """Return who can approve and how many approvals there are, or None if nobody is asked."""
    said = []
    for one in waiting_gates(view):
        names, request = one.look.approvers, one.look.current
        if one.decided is Decided.PASSED or request is None:
            why = "is answered" if one.decided is Decided.PASSED else "has to be asked for again"
            said.append(f"anyone who may resume it, for {one.gate} {why}")
            continue
        people = listed(names) or _nameless_words(one.source)
        needed = counted(one.source.approval.quorum, "approval")
        given = f"{one.look.judged.given} of {needed} given"
        said.append(f"{people}: {given} for {one.gate}, until {request.predicate.expiresAt}")
    return "; ".join(said) or None


def _nameless_words(source: ApprovalSource) -> str:
    """Return who can approve where nobody is named."""
    path = source.approval.allowed_signers
    if path is None:
        return "anybody, without signing"
    return f"anyone with a certificate that {copyable(path)} accepts"


def waiting_words(view: InspectedRun, gate: str) -> str | None:
    """Return the current progress of a gate as a sentence, or None if nobody is asked for it."""
    found = next((one for one in waiting_gates(view) if one.gate == gate), None)
    return None if found is None else _words(found)


def words_by_now(view: InspectedRun) -> dict[str, str]:
    """Return, by name, the current progress of each gate for which the report is out of date."""
    then = {one.gate: one.given for one in view.report.waiting_for}
    return {
        one.gate: _words(one)
        for one in waiting_gates(view)
        if one.decided is not Decided.AWAITED or one.look.judged.given != then[one.gate]
    }


def _words(found: Awaited) -> str:
    gate, detail = found.gate, found.look.judged.detail
    match found.decided:
        case Decided.PASSED:
            return f"gate {gate} is {detail}; a resume continues"
        case Decided.EXPIRED:
            return f"the request of gate {gate} has expired; a resume asks again"
        case Decided.STALE:
            return f"what gate {gate} asks for has changed; a resume asks again"
        case Decided.REFUSED:
            return f"gate {gate} is {detail}"
        case Decided.AWAITED:
            return f"gate {gate} waits for people: {detail}"


def answered_remedy(view: InspectedRun, gate: str) -> str | None:
    """Return the remedy for a gate that people have answered by now, or None for any other gate."""
    found = next((one for one in waiting_gates(view) if one.gate == gate), None)
    if found is None or found.decided is Decided.AWAITED:
        return None
    if found.decided is Decided.REFUSED:
        return "fix what was denied; the person who denied it can take that back with `withdraw`"
    return "resume the run"


def approval_facts(view: InspectedRun, gate: str) -> Iterator[Fact]:
    """Yield what to read before a gate is approved, and the commands that would run."""
    found = next((one for one in waiting_gates(view) if one.gate == gate), None)
    if found is None or found.look.latest is None or view.saved is None:
        return
    mask: Callable[[str], str] = kept_settings(view.saved).masker.mask
    predicate = found.look.latest.predicate
    for file in predicate.artifacts:
        text = text_of(file, view.directory, mask)
        size = "" if file.size is None else f", {counted(file.size, 'byte')}"
        lines = "" if text.lines is None else f", {counted(len(text.lines), 'line')}"
        yield Fact(name=FactName.READ, value=f"{copyable(text.path)}{size}{lines}")
        if text.lines:
            first = [printable(line) for line in text.lines[:FIRST_LINES]]
            yield Fact(name=FactName.SAYS, value="\n".join(first))
        elif text.lines is None:
            yield Fact(name=FactName.NOT_SHOWN, value=text.why)
    for command in predicate.commands:
        yield Fact(name=FactName.RELEASES, value=shell_line(command.argv))
