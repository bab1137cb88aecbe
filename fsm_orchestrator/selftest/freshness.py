"""Checks that this file system shows whether an attempt wrote an artifact or found it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fsm_orchestrator.stages.artifact_snapshot import take_snapshot
from fsm_orchestrator.stages.artifacts import judge

CONTENT: Final = b"{}\n"
SECOND_NS: Final = 1_000_000_000


def freshness(directory: Path) -> tuple[str, bool]:
    """Do to an artifact what stages do; return what was seen, and whether all was right."""
    path = directory / "artifact.json"
    path.write_bytes(CONTENT)
    done: tuple[tuple[str, Callable[[Path], object], bool], ...] = (
        ("left alone", Path.stat, False),
        ("written again with the same bytes", _write_in_place, True),
        ("given other permissions", lambda one: one.chmod(0o600), False),
        ("given another name as well", _link, False),
        ("replaced by an equal one", _replace, True),
    )
    for what, do, is_fresh in done:
        snapshot = take_snapshot([str(path)])
        do(path)
        verdict = judge([str(path)], snapshot, allow_stale=False)
        if verdict.is_good is not is_fresh:
            taken_for = "fresh" if verdict.is_good else "stale"
            return f"an artifact that was {what} is taken for {taken_for}", False
    return f"a rewrite is told from a leftover; {_stamps(path)}", True


def _stamps(path: Path) -> str:
    info = path.stat()
    if info.st_mtime_ns % SECOND_NS or info.st_ctime_ns % SECOND_NS:
        return "time stamps are finer than a second"
    if take_snapshot([str(path)]).watch.paths:
        return "time stamps are whole seconds, so writes are watched for"
    return "time stamps are whole seconds, so an attempt may wait two seconds before it starts"


def _write_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(CONTENT)


def _link(path: Path) -> None:
    try:
        os.link(path, path.with_suffix(".link"))
    except OSError:  # a file system without hard links
        return


def _replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(CONTENT)
    other.replace(path)
