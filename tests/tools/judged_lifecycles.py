"""Writes states/judged.jsonl: the table of each built-in lifecycle that passes, by its digest.

`python -m tests.tools.judged_lifecycles FILE` writes it; a lifecycle that is refused raises.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from pathlib import Path

from fsm_orchestrator.lifecycle import reading, source


def expected_text() -> str:
    """Return the text of the file.

    Raises:
        LifecycleError: a built-in lifecycle is refused.
    """
    lines = []
    for name in source.shipped_names():
        text = source.shipped_text(name)
        reading.check(reading.shipped(name), f"{name}.toml")
        table = tomllib.loads(text.decode())
        lines.append({"sha256": hashlib.sha256(text).hexdigest(), "table": table})
    return "".join(json.dumps(line) + "\n" for line in lines)


def main() -> None:
    """Write the file."""
    Path(sys.argv[1]).write_text(expected_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
