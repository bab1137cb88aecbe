"""SHA-256; of what is small without OpenSSL, which takes as long to load as a megabyte."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

_OWN: Final = ("_sha2", "_sha256", "hashlib")
"""Where Python has its own: from 3.12, before that, and in a build without."""
LARGE_BYTES: Final = 8 * 1024**2
"""Beyond this, the few milliseconds that OpenSSL takes to load are made up for."""


@cache  # a name that is not found is looked for in every directory, each time anew
def _sha256() -> Any:
    for name in _OWN[:-1]:
        try:
            return import_module(name).sha256
        except ImportError:
            continue
    return import_module(_OWN[-1]).sha256


def new_digest(size_bytes: int = 0) -> Any:
    """Return a digest that bytes can be added to, as hashlib has it.

    By OpenSSL, where so many bytes as are to be added make up for loading it.
    """
    return import_module(_OWN[-1]).sha256() if size_bytes > LARGE_BYTES else _sha256()()


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of a few bytes, in hexadecimal."""
    return str(_sha256()(data).hexdigest())
