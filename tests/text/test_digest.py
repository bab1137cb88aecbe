"""The digest of small data is SHA-256, whichever Python has it."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest

from fsm_orchestrator.text import digest


@pytest.mark.parametrize("places", [digest._OWN, digest._OWN[1:], ("none_of_it", "hashlib")])
@pytest.mark.parametrize("data", [b"", b"a", b"\0" * 100_000])
def test_digest_is_sha256(
    data: bytes, places: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From each of the places where it may be found."""
    monkeypatch.setattr(digest, "_OWN", places)
    monkeypatch.setattr(digest, "_sha256", cache(digest._sha256.__wrapped__))  # it is looked for
    assert digest.sha256_of(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size_bytes", [0, digest.LARGE_BYTES, digest.LARGE_BYTES + 1])
def test_digest_of_what_is_large_is_the_same(size_bytes: int) -> None:
    """Whoever makes it."""
    made = digest.new_digest(size_bytes)
    made.update(b"a")
    assert made.hexdigest() == digest.sha256_of(b"a")
