"""The last links: who has signed the bundle, and whether its chain ends where it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.approvals.keys import (
    NotAKeyError,
    allowed_lines,
    certified_in,
    counted_lines,
    principals_in,
    signing_key,
)
from fsm_orchestrator.bundle.archive_links import Notes
from fsm_orchestrator.bundle.archive_reader import ArchiveProblem
from fsm_orchestrator.bundle.known import BrokenError, Known, NotApplicableError, Requirement
from fsm_orchestrator.bundle.members import STATEMENT_MEMBER, SUMMARY_MEMBER, MemberKind
from fsm_orchestrator.bundle.opened import MemberFacts
from fsm_orchestrator.bundle.signatures import (
    NAMESPACE,
    Form,
    SignatureName,
    Signed,
    dsse_bytes,
    mark_of,
    named,
    sigstore_bytes,
)
from fsm_orchestrator.bundle.verified import Break, FoundSignature
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.peek import has_too_many_values
from fsm_orchestrator.gates.sources.envelope import RefusedError, envelope_of, json_value
from fsm_orchestrator.gates.sources.signatures import (
    KEY_BYTES_MAX,
    SignedBy,
    SshSignature,
    SshTerms,
    readable,
    signer_of,
    without_tool,
)
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.processes.tool import ToolError, scratch_directory
from fsm_orchestrator.text.instants import instant

SIGNATURES_MAX: Final = 100
"""The most signatures that a bundle may have: each takes several processes to verify."""
_SSH_BYTES_MAX: Final = 64 * 1024


class _Looked(NamedTuple):
    """A signature of the bytes that it should be of.

    Attributes:
        signer: whose it is; None if the verifier's files do not say.
        unknown: why they do not; empty if there are none to ask.
    """

    name: SignatureName
    key: str
    signer: str | None
    unknown: str = ""


def signatures(known: Known) -> Notes:
    """Verify every signature of the bundle, as of the end of the run."""
    looked = [*_looked(known)]
    known.signatures += [
        FoundSignature(
            member=one.name.member,
            form=one.name.form,
            signed=one.name.signed,
            key=one.key,
            signer=one.signer,
        )
        for one in looked
    ]
    signers = [one for one in looked if one.signer and one.name.signed is Signed.STATEMENT]
    known.has_signer = bool(signers)
    if not signers:
        _without_signer(known, looked)
    notes = [f"by {one.signer}, key {one.key}" for one in signers]
    notes += [f"also by the key {one.key}: {one.unknown}" for one in looked if one.unknown]
    return (*dict.fromkeys(notes), f"keys judged as of {known.judged_at}")


def _without_signer(known: Known, looked: list[_Looked]) -> None:
    """Raise an error that says why no signer is known, by the verifier's files."""
    unknown = next((one for one in looked if one.unknown), None)
    if unknown is not None:
        said = unknown.unknown
        raise BrokenError(EvidenceProblem.UNKNOWN_SIGNER, said, member=unknown.name.member)
    if Requirement.SIGNATURE in known.wanted.requires:
        why = (
            "it is signed, and nothing says whose key that is: --allowed-signers, --public-key"
            if looked
            else "it is not signed"
        )
        raise BrokenError(Break.REQUIRED, why)
    if not looked:
        raise NotApplicableError("it is not signed")
    option = "--allowed-signers" if looked[0].name.form is Form.SSH else "--public-key"
    said = f"it is signed by the key {looked[0].key}; without {option} nobody knows whose that is"
    known.not_verified.append(f"who has signed the bundle: {said}")
    raise NotApplicableError(said)


def _looked(known: Known) -> Iterator[_Looked]:
    found = [*known.bundle.of_kind(MemberKind.SIGNATURE)]
    if len(found) > SIGNATURES_MAX:
        said = f"it has {len(found)} signatures, more than anybody makes"
        raise BrokenError(ArchiveProblem.TOO_MANY, said)
    for member in found:
        name = named(member.name)
        if name is None:
            raise BrokenError(Break.UNLISTED, "it is no signature of a bundle", member=member.name)
        try:
            if name.form is Form.SSH:
                yield _ssh(known, name, member)
            else:
                yield _envelope(known, name, member)
        except RefusedError as refused:
            raise BrokenError(refused.problem, str(refused), member=member.name) from None


