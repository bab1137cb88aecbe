"""What is known of a bundle while its links are verified, and how a link says that it is broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from fsm_orchestrator.bundle.opened import OpenedBundle
from fsm_orchestrator.bundle.statement import RunStatement
from fsm_orchestrator.bundle.verified import FoundSignature, Problem
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.retelling import Retelling


class Requirement(StrEnum):
    """What has to be proved beside the bundle's own consistency."""

    SIGNATURE = "signature"
    APPROVALS = "approvals"
    EVIDENCE = "evidence"


class Wanted(NamedTuple):
    """By what a bundle is verified, and what is asked of it.

    Attributes:
        allowed_signers: the verifier's file of SSH keys; None without one.
        revoked_keys: the verifier's file of revoked keys; None without one.
        public_keys: files with public keys in PEM.
        expected_head: the digest that the chain of events is to end with; None for any.
    """

    allowed_signers: str | None = None
    revoked_keys: str | None = None
    public_keys: tuple[str, ...] = ()
    requires: frozenset[Requirement] = frozenset()
    expected_head: str | None = None


class BrokenError(Exception):
    """A link does not hold."""

    def __init__(
        self,
        problem: Problem,
        detail: str,
        *,
        member: str | None = None,
        line: int | None = None,
        at_byte: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem
        self.member = member
        self.line = line
        self.at_byte = at_byte


class NotApplicableError(Exception):
    """There is nothing to verify, or nothing to verify it by; the message says which."""

    def __init__(self, detail: str, notes: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.notes = notes


@dataclass
class Known:
    """What has been read and found good, by the links so far.

    Attributes:
        judged_at: when the run came to its end, as of which keys and approvals are judged.
        signatures: what signs the bundle, as far as it was looked at.
        not_verified: what a reader might take for proved, and is not.
    """

    bundle: OpenedBundle
    wanted: Wanted
    statement: RunStatement | None = None
    checkpoint: Checkpoint | None = None
    retelling: Retelling | None = None
    report: Report | None = None
    judged_at: str | None = None
    signatures: list[FoundSignature] = field(default_factory=list)
    has_signer: bool = False
    not_verified: list[str] = field(default_factory=list)

    def data(self, name: str) -> bytes:
        """Return a member that is held, which the links before have found to be there."""
        found = self.bundle.data_of(name)
        if found is None:
            raise AssertionError(name)
        return found
