"""Finds whose a signature is, and whether it counts: ssh-keygen is asked, in steps."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from fsm_orchestrator.approvals.keys import (
    AllowedLine,
    NotAKeyError,
    SigningKey,
    allowed_lines,
    certified_in,
    counted_lines,
    keys_of,
    principals_in,
    signing_key,
)
from fsm_orchestrator.approvals.said import NAMESPACES
from fsm_orchestrator.disk import files
from fsm_orchestrator.gates.sources.approval import REQUESTER, ApprovalTerms
from fsm_orchestrator.gates.sources.envelope import RefusedError
from fsm_orchestrator.gates.sources.signatures import (
    KEY_BYTES_MAX,
    SshSignature,
    SshTerms,
    readable,
    without_tool,
)
from fsm_orchestrator.model.approval import Said
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.processes.tool import ToolError, scratch_directory
from fsm_orchestrator.text.hidden import copyable


def not_by(principal: str) -> str:
    """Return why somebody may not approve."""
    return f"{principal} may not approve: it is the requester, or is named in `not`"


class Signer(NamedTuple):
    """The person who signed."""

    principal: str
    key: SigningKey
    is_requester: bool

    @property
    def identities(self) -> frozenset[str]:
        """The identities of this person: two people who share one are one person."""
        return self.key.identities | {self.principal}


class Signers:
    """The people who may sign, as the files of keys name them now."""

    def __init__(self, terms: ApprovalTerms, at: datetime | None = None) -> None:
        """Read the files. Keys have to be valid at `at`, by default now.

        Raises:
            RefusedError: a file cannot be read.
        """
        self._terms, self._at = terms, at
        path = terms.allowed_signers or ""
        for one in filter(None, (path, terms.revoked_keys)):
            readable(one)
        raw = files.read_bounded(Path(path), KEY_BYTES_MAX, is_link_good=True)
        self._lines: tuple[AllowedLine, ...] = tuple(
            allowed_lines(raw.decode(errors="surrogateescape"))
        )

    @property
    def principals(self) -> tuple[str, ...]:
        """The principals who may approve: those listed, or else all that the file names."""
        listed = self._terms.principals or principals_in(self._lines)
        return tuple(one for one in listed if not self._is_excluded(one))

    def _is_excluded(self, principal: str) -> bool:
        terms = self._terms
        is_requester = REQUESTER in terms.excluded and principal == terms.requester
        return is_requester or principal in terms.excluded

    @property
    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of all keys in the file."""
        return frozenset(one.fingerprint for one in self._lines)

    def signer(self, raw: bytes, signature: str, said: Said) -> Signer:
        """Return the person who has signed the bytes as that answer.

        Raises:
            RefusedError: nobody who may has signed them.
        """
        try:
            key = signing_key(signature)
        except NotAKeyError:
            why = "it has no SSH signature"
            raise RefusedError(EvidenceProblem.BAD_SIGNATURE, why) from None
        terms = self._terms
        with scratch_directory() as place:
            allowed, whole, detached = (place / one for one in ("allowed", "whole", "sig"))
            allowed.write_bytes(counted_lines(self._lines).encode(errors="surrogateescape"))
            everything = "".join(f"{one.text}\n" for one in self._lines)
            whole.write_bytes(everything.encode(errors="surrogateescape"))
            detached.write_text(signature)
            listed = terms.principals or (
                *principals_in(self._lines),
                *certified_in(key, self._lines),
            )
            asked = SshTerms(str(allowed), listed, terms.revoked_keys, NAMESPACES[said], self._at)
            try:
                principal = SshSignature(raw, str(detached), asked).signer()
                is_excluded = any(
                    self._is(one, principal, key, (raw, str(detached), str(whole)), said)
                    for one in self._excluded
                )
            except ToolError as error:
                raise without_tool(error, "ssh-keygen") from None
            except RefusedError as refused:
                if refused.problem is EvidenceProblem.UNKNOWN_SIGNER:
                    self._refuse_requester(key, (raw, str(detached), str(whole)), said)
                # ssh-keygen read copies of the files: name the operator's files instead.
                path = os.fspath(terms.allowed_signers or "")
                detail = str(refused).replace(str(allowed), path)
                if refused.problem is EvidenceProblem.UNKNOWN_SIGNER and not listed:
                    detail = f"it is signed, and {copyable(path)} names nobody whose key that is"
                raise RefusedError(refused.problem, detail) from None
        return Signer(principal, key, is_excluded)

    def _refuse_requester(
        self, key: SigningKey, files_of: tuple[bytes, str, str], said: Said
    ) -> None:
        """Distinguish known people who may not approve from strangers.

        Raises:
            RefusedError: the signer is one of them.
        """
        for one in self._excluded:
            if said is Said.APPROVE and self._is(one, "", key, files_of, said):
                raise RefusedError(EvidenceProblem.SELF_APPROVAL, not_by(one))

    @property
    def _excluded(self) -> tuple[str, ...]:
        terms = self._terms
        named = (terms.requester if one == REQUESTER else one for one in terms.excluded)
        return tuple(one for one in named if one is not None)

    def _is(
        self,
        excluded: str,
        principal: str,
        key: SigningKey,
        files_of: tuple[bytes, str, str],
        said: Said,
    ) -> bool:
        """Return whether a signer is somebody who may not approve, by name or by key."""
        if principal == excluded or key.identities & keys_of(excluded, self._lines):
            return True
        raw, detached, whole = files_of
        terms = SshTerms(whole, (excluded,), None, NAMESPACES[said])
        return SshSignature(raw, detached, terms).is_of(excluded)
