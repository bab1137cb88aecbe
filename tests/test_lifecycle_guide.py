"""docs/lifecycles.md: its session is run as it stands, and prints what it says it prints.

`REWRITE_GOLDEN=1` writes what the commands print into the document, to be read before it is
committed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support import environment, shell_environment

GUIDE = Path(__file__).parent.parent / "docs" / "lifecycles.md"
BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)
RUN_ID = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
TOOK = re.compile(r"\d+(?:\.\d)? (?:ms|s)\b")


def settled(text: str, directory: Path) -> str:
    """Output without what differs from run to run."""
    text = RUN_ID.sub("20261122T102116.150828Z-fb2d6d8e", text.replace(str(directory), "/work"))
    return TOOK.sub("3 ms", text)


def comparable(text: str) -> str:
    """Without the widths of columns that such things stand in."""
    return re.sub(r" +", " ", text).strip()


def edit(path: Path, hunk: str) -> None:
    """Do what a block of removed, added and kept lines says."""
    lines = hunk.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} has not exactly once:\n{old}"
    path.write_text(text.replace(old, new))


def session(block: str, directory: Path) -> str:
    """The block as it would be typed and seen now."""
    seen = []
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=directory,
            env=shell_environment(directory.parent),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in {0, 1}, done.stderr
        seen.append(f"$ {command}\n{settled(done.stdout, directory)}")
    return "".join(seen)


def test_session_prints_what_the_guide_says(tmp_path: Path) -> None:
    """Every command and every edit of the guide, in its order."""
    directory = tmp_path / "session"
    directory.mkdir()
    text, rewritten, last_output = GUIDE.read_text(), "", 0
    for found in BLOCK.finditer(text):
        note, kind, block = found["note"] or "", found["kind"], found["text"]
        if note.startswith("edit: "):
            edit(directory / note.removeprefix("edit: "), block)
        elif kind == "console":
            now = session(block, directory)
            rewritten += text[last_output : found.start("text")] + now
            last_output = found.end("text")
            if "REWRITE_GOLDEN" not in os.environ:
                assert comparable(now) == comparable(block)
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
        GUIDE.write_text(rewritten + text[last_output:])


def test_guide_shows_a_bypass_refused_and_a_change_that_loosens() -> None:
    """The session is worth its name: it refuses, proves, blocks nothing by accident, and judges."""
    text = GUIDE.read_text()
    for words in (
        "can be entered before gate review passed",
        "release (./release.toml): proved",
        "failed: run",
        "done: run",
        "tightens",
        "loosens",
    ):
        assert words in text