def _ssh(known: Known, name: SignatureName, member: MemberFacts) -> _Looked:
    """Find out whose an SSH signature is.

    Raises:
        RefusedError: it does not sign the statement, or its key no longer counts.
    """
    if member.size_bytes > _SSH_BYTES_MAX:
        raise RefusedError(EvidenceProblem.BAD_SIGNATURE, "it is larger than any SSH signature")
    text = (member.data or b"").decode(errors="replace")
    try:
        key = signing_key(text)
    except NotAKeyError:
        raise RefusedError(EvidenceProblem.BAD_SIGNATURE, "it is no SSH signature") from None
    _check_mark(name, key.fingerprint)
    statement, wanted = known.data(STATEMENT_MEMBER), known.wanted
    with scratch_directory() as place:
        detached, allowed = place / "sig", place / "allowed"
        detached.write_text(text)
        principals: tuple[str, ...] = ()
        if wanted.allowed_signers is not None:
            readable(wanted.allowed_signers)
            path = Path(wanted.allowed_signers)
            raw = files.read_bounded(path, KEY_BYTES_MAX, is_link_good=True)
            lines = tuple(allowed_lines(raw.decode(errors="surrogateescape")))
            allowed.write_bytes(counted_lines(lines).encode(errors="surrogateescape"))
            principals = (*principals_in(lines), *certified_in(key, lines))
        at = instant(known.judged_at or "")
        terms = SshTerms(str(allowed), principals, wanted.revoked_keys, NAMESPACE, at)
        signature = SshSignature(statement, str(detached), terms)
        try:
            if wanted.allowed_signers is None:
                is_whole = signature.is_whole()
            else:
                return _Looked(name, key.fingerprint, signature.signer())
        except ToolError as error:
            raise without_tool(error, "ssh-keygen") from None
        except RefusedError as refused:
            if refused.problem is not EvidenceProblem.UNKNOWN_SIGNER:
                raise
            said = "--allowed-signers names nobody whose key that is"
            return _Looked(name, key.fingerprint, None, said)
    if not is_whole:
        said = "it is not a signature of the statement"
        raise RefusedError(EvidenceProblem.BAD_SIGNATURE, said)
    return _Looked(name, key.fingerprint, None)


def _check_mark(name: SignatureName, key: str) -> None:
    """Refuse a signature that has the name of another key's."""
    if mark_of(key) != name.mark:
        raise RefusedError(EvidenceProblem.BAD_SIGNATURE, "its name is that of another key's")


def _envelope(known: Known, name: SignatureName, member: MemberFacts) -> _Looked:
    """Find out whose a DSSE signature is, also in a Sigstore bundle.

    Raises:
        RefusedError: it does not sign the statement or the VSA, or is not as a bundle writes it.
    """
    raw = member.data or b""
    if has_too_many_values(raw):
        said = "it has more values than any signature"
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said)
    document = json_value(raw)
    if name.form is Form.SIGSTORE:
        document = document.get("dsseEnvelope") if isinstance(document, dict) else None
    envelope = envelope_of(document)
    payload = known.data(STATEMENT_MEMBER if name.signed is Signed.STATEMENT else SUMMARY_MEMBER)
    if envelope is None or len(envelope.signatures) != 1 or envelope.raw != payload:
        said = f"it is no signature of the {name.signed} in this bundle"
        raise RefusedError(EvidenceProblem.BAD_SIGNATURE, said)
    (one,) = envelope.signatures
    write = sigstore_bytes if name.form is Form.SIGSTORE else dsse_bytes
    if write(payload, one.keyid, one.raw) != raw:
        said = "it is not written as a bundle writes it"
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said)
    _check_mark(name, one.keyid)
    if not known.wanted.public_keys:
        return _Looked(name, one.keyid, None)
    alone = dsse_bytes(payload, one.keyid, one.raw)
    try:
        signer = signer_of(alone, None, SignedBy(dsse_keys=known.wanted.public_keys))
    except RefusedError as refused:
        if refused.problem is not EvidenceProblem.UNKNOWN_SIGNER:
            raise
        said = "it is by none of the keys that were given with --public-key"
        return _Looked(name, one.keyid, None, said)
    return _Looked(name, one.keyid, signer)


def head(known: Known) -> Notes:
    """Compare the end of the chain with the expected one."""
    wanted = known.wanted.expected_head
    if wanted is None:
        raise NotApplicableError("without --expect-head any chain will do")
    if known.retelling is None:
        raise AssertionError("chain")
    if known.retelling.head != wanted:
        said = f"it ends with {known.retelling.head}, and {wanted} was expected"
        raise BrokenError(Break.OTHER_THING, said)
    return (f"event {known.retelling.last_seq}, {wanted}",)
