"""Validates the files of runs against the published schemas, without the models behind them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from fsm_orchestrator.schemas import SchemaName, schema_text

SCHEMAS_OF_FILES: Mapping[str, SchemaName] = {
    "orchestrator_run_report.json": SchemaName.REPORT,
    "orchestrator_checkpoint.json": SchemaName.CHECKPOINT,
    "orchestrator_events.jsonl": SchemaName.EVENT,
    "orchestrator_invocations.jsonl": SchemaName.INVOCATION,
}
POSTMORTEMS = "*.postmortem.json"
"""Those files in `logs/` that are the program's own; the others are what stages printed."""
Stamp = tuple[int, int, int]
"""What tells one content of a file from another: inode, time of change, size."""
KNOWN_MAX = 100_000
"""How many values are known to be good, before they are forgotten."""
_known: set[tuple[int, str]] = set()


def _properties(
    validator: Any, properties: Mapping[str, Any], instance: Any, _schema: object
) -> Iterator[ValidationError]:
    """Judge the values of properties; one that has been found good once is good again.

    Runs differ in little, and to judge all of one takes as long as to make it.
    """
    if len(_known) > KNOWN_MAX:
        _known.clear()
    for name, judged_by in properties.items() if isinstance(instance, dict) else ():
        if name not in instance:
            continue
        seen = (id(judged_by), json.dumps(instance[name]))
        if seen not in _known:
            errors = [*validator.descend(instance[name], judged_by, path=name, schema_path=name)]
            if not errors:
                _known.add(seen)
            yield from errors


_Judge: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"properties": _properties}
)


def _judge_of(schema: Mapping[str, Any]) -> Validator:
    """Return the judge by a schema, whose definitions are judged by the same."""
    for definition in schema["$defs"].values():
        definition.pop("$schema", None)
    judge: Validator = _Judge(schema)
    return judge


@cache
def validator_of(name: SchemaName) -> Validator:
    """Return the validator of a schema, made once a process."""
    return _judge_of(json.loads(schema_text(name)))


@cache
def _validators_of_events() -> Mapping[str, Validator]:
    """Return a validator for each kind of event: none is of a kind other than that it names.

    To try all kinds for every line takes most of the time of all checks.
    """
    schema = json.loads(schema_text(SchemaName.EVENT))
    found = {}
    for kind in schema["oneOf"]:
        definition = schema["$defs"][kind["$ref"].removeprefix("#/$defs/")]
        assert "event" in definition["required"]
        found[definition["properties"]["event"]["const"]] = _judge_of({**schema, "oneOf": [kind]})
    assert len(found) == len(schema["oneOf"])
    return found


def is_valid(name: SchemaName, document: Any) -> bool:
    """Return whether a document is as the schema says."""
    validator = None
    if name is SchemaName.EVENT and isinstance(document, dict):
        validator = _validators_of_events().get(document.get("event", ""))
    return bool((validator or validator_of(name)).is_valid(document))


def assert_valid(name: SchemaName, document: Any, where: str) -> None:
    """Assert that a document is as the schema says; `where` is what the message calls it."""
    if not is_valid(name, document):
        error = best_match(validator_of(name).iter_errors(document))
        raise AssertionError(f"{where}: {error.json_path}: {error.message}")


def assert_output_valid(output: Path) -> None:
    """Assert that the files of a run, in an output directory and in its archive, are valid."""
    for directory in (output, *sorted(output.glob("archive/*"))):
        for path in _files_of(directory):
            if path.is_file():
                _assert_file_valid(path)


class Written:
    """Which files of a run a command wrote: those that are not what they were before it.

    `arguments` are the command's: any of them may be its output directory. What the command left
    as it was may have been broken on purpose; what it wrote must be valid, whatever it met.
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
        for path in (path for directory in self._directories for path in _files_of(directory)):
            try:
                status = os.stat(path, follow_symlinks=False)
            except (OSError, ValueError):  # no path, or an argument that cannot be one
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, (status.st_ino, status.st_mtime_ns, status.st_size)


def _files_of(directory: Path) -> list[Path]:
    """Where the files of a run that have a schema are, if they are there."""
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
