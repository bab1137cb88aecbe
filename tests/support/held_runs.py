"""Runs as docs/engines.md holds them: its programs, started as an engine starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.disk.epochs import epochs_of
from tests.support.command import report_of
from tests.support.guide import BLOCK, write
from tests.support.patience import PATIENCE_SECONDS, wait_until

PAGE: Final = Path(__file__).parents[2] / "docs" / "engines.md"
WORK: Final = """#!/bin/sh
echo "$1 $ORCHESTRATOR_EPOCH" >> "$ORCHESTRATOR_OUTPUT_DIR/work"
test "$1" = plan || until test -e "$ORCHESTRATOR_OUTPUT_DIR/go"; do sleep 0.02; done
"""
"""A program whose second stage works until there is a file `go` in the run."""


class Workplace:
    """A folder with the programs of the page, and the run that they hold in it.

    Attributes:
        folder: the directory in which the programs are, and are started.
        run: the directory of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "out"
        for found in BLOCK.finditer(PAGE.read_text()):
            if (found["note"] or "").startswith("file: "):
                write(folder / found["note"].removeprefix("file: "), found["text"])
        write(folder / "work.sh", WORK)
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *words: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a program of the page by this Python, with the variables that its engine sets."""
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder,
            env={**os.environ, "XDG_STATE_HOME": str(self.folder / "state"), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def wait_until_at_work(self, epoch: str) -> None:
        """Return once the second stage is at work in an epoch."""
        wait_until(lambda: f"apply {epoch}" in self.work, f"apply is not at work: {self.work}")

    def let_go(self) -> None:
        """Let the second stage end, now and in every later attempt."""
        (self.run / "go").touch()

    @property
    def work(self) -> list[str]:
        """The notes of the stages: their names, and the epochs in which they began."""
        path = self.run / "work"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def epochs(self) -> list[str]:
        """The names of the run's epochs."""
        return epochs_of(self.run)

    def report(self, epoch: str) -> dict[str, Any]:
        """Return the report of an epoch."""
        return report_of(self.run / "epochs" / epoch)

    def close(self) -> None:
        """End what still exists."""
        for process in self._started:
            process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code of a program, and its output."""
    printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, printed
