"""JSON as text that may be shown: no character in it can drive a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

_DRIVES_TERMINALS = re.compile("[\x7f-\x9f]")


def escaped(text: str) -> str:
    """JSON text with DEL and the C1 controls, which JSON leaves as they are, escaped."""
    return _DRIVES_TERMINALS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def json_line(value: Any) -> str:
    """One line of JSON, with its newline."""
    return escaped(json.dumps(value, ensure_ascii=False, default=str)) + "\n"
