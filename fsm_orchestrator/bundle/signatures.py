"""The signatures of a bundle: their names in it, and their forms.

They sign the exact bytes of the statement, or of the VSA. No statement lists them, so whether and
by whom a bundle is signed changes nothing else in it.
"""

from __future__ import annotations

import base64
import json
from enum import StrEnum
from typing import Any, Final, NamedTuple

from fsm_orchestrator.bundle.members import SIGNATURES_DIRECTORY
from fsm_orchestrator.gates.sources.envelope import PAYLOAD_TYPE
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.late_pattern import late_pattern

NAMESPACE: Final = "fsm-orchestrator.run"
"""The purpose of an SSH signature: one of evidence or of an approval does not count here."""
SIGSTORE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
MARK_DIGITS: Final = 16
_NAME: Final = late_pattern(
    rf"{SIGNATURES_DIRECTORY}/(statement|vsa)\.([0-9a-f]{{{MARK_DIGITS}}})"
    r"\.(sig|dsse\.json|sigstore\.json)"
)


class Signed(StrEnum):
    """The document that is signed."""

    STATEMENT = "statement"
    SUMMARY = "vsa"


class Form(StrEnum):
    """The form of a signature, by the ending of its name."""

    SSH = "sig"
    DSSE = "dsse.json"
    SIGSTORE = "sigstore.json"


class SignatureName(NamedTuple):
    """The parts of a signature's name.

    Attributes:
        mark: the mark of its key (`mark_of`).
    """

    signed: Signed
    mark: str
    form: Form

    @property
    def member(self) -> str:
        """The name of the member."""
        return f"{SIGNATURES_DIRECTORY}/{self.signed}.{self.mark}.{self.form}"


def named(member: str) -> SignatureName | None:
    """Return the parts of a member's name, or None if it is not a signature's."""
    found = _NAME.fullmatch(member)
    return None if found is None else SignatureName(Signed(found[1]), found[2], Form(found[3]))


def mark_of(key: str) -> str:
    """Return a mark that distinguishes a key's signatures; `key` is its fingerprint or keyid."""
    return sha256_of(key.encode())[:MARK_DIGITS]


def signed_bytes(payload: bytes) -> bytes:
    """Return the bytes that a DSSE signature signs: a payload with its type and their lengths."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def dsse_bytes(payload: bytes, keyid: str, signature: bytes) -> bytes:
    """Return a DSSE envelope."""
    return _document(_envelope(payload, keyid, signature))


def sigstore_bytes(payload: bytes, keyid: str, signature: bytes) -> bytes:
    """Return a Sigstore bundle of the same, which names the key by a hint."""
    return _document(
        {
            "mediaType": SIGSTORE_TYPE,
            "verificationMaterial": {"publicKey": {"hint": keyid}, "tlogEntries": []},
            "dsseEnvelope": _envelope(payload, keyid, signature),
        }
    )


def _envelope(payload: bytes, keyid: str, signature: bytes) -> dict[str, Any]:
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    }


def _document(document: dict[str, Any]) -> bytes:
    return (json.dumps(document) + "\n").encode()
