"""Documents whose sessions are run as they stand, and print what they say they print.

`REWRITE_GOLDEN=1` writes what the commands print into the document, to be read before it is
committed. In a block of kind `console`, `$ ` begins a command, a line that ends in a backslash goes
on, and what follows is its stdout. `<!-- exits: N -->` before a block is what its commands exit
with.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.command import environment, shell_environment
from tests.support.patience import PATIENCE_SECONDS

BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
RUN_ID = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TOOK = re.compile(r"(?<!timed out after )(?<!timeout  )(?<![\d.])\d+(?:\.\d+)? ?(?:ms|s)\b")


def settled(text: str, directory: Path) -> str:
    """Return output without what differs from run to run."""
    text = RUN_ID.sub("20261122T102116.150828Z-fb2d6d8e", text.replace(str(directory), "/work"))
    text = TIME.sub("2026-11-22T10:21:16.150Z", text)
    text = re.sub(r"\b(process|pid)( +)\d+( on \S+?(?=,))?", r"\1\g<2>4711", text)
    text = re.sub(r"\b\d+ MiB of memory", "10 MiB of memory", text)
    text = re.sub(r"wrote (\S+): \d+ bytes", r"wrote \1: 40000 bytes", text)
    return TOOK.sub("3ms", text)


def comparable(text: str) -> str:
    """Return text without the column widths and line breaks that such differences lead to."""
    return re.sub(r"\s+", " ", text).strip()


def edit(path: Path, hunk: str) -> None:
    """Do what a block of removed, added and kept lines says."""
    lines = hunk.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} has not exactly once:\n{old}"
    path.write_text(text.replace(old, new))


def session(block: str, directory: Path, exit_codes: frozenset[int]) -> str:
    """Type the commands of a block, and return the block as it would be seen now."""
    seen = []
    for command in COMMAND.findall(block):
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=directory,
            env=shell_environment(directory.parent),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode in exit_codes, f"{command}\n{done.stdout}\n{done.stderr}"
        seen.append(f"$ {command}\n{settled(done.stdout, directory)}")
    return "".join(seen)


def follow(guide: Path) -> None:
    """Do every command and every edit of a document, in its order, in a directory of their own."""
    with tempfile.TemporaryDirectory() as above:  # a short name: screens are cut at their width
        directory = Path(above, "work").resolve()
        directory.mkdir()
        _follow(guide, directory)


def _follow(guide: Path, directory: Path) -> None:
    text, rewritten, last_output = guide.read_text(), "", 0
    for found in BLOCK.finditer(text):
        note, kind, block = found["note"] or "", found["kind"], found["text"]
        if note.startswith("edit: "):
            edit(directory / note.removeprefix("edit: "), block)
        elif kind == "console":
            codes = re.findall(r"\d+", note) if note.startswith("exits: ") else ["0", "1"]
            now = session(block, directory, frozenset(map(int, codes)))
            rewritten += text[last_output : found.start("text")] + now
            last_output = found.end("text")
            if "REWRITE_GOLDEN" not in os.environ:
                assert comparable(now) == comparable(TOOK.sub("3ms", block)), f"seen now:\n{now}"
        elif kind == "python":
            done = subprocess.run(
                [sys.executable, "-c", block],
                cwd=directory,
                env=environment(),
                capture_output=True,
                text=True,
                check=True,
            )
            assert f"prints\n\n```\n{done.stdout}```" in text
    if "REWRITE_GOLDEN" in os.environ:
        guide.write_text(rewritten + text[last_output:])
