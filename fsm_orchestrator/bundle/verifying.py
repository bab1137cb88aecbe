"""Verifies a bundle, link by link: offline, and with nothing from the machine of the run.

The contents of a bundle are data: bounded, no path in them is followed, and nothing in them is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from fsm_orchestrator.bundle import (
    approval_links,
    archive_links,
    evidence_links,
    record_links,
    signature_links,
)
from fsm_orchestrator.bundle.archive_links import Notes
from fsm_orchestrator.bundle.known import BrokenError, Known, NotApplicableError, Wanted
from fsm_orchestrator.bundle.members import MemberKind
from fsm_orchestrator.bundle.opened import ChangedMeanwhileError, OpenedBundle
from fsm_orchestrator.bundle.verified import (
    Break,
    Check,
    CheckState,
    Link,
    Proof,
    Verdict,
    Verification,
)
from fsm_orchestrator.constants import PRODUCT, SCHEMA_VERSION, __version__
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted

DETAIL_CHARACTERS_MAX: Final = 1_000
"""The most characters of a problem's detail that are shown: it may quote what somebody made up."""
_VERIFY: Final[Mapping[Link, Callable[[Known], Notes]]] = {
    Link.ARCHIVE: archive_links.archive,
    Link.STATEMENT: archive_links.statement,
    Link.MEMBERS: archive_links.members,
    Link.CHECKPOINT: record_links.checkpoint,
    Link.LIFECYCLE: record_links.lifecycle,
    Link.HISTORY: record_links.history,
    Link.CHAIN: record_links.chain,
    Link.RECORD: record_links.record,
    Link.REPORT: record_links.report,
    Link.DERIVED: record_links.derived,
    Link.ARTIFACTS: record_links.artifacts,
    Link.EVIDENCE: evidence_links.evidence,
    Link.REQUESTS: approval_links.requests,
    Link.APPROVALS: approval_links.approvals,
    Link.SIGNATURES: signature_links.signatures,
    Link.HEAD: signature_links.head,
}
_STUMBLED: Final = (
    *(LookupError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, RecursionError),
)
"""The errors of reading impossible content: somebody else wrote that, so they are no bugs."""
_RECORD: Final = frozenset({Link.CHECKPOINT, Link.LIFECYCLE, Link.HISTORY, Link.CHAIN})
_NEEDS: Final[Mapping[Link, frozenset[Link]]] = {
    Link.ARCHIVE: frozenset(),
    Link.STATEMENT: frozenset({Link.ARCHIVE}),
    Link.MEMBERS: frozenset({Link.STATEMENT}),
    Link.CHECKPOINT: frozenset({Link.MEMBERS}),
    Link.LIFECYCLE: frozenset({Link.CHECKPOINT}),
    Link.HISTORY: frozenset({Link.LIFECYCLE}),
    Link.CHAIN: frozenset({Link.HISTORY}),
    Link.RECORD: _RECORD,
    Link.REPORT: _RECORD,
    Link.DERIVED: frozenset({Link.REPORT}),
    Link.ARTIFACTS: frozenset({Link.MEMBERS}),
    Link.EVIDENCE: _RECORD,
    Link.REQUESTS: _RECORD,
    Link.APPROVALS: frozenset({Link.REQUESTS}),
    Link.SIGNATURES: frozenset({Link.CHAIN}),
    Link.HEAD: frozenset({Link.CHAIN}),
}
"""The links that a link builds on, and through them those that they build on."""


class _NotAskedError(Exception):
    """An error for a tool, or a file of keys, that gives no answer: that breaks no bundle."""


def checks_of(known: Known) -> Iterator[Check]:
    """Yield the links in order, each verified when it is requested.

    Raises:
        UsageError: a tool, or a file of keys of the verifier, could not be asked, and nothing
            before was broken.
    """
    broken: set[Link] = set()
    for link in Link:
        if not broken.isdisjoint(_NEEDS[link]):
            broken.add(link)
            yield _check(link, CheckState.NOT_REACHED, "it builds on a link that is broken")
            continue
        try:
            check = _checked(link, known)
        except _NotAskedError as error:
            if not broken:
                raise _nothing_verified(known, error) from None
            check = _check(link, CheckState.NOT_REACHED, str(error))
        if check.state is CheckState.FAILED:
            broken.add(link)
        yield check


