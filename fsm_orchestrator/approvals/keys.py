"""The keys of SSH signatures and of `allowed_signers`: which are one person's, and which not.

Only ssh-keygen decides whether a signature is good.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_END: Final = "-----END SSH SIGNATURE-----"
_MAGIC: Final = b"SSHSIG"
_CERTIFICATE: Final = b"-cert-v01@openssh.com"
_FIELDS: Final[Mapping[bytes, int]] = {
    b"ssh-rsa": 2,
    b"ssh-ed25519": 1,
    b"ecdsa-sha2-nistp256": 2,
    b"ecdsa-sha2-nistp384": 2,
    b"ecdsa-sha2-nistp521": 2,
    b"sk-ssh-ed25519": 2,
    b"sk-ecdsa-sha2-nistp256": 3,
}
"""The number of fields in the public part of a key, by its type."""
_LINE: Final = re.compile(r'\s*(?:"([^"]*)"|([^\s"#]\S*))\s+(.*)')
_KEY: Final = re.compile(r"(?:^|\s)([a-z][a-z0-9@.-]*)\s+(AAAA[A-Za-z0-9+/=]+)")
_QUOTED: Final = re.compile(r'"[^"]*"')
_NOT_IN_NAMES: Final = frozenset(',"*?!')
_NAME_CHARACTERS_MAX: Final = 500
_CERTIFIED_MAX: Final = 20
"""The largest number of names of a certificate that are tried."""
_WILD: Final = frozenset("*?!")


class NotAKeyError(Exception):
    """Bytes that are no key or signature known to SSH."""


class SigningKey(NamedTuple):
    """The key of a signature.

    Attributes:
        fingerprint: as ssh-keygen prints it; for a certificate, that of the key in it.
        identities: what identifies a person: the key, and for a certificate its authority with its
            id.
        principals: the names that a certificate claims.
    """

    fingerprint: str
    identities: frozenset[str]
    principals: tuple[str, ...] = ()


class _Reader:
    """A reader of the fields of SSH's wire format."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, count: int) -> bytes:
        found = self._raw[self._at : self._at + count]
        if len(found) != count:
            raise NotAKeyError
        self._at += count
        return found

    def field(self) -> bytes:
        (count,) = struct.unpack(">I", self.take(4))
        return self.take(count)


def fingerprint(key: bytes) -> str:
    """Return the fingerprint of a public key, as ssh-keygen prints it."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def signing_key(signature: str) -> SigningKey:
    """Return the key that a signature claims to be made with.

    Raises:
        NotAKeyError: it is no SSH signature.
    """
    lines = signature.split()
    text = " ".join(lines)
    if not text.startswith(_BEGIN) or not text.endswith(_END):
        raise NotAKeyError
    raw = _decoded(text[len(_BEGIN) : -len(_END)].replace(" ", ""))
    reader = _Reader(raw)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise NotAKeyError
    reader.take(4)
    return _identified(reader.field())


def _identified(key: bytes) -> SigningKey:
    reader = _Reader(key)
    kind = reader.field()
    if not kind.endswith(_CERTIFICATE):
        own = fingerprint(key)
        return SigningKey(own, frozenset({own}))
    plain_kind = kind.removesuffix(_CERTIFICATE)
    if plain_kind not in _FIELDS:
        raise NotAKeyError
    reader.field()  # a nonce
    parts = [reader.field() for _ in range(_FIELDS[plain_kind])]
    reader.take(8 + 4)  # serial, type
    key_id = reader.field()
    principals = tuple(_texts(reader.field()))
    reader.take(8 + 8)  # validity
    for _ in range(3):  # options, extensions, reserved
        reader.field()
    authority = fingerprint(reader.field())
    is_hardware = plain_kind.startswith(b"sk-")
    name = plain_kind + b"@openssh.com" if is_hardware else plain_kind
    own = fingerprint(b"".join(struct.pack(">I", len(one)) + one for one in (name, *parts)))
    by_authority = f"{authority} {key_id.decode(errors='backslashreplace')}"
    return SigningKey(own, frozenset({own, by_authority}), principals)


def _texts(packed: bytes) -> Iterator[str]:
    """Yield the texts of a packed list."""
    reader, left = _Reader(packed), len(packed)
    while left > 0:
        one = reader.field()
        left -= 4 + len(one)
        yield one.decode(errors="replace")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NotAKeyError from None


class AllowedLine(NamedTuple):
    """A line of `allowed_signers`."""

    principals: tuple[str, ...]
    is_authority: bool
    fingerprint: str
    text: str

    @property
    def is_pattern(self) -> bool:
        """True if it names principals by a pattern."""
        return any(_WILD.intersection(one) for one in self.principals)


def allowed_lines(text: str) -> Iterator[AllowedLine]:
    """Yield the lines of `allowed_signers` that have a key."""
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or line.lstrip().startswith("#"):
            continue
        rest = found[3]
        key = _KEY.search(_QUOTED.sub(lambda quoted: "_" * len(quoted[0]), rest))
        if key is None:
            continue
        options = _QUOTED.sub("", rest[: key.start(1)]).lower().split(",")
        try:
            own = fingerprint(_decoded(key[2]))
        except NotAKeyError:
            continue
        principals = tuple((found[1] or found[2]).split(","))
        is_authority = "cert-authority" in {one.strip() for one in options}
        yield AllowedLine(principals, is_authority, own, line)


def counted_lines(lines: Iterable[AllowedLine]) -> str:
    """Return the lines that count, as a file: patterns count only for certificates."""
    return "".join(f"{one.text}\n" for one in lines if one.is_authority or not one.is_pattern)


def principals_in(lines: Iterable[AllowedLine]) -> tuple[str, ...]:
    """Return everybody whom the lines name without a pattern."""
    named = [name for one in lines for name in one.principals if not _WILD.intersection(name)]
    return tuple(dict.fromkeys(named))


def certified_in(key: SigningKey, lines: Iterable[AllowedLine]) -> tuple[str, ...]:
    """Return those whom both a certificate and, by a pattern, an authority's line name.

    Only ssh-keygen decides whether that authority has signed it.
    """
    patterns = [name for one in lines if one.is_authority for name in one.principals]
    good = (one for one in key.principals[:_CERTIFIED_MAX] if _is_name(one))
    return tuple(one for one in good if any(fnmatchcase(one, name) for name in patterns))


def _is_name(text: str) -> bool:
    """Return whether a text can be a principal and cannot be an option of a tool."""
    is_short = 0 < len(text) <= _NAME_CHARACTERS_MAX and text[0] != "-"
    return is_short and all(one > " " and one not in _NOT_IN_NAMES for one in text)


def keys_of(principal: str, lines: Iterable[AllowedLine]) -> frozenset[str]:
    """Return the fingerprints of the keys that may belong to a principal."""
    return frozenset(
        one.fingerprint
        for one in lines
        if not one.is_authority
        and any(fnmatchcase(principal.lower(), name.lower()) for name in one.principals)
    )
