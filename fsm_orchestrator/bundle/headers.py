"""The headers of the archive: one form for each name and size, and no other is accepted.

PAX (POSIX.1-2001), uncompressed: a `ustar` block, after an extended header if a name is longer than
100 bytes or a file than 8 GiB. Times, owners and modes are always the same.
"""

from __future__ import annotations

from typing import Final

BLOCK_BYTES: Final = 512
END: Final = bytes(2 * BLOCK_BYTES)
"""The end of the archive."""
EXTENDED_BYTES_MAX: Final = BLOCK_BYTES
"""The most bytes of an extended header's records: a name and a size fit into one block."""
_NAME_BYTES: Final = 100
_SIZE_MAX: Final = 8**11 - 1
_TIME: Final = 315_532_800
"""1980-01-01, because some programs complain about earlier times."""
_FILE, _EXTENDED = b"0", b"x"
_EXTENDED_NAME: Final = b"././@PaxHeader"
_MODE: Final = 0o600


def header_of(name: str, size_bytes: int) -> bytes:
    """Return everything that precedes a member's bytes."""
    raw = name.encode("ascii")
    records = b""
    if len(raw) > _NAME_BYTES:
        records += _record(b"path", raw)
    if size_bytes > _SIZE_MAX:
        records += _record(b"size", b"%d" % size_bytes)
    size_in_block = size_bytes if size_bytes <= _SIZE_MAX else 0
    block = _block(raw[:_NAME_BYTES], size_in_block, _FILE)
    if not records:
        return block
    extended = _block(_EXTENDED_NAME, len(records), _EXTENDED)
    return extended + records + padding(len(records)) + block


def padding(size_bytes: int) -> bytes:
    """Return the padding of a member's last block."""
    return bytes(-size_bytes % BLOCK_BYTES)


def is_extended(block: bytes) -> bool:
    """Return whether a block is an extended header, which another one follows."""
    return block[156:157] == _EXTENDED


def name_in(block: bytes) -> bytes:
    """Return the name in a block, which is only a part if an extended header has more."""
    return block[:_NAME_BYTES].rstrip(b"\0")


def size_in(block: bytes) -> int | None:
    """Return the size in a block, or None if it is not a number as this program writes them."""
    digits = block[124:135]
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else None


def extended_in(records: bytes) -> tuple[bytes | None, int | None]:
    """Return the name and the size in the records of an extended header.

    `header_of` decides whether they are written as this program writes them.
    """
    name: bytes | None = None
    size: int | None = None
    for line in records.split(b"\n"):
        key, _, value = line.partition(b" ")[2].partition(b"=")
        if key == b"path":
            name = value
        if key == b"size" and value.isdigit() and len(value) < len(str(2**64)):
            size = int(value)
    return name, size


def _record(key: bytes, value: bytes) -> bytes:
    """Return a record of an extended header, with its own length in front."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d%s" % (length, rest)


def _block(name: bytes, size_bytes: int, kind: bytes) -> bytes:
    parts = (
        name.ljust(_NAME_BYTES, b"\0"),
        b"%07o\0" % _MODE,
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        b"%011o\0" % size_bytes,
        b"%011o\0" % _TIME,
        b" " * 8,
        kind,
        bytes(100),
        b"ustar\0" + b"00",
        bytes(32 + 32),
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        bytes(155 + 12),
    )
    block = b"".join(parts)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
