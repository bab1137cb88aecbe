"""Runs to be served: some that ended, each in its own way, and one that works until `.end`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.command import PASSING, orchestrate, shell, stages, start
from tests.support.patience import PATIENCE_SECONDS

EVIL: Final = (
    "<script>alert(1)</script> \\033[31mred\\033[0m \\342\\200\\256desrever\\342\\200\\254"
    " nul\\000nul \\033]0;title\\007 <img src=x onerror=alert(2)>"
)
"""Text for printf: markup, colors, a changed direction, a NUL, the title of a window."""
EVIL_SHOWN: Final = (
    r"<script>alert(1)</script> red \u202edesrever\u202c"
    r" nul\x00nul \x1b]0;title\x07 <img src=x onerror=alert(2)>"
)
"""The text that a reader sees."""


def make_runs(folder: Path) -> Path:
    """Make `folder/runs`: done, failed (with hostile text), waiting, and one that is no run."""
    runs = folder / "runs"
    runs.mkdir()
    orchestrate("./runs/done", *PASSING, *stages("echo planned", "echo applied"), cwd=folder)
    hostile = (*shell("manager", f"printf '{EVIL}\\n' >&2; exit 4"), *shell("executor", "exit 0"))
    orchestrate("./runs/failed", *PASSING, *hostile, cwd=folder)
    orchestrate("./runs/waiting", "--policy-status", "allow", *stages(), cwd=folder)
    (runs / "no-run").mkdir()
    return runs


@contextlib.contextmanager
def at_work(folder: Path, name: str = "working") -> Iterator[Path]:
    """Start a run whose stage prints what is appended to the yielded file, until `.end`."""
    words, end = folder / f"{name}.words", folder / f"{name}.end"
    words.write_text("")
    script = (
        f"tail -n +1 -f {words} & while ! test -e {end}; do sleep 0.05; done; sleep 0.3; kill $!"
    )
    options = (*PASSING, *stages(script), "--timeout-ms", "600000")
    run = start(f"./runs/{name}", *options, cwd=folder)
    try:
        yield words
    finally:
        end.write_text("")
        run.communicate(timeout=PATIENCE_SECONDS)
