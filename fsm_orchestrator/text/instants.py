"""Times as documents write them, read without trusting them."""

from __future__ import annotations

from datetime import UTC, datetime


class NotAnInstantError(ValueError):
    """A text is not a time of day with an offset."""


def instant(text: str) -> datetime:
    """Return a time in RFC 3339, which has an offset, as a time in UTC.

    Raises:
        NotAnInstantError: it is not such a time.
    """
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise NotAnInstantError("a time needs an offset, such as Z")
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise NotAnInstantError(f"not a time like 2026-01-31T09:00:00Z: {error}") from None


def is_instant(value: object) -> bool:
    """Return whether a value is such a time."""
    try:
        return isinstance(value, str) and instant(value) is not None
    except NotAnInstantError:
        return False
