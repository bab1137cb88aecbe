"""Copies of a run's directory that stand for the directory itself: made once, tried many times."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from tests.support.command import CHECKPOINT

_PLACE = re.compile(rb'"directory": ?"[^"]*", ?"device": ?[0-9]+, ?"inode": ?[0-9]+')


def own_copy(source: Path, target: Path, **options: Any) -> Path:
    """Copy a directory as if its run had worked in the copy."""
    shutil.copytree(source, target, **options)
    at_home(target)
    return target


def at_home(output: Path) -> None:
    """Let the checkpoint in a directory, whatever else is in it, say that it belongs there."""
    path, here = output / CHECKPOINT, output.stat()
    numbers = f'"device":{here.st_dev},"inode":{here.st_ino}'
    place = f'"directory":{json.dumps(str(output))},{numbers}'.encode()
    if path.is_file():
        path.write_bytes(_PLACE.sub(lambda _: place, path.read_bytes(), count=1))


def from_another_machine(output: Path) -> None:
    """Let the checkpoint in a directory say that it was written on another machine."""
    path = output / CHECKPOINT
    document = json.loads(path.read_bytes())
    document["home"] |= {"host": "another", "boot": "another-boot", "inode": 1}
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
