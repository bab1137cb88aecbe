"""The notation of durations in the program's output, for tests that ignore their length."""

from __future__ import annotations

from typing import Final

SPAN: Final = r"(?:\d+h\d\dm|\d+m(?:\d\ds)?|\d+(?:\.\d+)? ?m?s)"
"""`740ms`, `12.3s`, `30m`, `4m05s`, `2h10m`: on a busy machine, seconds become minutes."""
