"""The outer layers of a statement: unambiguous JSON, and the DSSE envelope around it."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Final, Literal

from fsm_orchestrator.model.declared import BaseModel, ConfigDict, Field, ValidationError
from fsm_orchestrator.model.evidence import EvidenceProblem

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_SIGNATURES_MAX: Final = 100


class RefusedError(Exception):
    """Evidence does not pass; carries the problem, and a sentence about it."""

    def __init__(self, problem: EvidenceProblem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class EnvelopeSignature(BaseModel):
    """A signature of an envelope."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    keyid: str = ""
    sig: str

    @property
    def raw(self) -> bytes:
        """The bytes of the signature."""
        return _decoded(self.sig)


class Envelope(BaseModel):
    """A DSSE envelope."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    payloadType: Literal["application/vnd.in-toto+json"]  # noqa: N815 - the format's name
    payload: str
    signatures: Annotated[tuple[EnvelopeSignature, ...], Field(max_length=_SIGNATURES_MAX)] = ()

    @property
    def raw(self) -> bytes:
        """The bytes of the payload."""
        return _decoded(self.payload)

    @property
    def signed_bytes(self) -> bytes:
        """The signed bytes: the payload with its type and their lengths, as DSSE v1 has them."""
        kind, raw = self.payloadType.encode(), self.raw
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(raw), raw)


def json_value(raw: bytes) -> Any:
    """Return the value of an unambiguous JSON text: no key twice, no NaN.

    Raises:
        RefusedError: the text is something else.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("it has a key twice")
        return found

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(raw.decode(), object_pairs_hook=once, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RefusedError(EvidenceProblem.NOT_JSON, f"it is not JSON: {what}") from None


def envelope_of(document: Any) -> Envelope | None:
    """Return a document as an envelope, or None if it is a plain statement or something else.

    Raises:
        RefusedError: it is a broken envelope.
    """
    if not isinstance(document, dict) or "payload" not in document:
        return None
    try:
        return Envelope.model_validate(document, strict=False)
    except ValidationError:
        said = f"it is no DSSE envelope of type {PAYLOAD_TYPE}"
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said) from None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        said = "the DSSE envelope has invalid base64"
        raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, said) from None
