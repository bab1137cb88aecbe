"""The facts that verified links establish about a bundle, and the errors that a link raises."""

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
    """A proof that is required besides the bundle's own consistency."""

    SIGNATURE = "signature"
    APPROVALS = "approvals"
    EVIDENCE = "evidence"


class Wanted(NamedTuple):
    """The means of verifying a bundle, and what is required of it.

    Attributes:
        allowed_signers: the verifier's file of SSH keys; None without one.
        revoked_keys: the verifier's file of revoked keys; None without one.
        public_keys: files with public keys in PEM.
        expected_head: the digest that the chain of events must end with; None for any.
    """

    allowed_signers: str | None = None
    revoked_keys: str | None = None
    public_keys: tuple[str, ...] = ()
    requires: frozenset[Requirement] = frozenset()
    expected_head: str | None = None


class BrokenError(Exception):
    """An error for a link that does not hold."""

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
    """An error for a link with nothing to verify, or nothing to verify it by; it says which."""

    def __init__(self, detail: str, notes: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.notes = notes


@dataclass
class Known:
    """The parts of a bundle that the links so far have read and found good.

    Attributes:
        judged_at: when the run ended; keys and approvals are judged as of then.
        signatures: the bundle's signatures, as far as they were looked at.
        not_verified: what a reader might take for proved, but is not.
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
        """Return a held member that earlier links have found to be there."""
        found = self.bundle.data_of(name)
        if found is None:
            raise AssertionError(name)
        return found
