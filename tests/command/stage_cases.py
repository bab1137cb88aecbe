"""Runs stages, and reads what is recorded of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.command import PASSING, Ended, orchestrate, report_of


def run(directory: Path, *options: str, **settings: Any) -> Ended:
    """Run with all gates passed, into `out` below the directory."""
    return orchestrate("run", "out", *PASSING, *options, cwd=directory, **settings)


def only_execution(directory: Path) -> dict[str, Any]:
    """Return the one stage execution of the last run in a directory."""
    (execution,) = report_of(directory / "out")["stage_executions"]
    assert isinstance(execution, dict)
    return execution


def log_of(directory: Path, stage: str, stream: str = "stdout", attempt: int = 1) -> bytes:
    """Return what a stage printed."""
    return (directory / "out" / "logs" / f"{stage}.{attempt}.{stream}.log").read_bytes()


def executable(path: Path, text: str) -> Path:
    """Make an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def arguments(stage: str, *values: str) -> tuple[str, ...]:
    """Return the options that give a stage arguments."""
    return tuple(word for value in values for word in (f"--{stage}-arg", value))
