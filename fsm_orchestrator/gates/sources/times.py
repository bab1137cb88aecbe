"""The time when evidence was made, and its validity at a given time."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.text.units import span_words

CLOCK_SKEW: Final = timedelta(minutes=5)
"""The most by which this host's clock may be behind that of the evidence's maker."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()
_LAST_SECOND: Final = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).total_seconds()
"""The last second of the calendar; file systems have times beyond it."""


def problem_with_age(
    issued_at: datetime | None, now: datetime, max_age: int | None
) -> tuple[EvidenceProblem, str] | None:
    """Return why evidence of that time does not hold now, or None if it does.

    `max_age` is in milliseconds; None if age does not matter.
    """
    if issued_at is None:
        if max_age is None:
            return None
        return EvidenceProblem.TOO_OLD, "it does not say when it was made, and max_age is set"
    if issued_at - now > CLOCK_SKEW:
        ahead = span_words(round((issued_at - now).total_seconds() * 1000))
        return EvidenceProblem.NOT_YET_VALID, f"it was made {ahead} from now, by this host's clock"
    if max_age is not None and now - issued_at > timedelta(milliseconds=max_age):
        age = span_words(round((now - issued_at).total_seconds() * 1000))
        return EvidenceProblem.TOO_OLD, f"it is {age} old, and max_age is {span_words(max_age)}"
    return None


def problem_with_expiry(
    expires_at: datetime | None, now: datetime
) -> tuple[EvidenceProblem, str] | None:
    """Return why evidence has expired, or None if it has not."""
    if expires_at is None or now < expires_at:
        return None
    past = span_words(round((now - expires_at).total_seconds() * 1000))
    return EvidenceProblem.EXPIRED, f"it expired {past} ago"


def read_with_time(path: str, size_bytes_max: int) -> tuple[bytes, datetime]:
    """Read an operator's file; return it with the time at which that very file was written.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger than `size_bytes_max`.
    """
    with os.fdopen(files.open_regular(Path(path), is_link_good=True), "rb") as stream:
        seconds = os.fstat(stream.fileno()).st_mtime
        data = stream.read(size_bytes_max + 1)
    if len(data) > size_bytes_max:
        raise OSError(27, f"larger than {size_bytes_max} bytes", path)
    return data, _EPOCH + timedelta(seconds=min(max(seconds, _FIRST_SECOND), _LAST_SECOND))
