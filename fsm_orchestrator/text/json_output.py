"""JSON as text that may be shown: no character in it can drive a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

_DRIVES_TERMINALS = re.compile("[\x7f-\x9f]")


def escaped(text: str) -> str:
    """Escape DEL and the C1 controls in JSON text, which JSON leaves as they are."""
    return _DRIVES_TERMINALS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def json_line(value: Any) -> str:
    """Return one line of JSON, with its newline."""
    return escaped(json.dumps(value, ensure_ascii=False, default=str)) + "\n"
