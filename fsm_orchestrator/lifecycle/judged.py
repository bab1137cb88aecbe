"""The built-in lifecycles as they were read and proved when the program was built.

They are known by the digests of their texts: a text that differs by a byte is read and judged anew.
So most starts neither parse TOML nor prove these lifecycles again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from fsm_orchestrator.text.digest import sha256_of

FILE: Final = "judged.jsonl"
"""A line for each: `sha256` of its text, and the `table` that the text spells."""


@lru_cache(maxsize=1)
def judged_table(text: bytes, shipped: Callable[[str], bytes]) -> Mapping[str, Any] | None:
    """Return the table of a text that was judged; None for any other.

    `shipped` reads a file that lies beside the built-in lifecycles.
    """
    digest = sha256_of(text)
    try:
        lines = shipped(FILE).splitlines()
    except OSError:
        return None
    for line in lines:
        if digest.encode() in line:
            judged = json.loads(line)
            return judged["table"] if judged["sha256"] == digest else None
    return None