def _checked(link: Link, known: Known) -> Check:
    try:
        notes = _VERIFY[link](known)
    except NotApplicableError as error:
        return _check(link, CheckState.NOT_APPLICABLE, str(error), error.notes)
    except BrokenError as error:
        if error.problem is EvidenceProblem.ENGINE_ERROR:
            raise _NotAskedError(str(error)) from None
        return _check(link, CheckState.FAILED, str(error)).model_copy(
            update={
                "problem": error.problem,
                "member": error.member,
                "line": error.line,
                "at_byte": error.at_byte,
            }
        )
    except _STUMBLED:
        # The links read a record with functions that trust it to be one of this program's.
        said = "it says what no run can say, and cannot be followed"
        failed = _check(link, CheckState.FAILED, said)
        return failed.model_copy(update={"problem": Break.UNREADABLE})
    except ChangedMeanwhileError:
        said = "the file was changed while it was read"
        failed = _check(link, CheckState.FAILED, said)
        return failed.model_copy(update={"problem": Break.OTHER_BYTES})
    return _check(link, CheckState.PASSED, "", notes)


def _nothing_verified(known: Known, error: _NotAskedError) -> UsageError:
    return UsageError(
        f"cannot verify {copyable(known.bundle.path)}: {str(error)[:DETAIL_CHARACTERS_MAX]}",
        remedy="nothing was verified: give files of keys that can be read, and install what reads"
        " them",
    )


def _check(link: Link, state: CheckState, detail: str, notes: Notes = ()) -> Check:
    return Check(
        link=link,
        state=state,
        problem=None,
        member=None,
        line=None,
        at_byte=None,
        detail=detail[:DETAIL_CHARACTERS_MAX],
        means=link.meaning if state is CheckState.FAILED else None,
        notes=notes,
    )


def verification_of(bundle: OpenedBundle, wanted: Wanted) -> tuple[Verification, Known]:
    """Verify every link that can be verified; return the result, and what was learned.

    Raises:
        UsageError: as `checks_of`.
    """
    known = Known(bundle, wanted)
    checks = tuple(checks_of(known))
    broken = next((one.link for one in checks if one.state is CheckState.FAILED), None)
    by = _proofs(known, {one.link: one.state for one in checks})
    record = None if known.retelling is None else known.retelling.onward
    if record is None:
        record = known.checkpoint
    return (
        Verification(
            schema_version=SCHEMA_VERSION,
            product=PRODUCT,
            version=__version__,
            bundle=str(Path(bundle.path)),
            sha256=bundle.sha256,
            verdict=_verdict(broken, by),
            by=() if broken is not None else by,
            first_broken=broken,
            run_id=None if record is None else record.run_id,
            lifecycle=None if record is None else record.lifecycle.name,
            terminal_state=None if known.report is None else known.report.terminal_state,
            closure_ready=None if known.report is None else known.report.closure_ready,
            head=None if known.retelling is None else known.retelling.head,
            judged_at=known.judged_at,
            signatures=tuple(known.signatures),
            checks=checks,
            not_verified=tuple(dict.fromkeys((*known.not_verified, *_of_logs(known, by)))),
        ),
        known,
    )


def _verdict(broken: Link | None, by: tuple[Proof, ...]) -> Verdict:
    if broken is not None:
        return Verdict.BROKEN
    return Verdict.VERIFIED if by else Verdict.CONSISTENT


def _proofs(known: Known, states: Mapping[Link, CheckState]) -> tuple[Proof, ...]:
    found = []
    if known.has_signer and states[Link.SIGNATURES] is CheckState.PASSED:
        found.append(Proof.SIGNATURE)
    if states[Link.HEAD] is CheckState.PASSED:
        found.append(Proof.EXPECTED_HEAD)
    return tuple(found)


def _of_logs(known: Known, by: tuple[Proof, ...]) -> Iterator[str]:
    """Yield what no digest in the record covers, if nobody has signed the list of members."""
    logs = sum(1 for _ in known.bundle.of_kind(MemberKind.LOG))
    if logs and Proof.SIGNATURE not in by:
        yield f"{counted(logs, 'log')}: no event has their digests, so only a signature proves them"
