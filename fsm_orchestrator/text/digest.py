"""SHA-256; of what is small without OpenSSL, which takes as long to load as two megabytes.

Once it is loaded, or would have been worth it, all is digested by it: several times as fast.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any, Final

_OWN: Final = ("_sha2", "_sha256")
"""Where Python has its own: from 3.12, before that; neither in a build without."""
_OPENSSL: Final = "_hashlib"
LARGE_BYTES: Final = 2 * 1024**2
"""Beyond this, in one piece or in all, the few milliseconds that OpenSSL takes to load are made up
for."""
_digested_bytes = [0]


@cache  # a name that is not found is looked for in every directory, each time anew
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
    """Return a digest that about so many bytes are to be added to, as hashlib has it."""
    _digested_bytes[0] += size_bytes
    if _digested_bytes[0] > LARGE_BYTES or _OPENSSL in sys.modules:
        try:
            return _hashlib_sha256()()
        except ImportError:  # what has been changed while a run is at work is not loaded
            _digested_bytes[0] = 0
    return _own_sha256()()


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    digest = new_digest(len(data))
    digest.update(data)
    return str(digest.hexdigest())
