"""The digest of a file that may be large."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from fsm_orchestrator.disk import files

FILE_BYTES_MAX: Final = 16 * 1024**3


def digest_and_size(path: str) -> tuple[str | None, int | None]:
    """Return the SHA-256 and size of a regular file; both None if it is unreadable or too large."""
    try:
        descriptor = files.open_regular(Path(path), is_link_good=True)
        with os.fdopen(descriptor, "rb") as stream:
            size_bytes = os.fstat(stream.fileno()).st_size
            if size_bytes > FILE_BYTES_MAX:
                return None, None
            return hashlib.file_digest(stream, "sha256").hexdigest(), size_bytes
    except (OSError, ValueError):
        return None, None
