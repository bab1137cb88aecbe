"""The headers of the archive: one form for each name and size, and no other is read.

PAX (POSIX.1-2001), uncompressed: a `ustar` block, behind an extended header where a name is longer
than 100 bytes or a file than 8 GiB. Times, owners and modes are always the same.
"""

from __future__ import annotations

from typing import Final

BLOCK_BYTES: Final = 512
END: Final = bytes(2 * BLOCK_BYTES)
"""What the archive ends with."""
EXTENDED_BYTES_MAX: Final = BLOCK_BYTES
"""How long the records of an extended header can be: a name and a size fit into one block."""
_NAME_BYTES: Final = 100
_SIZE_MAX: Final = 8**11 - 1
_TIME: Final = 315_532_800
"""1980-01-01: some programs complain about earlier ones."""
_FILE, _EXTENDED = b"0", b"x"
_EXTENDED_NAME: Final = b"././@PaxHeader"
_MODE: Final = 0o600


def header_of(name: str, size_bytes: int) -> bytes:
    """Return everything that stands before a member's bytes."""
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
    """Return what fills the last block of a member."""
    return bytes(-size_bytes % BLOCK_BYTES)


def is_extended(block: bytes) -> bool:
    """Say whether a block is an extended header, behind which another follows."""
    return block[156:157] == _EXTENDED


def name_in(block: bytes) -> bytes:
    """Return the name that a block has, which is a part where an extended header has more."""
    return block[:_NAME_BYTES].rstrip(b"\0")


def size_in(block: bytes) -> int | None:
    """Return the size that a block has; None where it is not a number as ours are."""
    digits = block[124:135]
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else None


def extended_in(records: bytes) -> tuple[bytes | None, int | None]:
    """Return the name and the size in the records of an extended header.

    Whether they stand there as we write them is for `header_of` to tell.
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
    """Return a record of an extended header: its own length in front."""
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
