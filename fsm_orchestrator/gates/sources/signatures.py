"""The signer of a statement, verified with common tools: `ssh-keygen` and `openssl`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, NamedTuple, Self

from fsm_orchestrator.disk import files
from fsm_orchestrator.gates.sources.envelope import Envelope, RefusedError, envelope_of, json_value
from fsm_orchestrator.gates.sources.installing import how_to_install
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field, StringConstraints, model_validator
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.processes.tool import ToolError, output_of, run_tool, scratch_directory
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import listed

NAMESPACE: Final = "fsm-orchestrator.evidence"
"""A namespace other than that of approvals: a signature of evidence approves nothing."""
KEY_BYTES_MAX: Final = 1024**2
_SSH_TIME: Final = "%Y%m%d%H%M%S"
"""The format in which ssh-keygen takes a time: in its own time zone, as in its files."""
_PathWord = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]
_Principal = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20,\"*?!]+$")]


class SignedBy(StrictModel):
    """The accepted signers: people of an SSH `allowed_signers` file, or keys of DSSE envelopes."""

    allowed_signers: _PathWord | None = Field(
        default=None,
        description="The file of keys that ssh-keygen(1) describes; the signature is a file of the"
        " statement's name with .sig after it.",
    )
    principals: tuple[_Principal, ...] = Field(
        default=(), description="Who of them may sign, such as ci@example.org."
    )
    revoked: _PathWord | None = Field(
        default=None, description="A file of revoked keys: a list of them, or a KRL."
    )
    dsse_keys: tuple[_PathWord, ...] = Field(
        default=(), description="Files with public keys in PEM; one of them must have signed."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.dsse_keys) is (self.allowed_signers is not None):
            raise ValueError("needs either allowed_signers or dsse_keys")
        if self.allowed_signers is not None and not self.principals:
            raise ValueError("needs the principals of allowed_signers who may sign")
        if self.allowed_signers is None and (self.principals or self.revoked):
            raise ValueError("principals and revoked go with allowed_signers")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """The files that say who may sign."""
        return tuple(filter(None, (self.allowed_signers, self.revoked, *self.dsse_keys)))

    def based(self, directory: str) -> Self:
        """Return the terms with absolute paths."""

        def at(path: str | None) -> str | None:
            return None if path is None else os.path.join(directory, path)

        return self.model_copy(
            update={
                "allowed_signers": at(self.allowed_signers),
                "revoked": at(self.revoked),
                "dsse_keys": tuple(os.path.join(directory, one) for one in self.dsse_keys),
            }
        )


def signer_of(raw: bytes, signature: str | None, by: SignedBy) -> str:
    """Return the signer of a statement. `signature` is the file of a detached signature.

    Raises:
        RefusedError: no accepted signer has signed it.
    """
    try:
        if by.allowed_signers is None:
            return _signer_of_envelope(raw, by)
        terms = SshTerms(by.allowed_signers, by.principals, by.revoked, NAMESPACE)
        return SshSignature(raw, signature, terms).signer()
    except ToolError as error:
        tool = "openssl" if by.allowed_signers is None else "ssh-keygen"
        raise without_tool(error, tool) from None


def without_tool(error: ToolError, tool: str) -> RefusedError:
    """Return the refusal if a tool could not be asked, with the commands that install it."""
    hint = f"; {how_to_install(tool)}" if error.is_missing else ""
    return RefusedError(EvidenceProblem.ENGINE_ERROR, f"{error}{hint}")


_KRL: Final = b"SSHKRL\n\0"
"""The first bytes of a list of revoked keys in OpenSSH's own format."""


class SshTerms(NamedTuple):
    """The SSH signers whose signatures count, and the purpose.

    Attributes:
        at: the time as of which keys are valid; None for now.
    """

    allowed_signers: str
    principals: tuple[str, ...]
    revoked: str | None
    namespace: str
    at: datetime | None = None


