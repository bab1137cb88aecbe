"""Texts of a stage's settings that hold a secret: kept in parts, filled in when it is known.

A text is kept without the secret and with a reference to it, so that nothing is ever run with, or
decided on, a masked text. If the secret appears in another encoding, nothing can be filled in: then
only a keyed digest shows whether a text is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple

from fsm_orchestrator.model.base import Many, StateName, StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import Compared


class SecretReference(StrictModel):
    """A secret, by the stage that it was declared for and its name."""

    stage: StateName = Field(description="The stage that the secret was declared for.")
    key: str = Field(description="Its name.")


SecretValues = Mapping[SecretReference, str]
"""The known values."""


class HiddenText(StrictModel):
    """A text of a stage's settings that holds a secret."""

    field: Compared = Field(description="The setting that the text belongs to.")
    index: Annotated[int, Field(ge=0)] = Field(
        description="Its place in the list, from 0; 0 if the setting is not a list."
    )
    parts: Annotated[tuple[str | SecretReference, ...], Many] = Field(
        description=(
            "The text, with a reference in the place of each secret; empty if a secret appears"
            " in another encoding, so that it cannot be filled in."
        )
    )
    digest: str = Field(
        description=(
            "HMAC-SHA-256 in hexadecimal of the text, under a key that is not in the output"
            " directory."
        )
    )

    def filled_in(self, values: SecretValues) -> str | None:
        """Return the text, or None if it cannot be known."""
        texts = [one if isinstance(one, str) else values.get(one) for one in self.parts]
        known = [one for one in texts if one is not None]
        return "".join(known) if known and len(known) == len(texts) else None

    def is_same(self, other: HiddenText) -> bool:
        """Return whether two texts are the same; another value of a secret makes no difference."""
        if self.parts and other.parts:
            return self.parts == other.parts
        return self.digest == other.digest


class Place(NamedTuple):
    """The place of a text in the settings of a stage."""

    field: Compared
    number: int


class Hider:
    """Makes the kept form of texts; knows every secret of the run."""

    def __init__(self, masker: Masker, values: SecretValues, digest_key: bytes) -> None:
        self.masker = masker
        self._values = values
        self.digest_key = digest_key

    def hidden(self, stage: str, place: Place, text: str) -> HiddenText | None:
        """Return the kept form of a text of a stage, or None if it holds no secret."""
        if not self.masker.hides(text):
            return None
        pieces = self.masker.pieces(text)
        parts = tuple(self._part(stage, *one) for one in pieces if one[0])
        return HiddenText(
            field=place.field,
            index=place.number,
            parts=() if None in parts else tuple(one for one in parts if one is not None),
            digest=self.digest(text),
        )

    def digest(self, text: str) -> str:
        """Return the keyed digest of a text."""
        return keyed_digest(self.digest_key, text)

    def _part(self, stage: str, piece: str, is_secret: bool) -> str | SecretReference | None:
        if not is_secret:
            return piece
        found = [one for one, value in self._values.items() if value == piece]
        own = [one for one in found if one.stage == stage]
        return next(iter((*own, *found)), None)


def keyed_digest(digest_key: bytes, text: str) -> str:
    """Return the HMAC-SHA-256 of a text, in hexadecimal."""
    import hmac  # noqa: PLC0415 - most runs are given no variable and no secret

    return hmac.digest(digest_key, text.encode(), "sha256").hex()


def texts_of(
    command: str,
    args: tuple[str, ...],
    cwd: str,
    expected_artifacts: tuple[str, ...],
    verify: tuple[tuple[str, ...], ...] = (),
) -> Iterator[tuple[Place, str]]:
    """Yield each text of a stage's settings with its place."""
    yield Place(Compared.COMMAND, 0), command
    yield from ((Place(Compared.ARGS, index), one) for index, one in enumerate(args))
    yield Place(Compared.CWD, 0), cwd
    yield from (
        (Place(Compared.EXPECTED_ARTIFACTS, index), one)
        for index, one in enumerate(expected_artifacts)
    )
    words = (one for command in verify for one in command)
    yield from ((Place(Compared.VERIFICATION, index), one) for index, one in enumerate(words))
