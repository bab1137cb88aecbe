"""SHA-256, without OpenSSL for small data: loading it takes as long as digesting two megabytes.

Once OpenSSL is loaded, or loading it would have paid off, it digests everything: several times as
fast.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any, Final

_OWN: Final = ("_sha2", "_sha256")
"""The modules with Python's own SHA-256: from 3.12 on, and before. Some builds have neither."""
_OPENSSL: Final = "_hashlib"
LARGE_BYTES: Final = 2 * 1024**2
"""The number of bytes, in one piece or in all, beyond which the few milliseconds for loading
OpenSSL pay off."""
_digested_bytes = [0]


@cache  # for a name that is not found, every directory is searched again each time
def _own_sha256() -> Any:
    for name in _OWN:
        try:
            return import_module(name).sha256
        except ImportError:
            continue
    return _hashlib_sha256()


@cache
def _hashlib_sha256() -> Any:
    return import_module("hashlib").sha256


def new_digest(size_bytes: int = 0) -> Any:
    """Return a digest, as hashlib has it, to which about `size_bytes` bytes are to be added."""
    _digested_bytes[0] += size_bytes
    if _digested_bytes[0] > LARGE_BYTES or _OPENSSL in sys.modules:
        try:
            return _hashlib_sha256()()
        except ImportError:  # code that was changed while a run is at work is not loaded
            _digested_bytes[0] = 0
    return _own_sha256()()


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    digest = new_digest(len(data))
    digest.update(data)
    return str(digest.hexdigest())
