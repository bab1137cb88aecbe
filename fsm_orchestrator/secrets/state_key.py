"""The key that marks a record as this program's: one for each user, or one that a team shares.

A user's own is made once, in the private state. A shared one is in a file that the operator names,
readable by its owner alone. A record holds the name of its key and a MAC (HMAC-SHA-256, truncated
to 128 bits), so that a record of another key is distinguished from one that was changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.declared import StringConstraints
from fsm_orchestrator.secrets.state_directory import state_directory
from fsm_orchestrator.text.digest import new_digest, sha256_of
from fsm_orchestrator.text.hidden import copyable

KEY_FILE: Final = "record.key"
KEY_BYTES: Final = 32
SHARED_BYTES_MIN: Final = 16
SHARED_BYTES_MAX: Final = 4096
NAME_DIGITS: Final = 8
MAC_DIGITS: Final = NAME_DIGITS + 32
_BLOCK_BYTES: Final = 64
_INNER, _OUTER = 0x36, 0x5C
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


Mac = Annotated[str, StringConstraints(pattern=f"^[0-9a-f]{{{MAC_DIGITS}}}$")]
"""The name of a key, and a MAC made with it."""


class RecordKey:
    """A key, and the MACs made with it."""

    def __init__(self, secret: bytes) -> None:
        block = bytes.fromhex(sha256_of(secret)).ljust(_BLOCK_BYTES, b"\0")
        self._inner, self._outer = new_digest(), new_digest()
        self._inner.update(_xored(block, _INNER))
        self._outer.update(_xored(block, _OUTER))
        self.name = self._digits(b"name")[:NAME_DIGITS]
        """A name that distinguishes the key from others, and reveals nothing about it."""

    def mac(self, data: bytes) -> str:
        """Return the MAC of some bytes, with the key's name before it."""
        return self.name + self._digits(data)[: MAC_DIGITS - NAME_DIGITS]

    def derived(self, purpose: str) -> str:
        """Return another key, for one purpose alone, as 64 digits."""
        return self._digits(f"derived for {purpose}".encode())

    def has_made(self, mac: str) -> bool:
        """Return whether a MAC names this key as its own; `mac` shows whether it is right."""
        return mac[:NAME_DIGITS] == self.name

    def _digits(self, data: bytes) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return str(outer.hexdigest())


def _xored(block: bytes, byte: int) -> bytes:
    both = int.from_bytes(block) ^ int.from_bytes(bytes([byte]) * len(block))
    return both.to_bytes(len(block))


class MacVerdict(StrEnum):
    """The verdict of the MAC in a document."""

    RIGHT = "right"
    WRONG = "wrong"
    OTHER = "other"
    """No MAC, a MAC of another key, or no key to check it with."""


_NONE: Final = b'"mac":null}'


def with_mac(document: bytes, key: RecordKey | None) -> bytes:
    """Return a compact JSON object, whose last member is a null `mac`, with its MAC filled in."""
    if key is None:
        return document
    return document[: -len(_NONE)] + _member(key.mac(document))


def verdict_of(document: bytes, key: RecordKey | None) -> MacVerdict:
    """Return the verdict of the last member of a document that `with_mac` made."""
    ending = len(_member("0" * MAC_DIGITS))
    body, end = document[:-ending], document[-ending:]
    mac = end[-MAC_DIGITS - 2 : -2].decode("latin-1")
    if key is None or end != _member(mac) or not key.has_made(mac):
        return MacVerdict.OTHER
    return MacVerdict.RIGHT if key.mac(body + _NONE) == mac else MacVerdict.WRONG


def _member(mac: str) -> bytes:
    return f'"mac":"{mac}"}}'.encode()


def own_key(output_directory: Path) -> RecordKey | None:
    """Return the user's own key, or None if there is none that can be used."""
    with contextlib.suppress(OSError):
        return _own_in(state_directory(output_directory) / KEY_FILE)
    return None


def _own_in(path: Path) -> RecordKey | None:
    data = files.read_bounded(path, KEY_BYTES)
    return RecordKey(data) if len(data) == KEY_BYTES else None


def make_own_key(output_directory: Path) -> RecordKey | None:
    """Return the user's own key, made and durable if there was none; None if there can be none.

    A key that cannot be used is replaced: nothing can be checked with it any longer.
    """
    found = own_key(output_directory)
    if found is not None:
        return found
    with contextlib.suppress(OSError):
        directory = state_directory(output_directory)
        files.make_directory(directory, mode=0o700)
        return _made(directory / KEY_FILE)
    return None


def _made(path: Path) -> RecordKey | None:
    """Make a key, unless another process does so first: then both use that one."""
    directory = files.open_directory(path.parent)
    try:
        files.perform(files.SystemCall.LOCK, fcntl.flock, directory, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if (found := _own_in(path)) is not None:
                return found
        files.replace_file(path, os.urandom(KEY_BYTES), mode=0o600)
        return _own_in(path)
    finally:
        os.close(directory)


class StateKeyError(UsageError):
    """The file that should hold a key cannot be used."""


def shared_key(path: Path) -> RecordKey:
    """Return the key in a file that the operator names.

    Raises:
        StateKeyError: it cannot be read, is not for its owner alone, or is not a key.
    """
    remedy = f"make one: head -c 32 /dev/urandom > {copyable(path)} && chmod 600 {copyable(path)}"
    try:
        mode = os.stat(path).st_mode
        data = files.read_bounded(path, SHARED_BYTES_MAX, is_link_good=True)
    except OSError as error:
        raise StateKeyError(
            f"the state key file {copyable(path)} cannot be read: {files.reason(error)}",
            remedy=remedy,
        ) from error
    if mode & _OF_OTHERS:
        raise StateKeyError(
            f"the state key file {copyable(path)} can be used by users other than its owner"
            f" (mode {stat.S_IMODE(mode):04o})",
            remedy=f"chmod 600 {copyable(path)}",
        )
    if len(data.strip()) < SHARED_BYTES_MIN:
        raise StateKeyError(
            f"the state key file {copyable(path)} is too short to be a key: {len(data)} bytes,"
            f" and {SHARED_BYTES_MIN} are needed",
            remedy=remedy,
        )
    return RecordKey(data)
