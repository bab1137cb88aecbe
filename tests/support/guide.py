"""Documents whose sessions are run as written, and print what the documents show.

`REWRITE_GOLDEN=1` writes what the commands print into the document, to be read before it is
committed. Outputs that differ only in times, run ids and process ids are the same, and stay. In a
block of kind `console`, `$ ` begins a command, a line that ends in a backslash continues, and what
follows is its stdout. Before a block may stand

- `<!-- exits: N -->`: the exit code of its commands; without it, 0 or 1;
- `<!-- file: NAME -->`: the block is written to that file, and may be started if it has a `#!`;
- `<!-- edit: NAME -->`: the block is a change of that file, in added, removed and kept lines;
- `<!-- not run -->`: the block is only to be read.

A block of kind `python` that is no file is run, and the block after it is its output.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.command import shell_environment
from tests.support.patience import PATIENCE_SECONDS
from tests.support.spans import SPAN

BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
RUN_ID = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STARTER = re.compile(r"^(  by +)\S+ on \S+$", re.MULTILINE)
"""The starter of a run, and the place: they differ on each machine."""
TOOK = re.compile(r"(?<!timed out after )(?<!timeout  )(?<![\d.])" + SPAN + r"\b")


def settled(text: str) -> str:
    """Return output without what differs from run to run."""
    text = RUN_ID.sub("20261122T102116.150828Z-fb2d6d8e", text)
    text = TIME.sub("2026-11-22T10:21:16.150Z", text)
    text = re.sub(r"\b(process|pid)( +)\d+( on \S+?(?=,))?", r"\1\g<2>4711", text)
    text = re.sub(r"\b\d+ MiB of memory", "10 MiB of memory", text)
    text = re.sub(r"\b\d+(\.\d)? kB\b", "36 kB", text)
    text = re.sub(r"wrote (\S+): \d+ bytes", r"wrote \1: 40000 bytes", text)
    return TOOK.sub("3 ms", text)


def comparable(text: str) -> str:
    """Return text without the column widths and line breaks that such differences cause."""
    return re.sub(r"\s+", " ", text).strip()


def edit(path: Path, hunk: str) -> None:
    """Apply a block of removed, added and kept lines."""
    lines = hunk.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} has not exactly once:\n{old}"
    path.write_text(text.replace(old, new))


def session(block: str, directory: Path, exit_codes: frozenset[int]) -> str:
    """Type the commands of a block, and return the block as it would look now."""
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
        printed = STARTER.sub(r"\1operator on host", done.stdout.replace(str(directory), "/work"))
        seen.append(f"$ {command}\n{printed}")
    return "".join(seen)


def follow(
    guide: Path, varying: re.Pattern[str] | None = None, *, beside: Path | None = None
) -> None:
    """Do every command and every edit of a document in order, in a separate directory.

    `varying` matches what else differs in the outputs of this document from run to run. That
    directory is a copy of `beside`, if it is given.
    """
    with tempfile.TemporaryDirectory() as above:  # a short name: screens are cut at their width
        directory = Path(above, "work").resolve()
        if beside is None:
            directory.mkdir()
        else:
            shutil.copytree(beside, directory)
        _follow(guide, directory, varying)


def _follow(guide: Path, directory: Path, varying: re.Pattern[str] | None) -> None:
    text, rewritten, last_output, printed = guide.read_text(), "", 0, None
    _python_command(directory.parent)
    for found in BLOCK.finditer(text):
        note, kind, block = found["note"] or "", found["kind"], found["text"]
        now = None
        if printed is not None:
            now, printed = printed, None
        elif note.startswith("edit: "):
            edit(directory / note.removeprefix("edit: "), block)
        elif note.startswith("file: "):
            write(directory / note.removeprefix("file: "), block)
        elif note == "not run":
            continue
        elif kind == "console":
            codes = re.findall(r"\d+", note) if note.startswith("exits: ") else ["0", "1"]
            now = session(block, directory, frozenset(map(int, codes)))
        elif kind == "python":
            printed = output_of(block, directory)
        if now is not None:
            shown, said = now, block
            if varying is not None:
                shown, said = varying.sub("-", shown), varying.sub("-", said)
            is_same = comparable(settled(shown)) == comparable(settled(said))
            rewritten += text[last_output : found.start("text")] + (block if is_same else now)
            last_output = found.end("text")
            assert is_same or "REWRITE_GOLDEN" in os.environ, f"seen now:\n{now}"
    assert printed is None, "the document does not show what its last Python block prints"
    if "REWRITE_GOLDEN" in os.environ:
        guide.write_text(rewritten + text[last_output:])


def write(path: Path, text: str) -> None:
    """Write a file that a document shows; a script can then be started."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if text.startswith("#!"):
        path.chmod(0o755)


def output_of(script: str, directory: Path) -> str:
    """Run a Python script, and return its output."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=directory,
        env=shell_environment(directory.parent),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout.replace(str(directory), "/work")


def _python_command(folder: Path) -> None:
    """Make `python` this interpreter, next to `fsm-orchestrator`."""
    command = folder / "bin" / "python"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    command.chmod(0o755)
