"""Copies of a run's directory that stand for the directory itself: made once, tried many times."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fsm_orchestrator.processes import table
from fsm_orchestrator.secrets.state_key import own_key, with_mac
from tests.support.command import CHECKPOINT

_PLACE = re.compile(rb'"directory": ?"[^"]*", ?"device": ?[0-9]+, ?"inode": ?[0-9]+')


_MAC = re.compile(rb'"mac":"[^"]*"}\s*\Z')


def own_copy(source: Path, target: Path, **options: Any) -> Path:
    """Copy a directory as if its run had worked in the copy."""
    shutil.copytree(source, target, **options)
    at_home(target)
    return target


def at_home(output: Path) -> None:
    """Make the checkpoint in a directory say that it belongs there, whatever else is in it.

    It is proved by the key of the private state of this process, if there is one.
    """
    path, here = output / CHECKPOINT, output.stat()
    numbers = f'"device":{here.st_dev},"inode":{here.st_ino}'
    place = f'"directory":{json.dumps(str(output))},{numbers}'.encode()
    if path.is_file():
        moved = _PLACE.sub(lambda _: place, path.read_bytes(), count=1)
        unsigned, had_mac = _MAC.subn(b'"mac":null}', moved)
        path.write_bytes(with_mac(unsigned, own_key(output)) + b"\n" if had_mac else moved)


@contextlib.contextmanager
def another_machine(state: Path) -> Iterator[None]:
    """Let what runs in this process run on another machine, which has its private state."""
    named = os.uname_result(("Linux", "another", *os.uname()[2:]))
    with (
        patch.object(table, "boot", lambda: "another-boot"),
        patch.object(os, "uname", lambda: named),
        patch.dict(os.environ, XDG_STATE_HOME=str(state)),
    ):
        yield
