"""Validates the files of runs against the published schemas, without the models behind them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from fsm_orchestrator.schemas import SchemaName, schema_text

SCHEMAS_OF_FILES: Mapping[str, SchemaName] = {
    "orchestrator_run_report.json": SchemaName.REPORT,
    "orchestrator_checkpoint.json": SchemaName.CHECKPOINT,
    "orchestrator_events.jsonl": SchemaName.EVENT,
    "orchestrator_invocations.jsonl": SchemaName.INVOCATION,
}
POSTMORTEMS = "*.postmortem.json"
"""The files in `logs/` that this program writes; the others are the output of stages."""
Stamp = tuple[int, int, int]
"""The marks of one content of a file: inode, time of change, size."""


@cache
def validator_of(name: SchemaName) -> jsonschema_rs.Validator:
    """Return the validator of a schema, made once per process."""
    return jsonschema_rs.validator_for(json.loads(schema_text(name)))


def is_valid(name: SchemaName, document: Any) -> bool:
    """Return True if a document is valid by the schema."""
    return validator_of(name).is_valid(document)


def assert_valid(name: SchemaName, document: Any, where: str) -> None:
    """Assert that a document is valid by the schema; the message calls it `where`."""
    if not is_valid(name, document):
        judge = Draft202012Validator(json.loads(schema_text(name)))  # which finds the nearest one
        error = best_match(judge.iter_errors(document))
        assert error is not None, where
        raise AssertionError(f"{where}: {error.json_path}: {error.message}")


def assert_output_valid(output: Path) -> None:
    """Assert that the files of a run, in an output directory and in its archive, are valid."""
    for directory in (output, *sorted(output.glob("archive/*"))):
        for path in _files_of(directory):
            if path.is_file():
                _assert_file_valid(path)


class Written:
    """The files of a run that a command wrote: those that differ from before it.

    Any of the command's `arguments` may be its output directory. Files that the command left
    unchanged may have been broken on purpose; what it wrote must be valid, whatever it met.
    """

    def __init__(self, arguments: Iterable[str | Path], cwd: Path) -> None:
        self._directories = [cwd / argument for argument in arguments]
        self._before = dict(self._stamps())
        self._lines_before = {path: _count_lines(path) for path in self._before}

    def assert_valid(self) -> None:
        """Assert that every file that is new or has changed is valid; of a log, the new lines."""
        for path, now in self._stamps():
            before = self._before.get(path)
            if now != before:
                is_same_file = before is not None and before[0] == now[0]
                _assert_file_valid(path, self._lines_before[path] if is_same_file else 0)

    def _stamps(self) -> Iterator[tuple[Path, Stamp]]:
        there = filter(os.path.isdir, self._directories)  # most arguments are something else
        for path in (path for directory in there for path in _files_of(directory)):
            try:
                status = os.stat(path, follow_symlinks=False)
            except (OSError, ValueError):  # no path, or an argument that cannot be one
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, (status.st_ino, status.st_mtime_ns, status.st_size)


def _files_of(directory: Path) -> list[Path]:
    """Return the paths of a run's files that have a schema, as far as they exist."""
    try:
        postmortems = sorted((directory / "logs").glob(POSTMORTEMS))
    except (OSError, ValueError):  # no path, or an argument that cannot be one
        postmortems = []
    return [*(directory / name for name in SCHEMAS_OF_FILES), *postmortems]


def _count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def _assert_file_valid(path: Path, first_line: int = 0) -> None:
    name = SCHEMAS_OF_FILES.get(path.name, SchemaName.POSTMORTEM)
    if path.suffix != ".jsonl":
        assert_valid(name, json.loads(path.read_bytes()), str(path))
        return
    whole_lines = path.read_bytes().split(b"\n")[:-1]  # a kill may have torn the last
    for number, line in enumerate(whole_lines[first_line:], start=first_line + 1):
        assert_valid(name, json.loads(line), f"{path}:{number}")
