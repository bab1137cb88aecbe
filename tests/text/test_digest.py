"""The digest of small data is SHA-256, whichever module of Python provides it."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest

from fsm_orchestrator.text import digest

DATA = pytest.mark.parametrize("data", [b"", b"a", b"\0" * 100_000])


@pytest.fixture(autouse=True)
def _nothing_digested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_digested_bytes", [0])
    monkeypatch.setattr(digest, "_OPENSSL", "not loaded")


@pytest.mark.parametrize("places", [digest._OWN, digest._OWN[1:], ("none_of_it",)])
@DATA
def test_digest_is_sha256(
    data: bytes, places: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each implementation returns the SHA-256."""
    monkeypatch.setattr(digest, "_OWN", places)
    monkeypatch.setattr(digest, "_own_sha256", cache(digest._own_sha256.__wrapped__))
    assert digest.sha256_of(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size_bytes", [0, digest.LARGE_BYTES, digest.LARGE_BYTES + 1])
def test_digest_of_what_is_large_is_the_same(size_bytes: int) -> None:
    """The digest of large data is the same with each implementation."""
    made = digest.new_digest(size_bytes)
    made.update(b"a")
    assert made.hexdigest() == digest.sha256_of(b"a")
    assert (type(made).__module__ == "_hashlib") == (size_bytes > digest.LARGE_BYTES)


@DATA
def test_openssl_digests_what_is_much_and_all_where_it_is_loaded(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL digests large data, and everything once it is loaded, as loading it is slow."""
    block = bytes(digest.LARGE_BYTES // 2)
    digest.sha256_of(block)
    assert type(digest.new_digest()).__module__ != "_hashlib"
    digest.sha256_of(block + b"1")
    assert type(digest.new_digest()).__module__ == "_hashlib"
    assert digest.sha256_of(data) == hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(digest, "_digested_bytes", [0])
    monkeypatch.setattr(digest, "_OPENSSL", "_hashlib")
    assert type(digest.new_digest()).__module__ == "_hashlib"


def test_openssl_that_may_not_be_loaded_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """If OpenSSL has changed since the start it is not loaded, and the digest is still right."""

    def refuse() -> None:
        raise ImportError("changed")

    monkeypatch.setattr(digest, "_hashlib_sha256", refuse)
    large = bytes(digest.LARGE_BYTES + 1)
    assert digest.sha256_of(large) == hashlib.sha256(large).hexdigest()
