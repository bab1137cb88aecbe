"""Values that must not be shown, and the places where they are found."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import Ended, tree_of

VALUE = "open-sesame-4711"
AWKWARD = 'two words, "quoted" \\ back\nnext line: ünïcode 🔑'
OTHER = "another-value-0815"
STORE = "state/fsm-orchestrator"


def spellings(value: str) -> set[bytes]:
    """Return the forms of a value in a file: verbatim, as JSON, as Python shows it."""
    return {
        value.encode(),
        json.dumps(value)[1:-1].encode(),
        json.dumps(value, ensure_ascii=False)[1:-1].encode(),
        repr(value)[1:-1].encode(),
    }


def places_of(value: str, directory: Path, *shown: Ended) -> set[str]:
    """Return the files below `directory` and streams of `shown` that hold a value in any form."""
    found = {
        name
        for name, content in tree_of(directory).items()
        if any(one in content or one in name.encode() for one in spellings(value))
    }
    streams = {
        f"{stream} {position}": text.encode()
        for position, ended in enumerate(shown)
        for stream, text in (("stdout", ended.stdout), ("stderr", ended.stderr))
    }
    return found | {
        name for name, text in streams.items() if any(one in text for one in spellings(value))
    }


def saver(name: str, then: str = "exit 0") -> str:
    """Return a script that leaves the value of TOKEN, or of MODE, beside the output directory."""
    return f'printf %s "$TOKEN$MODE" > {name}; {then}'