class SshSignature:
    """A detached SSH signature, checked in steps: ssh-keygen has one exit code for all faults."""

    def __init__(self, raw: bytes, signature: str | None, terms: SshTerms) -> None:
        self._raw, self._by = raw, terms
        self._signature = signature or ""
        self._allowed = terms.allowed_signers

    def signer(self) -> str:
        """Return the principal who made the signature.

        Raises:
            RefusedError: no principal who may sign has made it.
        """
        if not os.path.isfile(self._signature):
            said = f"there is no signature {copyable(self._signature)}"
            raise RefusedError(EvidenceProblem.UNSIGNED, said)
        for path in filter(None, (self._allowed, self._by.revoked)):
            raw = readable(path)
            if path == self._by.revoked and b"\0" in raw and not raw.startswith(_KRL):
                raise _malformed(path)  # ssh-keygen reads no line after the zero byte
        if not self.is_whole():
            said = "its signature is not of these bytes, or is for another purpose"
            raise RefusedError(EvidenceProblem.BAD_SIGNATURE, said)
        found = self._signer_by(self._allowed, self._by.revoked)
        if found is None:
            raise self._why_not()
        return found

    def is_whole(self) -> bool:
        """Return whether it is a signature of these bytes for this purpose, by any key."""
        return self._ask("check-novalidate") == 0

    def is_of(self, principal: str) -> bool:
        """Return whether a principal made it, whenever the key may have been valid."""
        with scratch_directory() as place:
            looser = place / "allowed_signers"
            text = files.read_bounded(Path(self._allowed), KEY_BYTES_MAX, is_link_good=True)
            looser.write_bytes(_without("valid-before", _without("valid-after", text)))
            return self._ask("verify", "-f", str(looser), "-I", principal) == 0

    def _signer_by(self, allowed: str, revoked: str | None) -> str | None:
        """Return the principal who made the signature according to a file of signers, or None."""
        more = () if revoked is None else ("-r", revoked)
        return next(
            (
                one
                for one in self._by.principals
                if self._ask("verify", "-f", allowed, "-I", one, *more) == 0
            ),
            None,
        )

    def _why_not(self) -> RefusedError:
        """Return why a good signature does not count, found by repeating it with fewer demands."""
        if self._by.revoked is not None and _is_malformed(self._by.revoked):
            return _malformed(self._by.revoked)
        if self._by.revoked is not None and self._signer_by(self._allowed, None) is not None:
            return RefusedError(EvidenceProblem.REVOKED, "the key that signed it is revoked")
        for option, problem, said in (
            ("valid-before", EvidenceProblem.EXPIRED, "the key that signed it has expired"),
            (
                "valid-after",
                EvidenceProblem.NOT_YET_VALID,
                "the key that signed it is not valid yet",
            ),
        ):
            with scratch_directory() as place:
                looser = place / "allowed_signers"
                text = files.read_bounded(Path(self._allowed), KEY_BYTES_MAX, is_link_good=True)
                looser.write_bytes(_without(option, text))
                if self._signer_by(str(looser), self._by.revoked) is not None:
                    return RefusedError(problem, said)
        people = listed(self._by.principals)
        said = f"it is signed, but not by {people} as {copyable(self._allowed)} knows them"
        return RefusedError(EvidenceProblem.UNKNOWN_SIGNER, said)

    def _ask(self, what: str, *words: str) -> int:
        last = ("-n", self._by.namespace, "-s", self._signature)
        at = self._by.at
        if at is None or what != "verify":
            return run_tool(("ssh-keygen", "-Y", what, *words, *last), given=self._raw).code
        as_of = f"-Overify-time={at.astimezone():{_SSH_TIME}}"
        return run_tool(("ssh-keygen", "-Y", what, as_of, *words, *last), given=self._raw).code


def _malformed(revoked: str) -> RefusedError:
    said = (
        f"{copyable(revoked)} is malformed: neither a list of keys nor a KRL, so nobody's key is"
        " known not to be revoked"
    )
    return RefusedError(EvidenceProblem.ENGINE_ERROR, said)


