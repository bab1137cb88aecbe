"""Asks people for a gate, and judges their answers: the request, and whether it is approved.

A request is kept until it expires or what it asks for changes; then people are asked again, and the
old request stays on record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from fsm_orchestrator.approvals import store
from fsm_orchestrator.approvals.content import Asking
from fsm_orchestrator.approvals.judging import Judged, Requests, Vote, judged
from fsm_orchestrator.approvals.request import ApprovalPredicate, StoredRequest, differences
from fsm_orchestrator.approvals.store import Kept
from fsm_orchestrator.approvals.texts import keep_copies
from fsm_orchestrator.approvals.verifying import Signers
from fsm_orchestrator.approvals.votes import votes_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.gates.sources.approval import ApprovalSource, ApprovalTerms
from fsm_orchestrator.gates.sources.base import Evidence, answer
from fsm_orchestrator.gates.sources.envelope import RefusedError
from fsm_orchestrator.gates.sources.times import CLOCK_SKEW
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.approval import ApprovalState
from fsm_orchestrator.model.evidence import SourceKind, nothing_from
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.text.instants import instant


class Look(NamedTuple):
    """The current state of a request.

    Attributes:
        content: what would be asked now.
        signers: the people who may sign; None if nobody has to, or the files cannot be read.
        approvers: the principals who may approve.
    """

    content: ApprovalPredicate
    kept: Kept
    requests: Requests
    signers: Signers | None
    votes: tuple[Vote, ...]
    judged: Judged
    approvers: tuple[str, ...]

    @property
    def current(self) -> StoredRequest | None:
        """The request that asks for exactly this, and can be approved now."""
        return self.requests.current

    @property
    def latest(self) -> StoredRequest | None:
        """The latest request, even if it asks for something else."""
        found = of_state(self.kept, self.content.state)
        return found[-1] if found else self.current


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The place where people are asked for one gate in one gate state.

    Attributes:
        output: the output directory.
        home: the output directory, held; None if nothing may be written.
        settings: the settings of each stage, as exact as they are known.
        is_entry: True if an approval lets the run in now: it is then used.
    """

    checkpoint: Checkpoint
    settings: Mapping[str, StageSettings]
    gate: str
    state: State
    output: Path
    home: HeldDirectory | None
    now: datetime
    mask: Callable[[str], str]
    is_entry: bool = False

    def __call__(self, source: ApprovalSource) -> Evidence:
        """Ask, and judge the answers.

        The texts of the evidence are not masked yet.

        Raises:
            RecordingError: the request cannot be written.
        """
        terms, seen = source.approval, self.look(source)
        current, found = seen.current, seen.judged
        if found.problem is None and current is not None and self.is_entry:
            self._note_use(current, seen.kept)
        state = ApprovalState(
            state=self.state.name,
            cycle=seen.content.cycle,
            request=None if current is None else current.file,
            request_sha256=None if current is None else current.sha256,
            approvers=seen.approvers,
            needed=terms.quorum,
            given=found.given,
            expires_at=None if current is None else current.predicate.expiresAt,
            answers=found.answers,
        )
        principals = (one.principal for one in found.answers if one.counts)
        signer = ", ".join(dict.fromkeys(filter(None, principals)))
        record = nothing_from(SourceKind.APPROVAL).model_copy(
            update={"subject": seen.content.named}
        )
        known = {
            "statement_sha256": state.request_sha256,
            "file": state.request,
            "signer": (signer or None) if found.problem is None else None,
            "expires_at": found.expires_at,
            "approval": state,
        }
        return Evidence(None, answer(record, found.problem, found.detail, **known))

    def look(self, source: ApprovalSource) -> Look:
        """Look at the request and its answers; make a new request if none asks for just this.

        Raises:
            RecordingError: the request cannot be written.
        """
        terms = source.approval
        asking = Asking(
            self.checkpoint, self.settings, self.gate, self.state, self.mask, self.output
        )
        content, kept = asking.content(terms, self.now), store.kept(self.output, self.gate)
        current = kept_request(kept, content, terms, self.now)
        if current is None and self.home is not None:
            current = store.keep_request(self.home, kept.last_number + 1, content)
            keep_copies(self.home, current, self.mask)
        requests = _requests(current, content, kept)
        signers: Signers | None = None
        votes: tuple[Vote, ...] = ()
        try:
            signers = None if terms.allowed_signers is None else Signers(terms)
            votes = votes_of(kept, requests, terms, signers)
            found = judged(requests, votes, terms, self.now)
        except RefusedError as refused:
            found = Judged(refused.problem, str(refused), 0, None, ())
        people = terms.principals if signers is None else signers.principals
        return Look(content, kept, requests, signers, votes, found, people)

    def _note_use(self, current: StoredRequest, kept: Kept) -> None:
        if self.home is not None and current.sha256 not in kept.used:
            store.keep_use(self.home, current, self.now)


def of_state(kept: Kept, state: str) -> tuple[StoredRequest, ...]:
    """Return the requests of one gate state: others may ask for the same gate."""
    return tuple(one for one in kept.requests if one.predicate.state == state)


def kept_request(
    kept: Kept, content: ApprovalPredicate, terms: ApprovalTerms, now: datetime
) -> StoredRequest | None:
    """Return the latest request of the gate state if it asks for just this and still holds.

    A request that can be approved for longer than the terms allow is not this program's.
    """
    asked_here = of_state(kept, content.state)
    if not asked_here:
        return None
    latest = asked_here[-1]
    asked, expires = instant(latest.predicate.askedAt), instant(latest.predicate.expiresAt)
    is_ours = asked - now <= CLOCK_SKEW and expires - asked <= timedelta(milliseconds=terms.expires)
    is_same = not differences(latest.predicate, content)
    return latest if is_ours and is_same and now < expires else None


def _requests(current: StoredRequest | None, content: ApprovalPredicate, kept: Kept) -> Requests:
    earlier = tuple(one for one in kept.requests if current is None or one.file != current.file)
    return Requests(current, content, earlier, kept.used)
