"""Reads a fleet: TOML with `[defaults]` and `[[run]]`, or JSON with a run on each line."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from fsm_orchestrator.config.config_file import ConfigFile
from fsm_orchestrator.config.config_reading import understood
from fsm_orchestrator.constants import RUN_ID_PATTERN
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import absolute, current_directory
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import described, suggestion
from fsm_orchestrator.text.toml import NotATableError, table_of

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
RUNS_MAX: Final = 100_000
PRIORITY_MAX: Final = 1_000_000
LISTED_MAX: Final = 20
STDIN: Final = "-"
_KEYS: Final = ("schema_version", "defaults", "run")
_REFUSED: Final = {
    "resume": "a fleet resumes interrupted runs on its own",
    "resume_or_start": "a fleet resumes interrupted runs on its own",
    "log_format": "it is an option of the fleet's command",
    "log_level": "it is an option of the fleet's command",
    "json": "it is an option of the fleet's command",
}
"""The keys of a config file that make no sense for one of many runs."""


class FleetRun(NamedTuple):
    """One run of a fleet.

    Attributes:
        name: the name of its directory.
        priority: higher priorities come first.
        concurrency_key: runs with the same key never run at the same time; None for no key.
        config: its settings, defaults included.
        table: the same settings as they are written to its config file.
    """

    name: str
    priority: int
    concurrency_key: str | None
    config: ConfigFile
    table: Mapping[str, Any]


class Fleet(NamedTuple):
    """The runs of a file, in file order.

    Attributes:
        source: absolute path of the file; `-` for stdin.
        sha256: digest of its bytes.
    """

    source: str
    sha256: str
    runs: tuple[FleetRun, ...]


def read_fleet(typed: str) -> Fleet:
    """Read the fleet in a file; `-` is stdin.

    Raises:
        UsageError: it cannot be read, or it has problems; the first are listed.
    """
    content = _content(typed)
    name = "stdin" if typed == STDIN else copyable(typed)
    problems: list[str] = []
    runs: list[FleetRun] = []
    base = current_directory() if typed == STDIN else os.path.dirname(absolute(typed))
    for number, (place, table, defaults) in enumerate(_entries(content, name), start=1):
        if number > RUNS_MAX:
            problems.append(f"{name}: more than {RUNS_MAX:,} runs")
            break
        if len(problems) >= LISTED_MAX:
            problems.append(f"{name}: there may be more; only the first are listed")
            break
        run = _run_of(place, table, defaults, base, problems)
        if run is not None:
            runs.append(run)
    problems += _twice(name, runs)
    if not runs and not problems:
        problems.append(f"{name}: there is no run in it")
    if problems:
        raise UsageError("\n".join(problems), remedy="fix the file")
    source = typed if typed == STDIN else str(absolute(typed))
    return Fleet(source, sha256_of(content), tuple(runs))


def _content(typed: str) -> bytes:
    if typed == STDIN:
        content = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise UsageError(f"stdin has more than {FILE_BYTES_MAX} bytes", remedy="split it")
        return content
    try:
        return files.read_bounded(absolute(typed), FILE_BYTES_MAX, is_link_good=True)
    except OSError as error:
        raise UsageError(
            f"cannot read {copyable(typed)}: {files.reason(error)}", remedy="name a fleet file"
        ) from error


_Entry = tuple[str, Any, Mapping[str, Any]]
"""The place where a run is defined, its table, and the defaults that apply to it."""


def _entries(content: bytes, name: str) -> Iterator[_Entry]:
    """Yield the runs; JSON is known by its first character, with which no TOML table begins."""
    if content.lstrip()[:1] == b"{":
        yield from _json_lines(content, name)
        return
    try:
        table = _exact(table_of(content), content)
    except NotATableError as error:
        raise UsageError(f"{name}: {error}", remedy="fix the file") from error
    for key in table:
        if key not in _KEYS:
            hint = suggestion(key, _KEYS) or f"; known keys: {', '.join(_KEYS)}"
            raise UsageError(f"{name}: unknown key {described(key)}{hint}", remedy="fix the file")
    if table.get("schema_version", 1) != 1:
        raise UsageError(f"{name}: this program reads version 1 only", remedy="fix the file")
    defaults, runs = table.get("defaults", {}), table.get("run", [])
    if not isinstance(defaults, dict) or not isinstance(runs, list):
        raise UsageError(
            f"{name}: key 'defaults' is a table, and each run a table headed [[run]]",
            remedy="fix the file",
        )
    for number, run in enumerate(runs, start=1):
        yield f"{name}: run {number}", run, defaults


def _exact(table: dict[str, Any], content: bytes) -> dict[str, Any]:
    """Return the table of a file with the amounts of its budgets exactly as written."""
    if b"budget" not in content:
        return table
    exact = tomllib.loads(content.decode(), parse_float=Decimal)
    defaults, runs = table.get("defaults"), table.get("run")
    if isinstance(defaults, dict):
        table["defaults"] = _with_budget(defaults, exact["defaults"])
    if isinstance(runs, list):
        table["run"] = list(map(_with_budget, runs, exact["run"]))
    return table


def _with_budget(run: Any, exact: Any) -> Any:
    """Return a run, or the defaults of a line, with the budget that `exact` has."""
    if not isinstance(run, dict):
        return run
    if isinstance(exact.get("budget"), dict):
        run["budget"] = exact["budget"]
    if isinstance(run.get("defaults"), dict):
        run["defaults"] = _with_budget(run["defaults"], exact["defaults"])
    return run


def _json_lines(content: bytes, name: str) -> Iterator[_Entry]:
    defaults: Mapping[str, Any] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
            if b'"budget"' in line:
                found = _with_budget(found, json.loads(line, parse_float=Decimal))
        except ValueError as error:
            raise UsageError(f"{name}:{number}: no JSON: {error}", remedy="fix the line") from error
        if isinstance(found, dict) and found.keys() == {"defaults"}:
            defaults = found["defaults"]
            if not isinstance(defaults, dict):
                raise UsageError(f"{name}:{number}: 'defaults' is no table", remedy="fix the line")
            continue
        yield f"{name}:{number}", found, defaults


def _run_of(
    place: str, table: Any, defaults: Mapping[str, Any], base: str, problems: list[str]
) -> FleetRun | None:
    """Return a run; if it has problems, add them to `problems` and return None."""
    if not isinstance(table, dict):
        problems.append(f"{place}: is {described(table)}, not a table")
        return None
    own = dict(table)
    name, priority = own.pop("name", None), own.pop("priority", 0)
    key = own.pop("concurrency_key", None)
    if not isinstance(name, str) or not re.fullmatch(RUN_ID_PATTERN, name):
        said = "is missing" if name is None else f"is {described(name)}"
        problems.append(f"{place}: key 'name' {said}; expected a name for its directory")
        return None
    place = f"{place} ({name})"
    before = len(problems)
    if type(priority) is not int or abs(priority) > PRIORITY_MAX:
        problems.append(
            f"{place}: key 'priority' is {described(priority)}; expected a whole number"
        )
    if key is not None and (not isinstance(key, str) or not key):
        problems.append(f"{place}: key 'concurrency_key' is {described(key)}; expected a text")
    merged = _merged(defaults, own)
    problems += [f"{place}: key {one!r}: {why}" for one, why in _REFUSED.items() if one in merged]
    merged.setdefault("relative_to", base)
    try:
        config = understood(place, "", merged).content
    except UsageError as error:
        problems.append(str(error))
    return None if len(problems) > before else FleetRun(name, priority, key, config, merged)


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return both merged, table by table; a run's own values win, and lists are replaced."""
    merged = dict(defaults)
    for key, value in own.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged


def _twice(name: str, runs: list[FleetRun]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for run in runs:
        # Two names that differ only in case are the same directory on some file systems.
        other = seen.setdefault(run.name.casefold(), run.name)
        if other is not run.name:
            yield f"{name}: two runs are called {described(other)}, ignoring case"