def _is_malformed(revoked: str) -> bool:
    """Return whether a file of revoked keys is known to be malformed: it then revokes every key.

    A key made for this check is in no list. If none can be made, nothing is known of the file.
    """
    try:
        return not _is_of_keys(revoked)
    except ToolError:
        return False


def _is_of_keys(revoked: str) -> bool:
    """Return whether a file of revoked keys accepts a key made for this check.

    Raises:
        ToolError: no such key can be made.
    """
    with scratch_directory() as place:
        key, allowed, signature = (str(place / one) for one in ("key", "allowed", "sig"))
        output_of(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key))
        sign = ("ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", NAMESPACE)
        Path(signature).write_bytes(output_of(sign))
        Path(allowed).write_text(f"probe {Path(f'{key}.pub').read_text()}")
        verify = ("ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "probe", "-r", revoked)
        return run_tool((*verify, "-n", NAMESPACE, "-s", signature)).code == 0


def _without(option: str, allowed: bytes) -> bytes:
    """Return a file of signers without an option that limits when a key is valid."""
    name = option.encode()
    loosened = re.sub(rb'\b%s="[^"\n]*",?' % name, b"", allowed)
    return re.sub(rb",(?=[ \t])", b"", loosened)


class _Key(NamedTuple):
    """A public key of a DSSE signer."""

    path: str
    is_ed25519: bool
    keyid: str


def _keys(by: SignedBy) -> Iterator[_Key]:
    for path in by.dsse_keys:
        readable(path)
        key = ("openssl", "pkey", "-pubin", "-in", path)
        described = output_of((*key, "-noout", "-text_pub"))
        der = output_of((*key, "-outform", "DER"))
        yield _Key(path, b"ED25519" in described, hashlib.sha256(der).hexdigest())


def _signer_of_envelope(raw: bytes, by: SignedBy) -> str:
    keys = tuple(_keys(by))
    envelope = envelope_of(json_value(raw))
    if envelope is None or not envelope.signatures:
        raise RefusedError(EvidenceProblem.UNSIGNED, "it has no DSSE signature")
    for key in keys:
        if _has_signed(key, envelope):
            return f"{os.path.basename(key.path)} (sha256 {key.keyid[:12]})"
    named = {one.keyid for one in envelope.signatures}
    if "" not in named and named.isdisjoint(one.keyid for one in keys):
        said = "it is signed, but by no key of dsse_keys"
        raise RefusedError(EvidenceProblem.UNKNOWN_SIGNER, said)
    said = "no key of dsse_keys has made a signature of it"
    raise RefusedError(EvidenceProblem.BAD_SIGNATURE, said)


def _has_signed(key: _Key, envelope: Envelope) -> bool:
    with scratch_directory() as place:
        signed, signature = str(place / "signed"), str(place / "signature")
        Path(signed).write_bytes(envelope.signed_bytes)
        verify = (
            ("pkeyutl", "-verify", "-pubin", "-inkey", key.path, "-rawin", "-in", signed)
            if key.is_ed25519
            else ("dgst", "-sha256", "-verify", key.path)
        )
        last = ("-sigfile", signature) if key.is_ed25519 else ("-signature", signature, signed)
        for one in envelope.signatures:
            Path(signature).write_bytes(one.raw)
            if run_tool(("openssl", *verify, *last)).code == 0:
                return True
    return False


def readable(path: str) -> bytes:
    """Read a file of keys, or refuse it, because it is then unknown who may sign.

    Raises:
        RefusedError: it cannot be read.
    """
    try:
        return files.read_bounded(Path(path), KEY_BYTES_MAX, is_link_good=True)
    except OSError as error:
        said = f"{copyable(path)}: {files.reason(error)}"
        raise RefusedError(EvidenceProblem.ENGINE_ERROR, said) from None
