"""Signs a bundle: with a key that SSH knows, or with an ed25519 key in PEM."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.approvals.keys import NotAKeyError, signing_key
from fsm_orchestrator.approvals.signing import key_to_use, signature_of
from fsm_orchestrator.bundle.signatures import (
    NAMESPACE,
    Form,
    SignatureName,
    Signed,
    dsse_bytes,
    mark_of,
    signed_bytes,
    sigstore_bytes,
)
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.text.hidden import copyable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KEY_BYTES_MAX: Final = 64 * 1024
_PEM: Final = b"-----BEGIN PRIVATE KEY-----"
_ENCRYPTED_PEM: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_KIND: Final = "an SSH key (or its .pub where an agent has it), or an ed25519 key in PEM"


class Signature(NamedTuple):
    """A member that is a signature, and the key as people name it."""

    member: str
    data: bytes
    by: str


class SshKey(NamedTuple):
    """A key that ssh-keygen signs with."""

    path: str

    def signatures(self, statement: bytes, _summary: bytes) -> Iterator[Signature]:
        """Sign the statement.

        Raises:
            CommandError: it could not be signed.
        """
        text = signature_of(statement, key_to_use(self.path, None), NAMESPACE)
        try:
            by = signing_key(text).fingerprint
        except NotAKeyError as error:
            raise CommandError(f"nothing was signed: {error}") from None
        name = SignatureName(Signed.STATEMENT, mark_of(by), Form.SSH)
        yield Signature(name.member, text.encode(), by)


class PemKey(NamedTuple):
    """An ed25519 key: it signs as DSSE, which is also written as a Sigstore bundle."""

    key: Ed25519PrivateKey
    keyid: str

    def signatures(self, statement: bytes, summary: bytes) -> Iterator[Signature]:
        """Sign the statement and the VSA."""
        mark = mark_of(self.keyid)
        for signed, payload in ((Signed.STATEMENT, statement), (Signed.SUMMARY, summary)):
            signature = self.key.sign(signed_bytes(payload))
            for form, write in ((Form.DSSE, dsse_bytes), (Form.SIGSTORE, sigstore_bytes)):
                name = SignatureName(signed, mark, form)
                yield Signature(name.member, write(payload, self.keyid, signature), self.keyid)


def key_at(path: str) -> SshKey | PemKey:
    """Return the key in a file.

    Raises:
        UsageError: there is none to sign with.
    """
    path = os.path.expanduser(path)
    try:
        data = files.read_bounded(Path(path), _KEY_BYTES_MAX, is_link_good=True)
    except OSError as error:
        raise UsageError(
            f"cannot read the key {copyable(path)}: {files.reason(error)}", remedy=f"name {_KIND}"
        ) from None
    if _ENCRYPTED_PEM in data:
        raise UsageError(
            f"the key {copyable(path)} has a passphrase, and is no SSH key",
            remedy="take an SSH key, or one in PEM without a passphrase: openssl pkey -in KEY -out"
            " PLAIN",
        )
    return _pem_key(path, data) if _PEM in data else SshKey(path)


def _pem_key(path: str, data: bytes) -> PemKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "signing with a key in PEM needs the package cryptography",
            remedy="pip install 'fsm-orchestrator[sign]', or sign with an SSH key",
        ) from None
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UsageError(
            f"{copyable(path)} is no ed25519 key",
            remedy="make one: openssl genpkey -algorithm ed25519 -out KEY",
        )
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    from hashlib import sha256  # noqa: PLC0415 - only here

    return PemKey(key, sha256(der).hexdigest())


def signatures_by(
    keys: Iterable[SshKey | PemKey], statement: bytes, summary: bytes
) -> tuple[Signature, ...]:
    """Return the signatures by the keys, each member once.

    Raises:
        CommandError: it could not be signed.
    """
    found = {one.member: one for key in keys for one in key.signatures(statement, summary)}
    return tuple(found.values())
