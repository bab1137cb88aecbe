"""How the program writes how long something took, for tests that do not mind how long it was."""

from __future__ import annotations

from typing import Final

SPAN: Final = r"(?:\d+h\d\dm|\d+m(?:\d\ds)?|\d+(?:\.\d+)? ?m?s)"
"""`740ms`, `12.3s`, `30m`, `4m05s`, `2h10m`: on a machine that is busy, seconds become minutes."""
