"""Reads lifecycles, and refuses those that break a rule or a promise.

There are three layers: the shape of the file, the rules for names, states and edges, and the proof
over all walks. The first layer with a finding reports all of its findings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.constants import SCHEMA_VERSION
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle import source as lifecycle_names
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model import declared
from fsm_orchestrator.model.accepting import plainly
from fsm_orchestrator.model.spelled_out import Wrong, stage_spelled_out
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import FILE_LIKENESS, described, suggestion
from fsm_orchestrator.text.toml import TOO_DEEP_OR_LARGE, NotATableError

shipped_names = lifecycle_names.shipped_names

_KNOWN_MAX: Final = 16
"""The size of the cache, for programs that make many runs."""
_LISTED_MAX: Final = 50
"""The most problems that are listed: enough to work on, but no flood."""


def read(name_or_path: str, directory: Path) -> Lifecycle:
    """Read the lifecycle that an operator named, as `find` does, but without judging it.

    For commands that verify or compare; it must not be run.

    Raises:
        LifecycleError: it does not exist, cannot be read, or has the wrong shape.
    """
    text, source = _found(name_or_path, directory)
    return _shaped(text, source)


def load_lifecycle(path: str | os.PathLike[str]) -> Lifecycle:
    """Read a lifecycle without judging it, which `verify` does.

    A text that is well formed as a name is a built-in lifecycle, as for `--lifecycle`; anything
    else, and every `Path`, is the path of a file.

    Raises:
        LifecycleError: it does not exist, cannot be read, or has the wrong shape.
    """
    if isinstance(path, str) and lifecycle_names.is_name(path):
        return read(path, Path())
    return read(str(absolute(os.fspath(path))), Path())


def find(name_or_path: str, directory: Path) -> Lifecycle:
    """Read the lifecycle that an operator named.

    A value that is well formed as a name is a built-in lifecycle; anything else (with a `/`, a `.`,
    a capital) is a path, relative to `directory`.

    Raises:
        LifecycleError: it does not exist, cannot be read, or is refused.
    """
    return parse(*_found(name_or_path, directory))


def given_file(name_or_path: str, directory: Path) -> tuple[str, str] | None:
    """Return path and SHA-256 of the file that an operator named; None for a built-in lifecycle.

    Raises:
        LifecycleError: it does not exist, or cannot be read.
    """
    if lifecycle_names.is_name(name_or_path):
        return None
    text, path = _found(name_or_path, directory)
    return path, sha256_of(text)


def shipped(name: str) -> Lifecycle:
    """Read a built-in lifecycle.

    Raises:
        LifecycleError: none has that name.
    """
    return parse(*_shipped_text(name))


def _found(name_or_path: str, directory: Path) -> tuple[bytes, str]:
    """Return the text of a lifecycle, and its name in messages."""
    if lifecycle_names.is_name(name_or_path):
        return _shipped_text(name_or_path)
    if not name_or_path:
        raise LifecycleError("the name or path of the lifecycle is empty", remedy=_remedy())
    return _file_text(directory / name_or_path)


def _shipped_text(name: str) -> tuple[bytes, str]:
    try:
        text = lifecycle_names.shipped_text(name)
    except FileNotFoundError as error:
        hint = suggestion(name, shipped_names())
        raise LifecycleError(
            f"there is no built-in lifecycle {described(name)}{hint}", remedy=_remedy()
        ) from error
    return text, f"{name}.toml"


def _file_text(path: Path) -> tuple[bytes, str]:
    try:
        text = lifecycle_names.file_text(path)
    except OSError as error:
        from fsm_orchestrator.disk.near import toml_files_beside  # noqa: PLC0415 - for a typo

        found = toml_files_beside(path) if isinstance(error, FileNotFoundError) else ()
        hint = suggestion(path.name, found, likeness=FILE_LIKENESS)
        said = f"{copyable(path)}: {files.reason(error)}{hint}"
        raise LifecycleError(said, remedy=_remedy()) from error
    return text, str(path)


@lru_cache(maxsize=_KNOWN_MAX)
def parse(text: bytes, source: str) -> Lifecycle:
    """Read the lifecycle in a text; `source` names the text in messages.

    The same text is read and proved once: a lifecycle is frozen, so it can be shared. The text of a
    built-in lifecycle was proved when the program was built.

    Raises:
        LifecycleError: the text is not TOML in UTF-8, or the lifecycle is refused.
    """
    lifecycle = _shaped(text, source)
    if not lifecycle_names.is_judged(text):
        check(lifecycle, source)
    return lifecycle


def _shaped(text: bytes, source: str) -> Lifecycle:
    from fsm_orchestrator.lifecycle.default_edges import (  # noqa: PLC0415 - not for a record
        with_default_edges,
    )

    data = _table(text, source)
    if problem := _version_problem(data):
        raise _refusal(source, [problem])
    if "stages" in data:
        data = _expanded(data, source)
    spelled, wrong = _spelled_out(data)
    spelled = _with_exit_edges(dict(with_default_edges(spelled)))
    try:
        plain: Lifecycle | None = plainly(Lifecycle, spelled)
        lifecycle = plain or Lifecycle.model_validate_json(_json(spelled, source))
    except declared.ValidationError as error:
        from fsm_orchestrator.lifecycle.shape import shape_problems  # noqa: PLC0415 - rare

        raise _refusal(source, shape_problems(error, spelled, wrong)) from error
    if wrong:
        from fsm_orchestrator.lifecycle.shape import spelling_problems  # noqa: PLC0415 - rare

        raise _refusal(source, spelling_problems(wrong, data))
    return lifecycle


def _expanded(data: dict[str, Any], source: str) -> dict[str, Any]:
    """Return the table that one in the short form stands for."""
    from fsm_orchestrator.lifecycle import linear  # noqa: PLC0415 - only for the short form

    if both := [key for key in linear.OF_WRITTEN_OUT if key in data]:
        names = " and ".join(map(repr, both))
        raise _refusal(
            source,
            [
                (
                    f"key 'stages' stands for states and transitions: {names} cannot be given"
                    " in addition; write them out with lifecycle FILE --expand"
                )
            ],
        )
    spelled, wrong = linear.with_tables(data)
    try:
        short = linear.LinearLifecycle.model_validate_json(_json(spelled, source))
    except declared.ValidationError as error:
        from fsm_orchestrator.lifecycle.shape import shape_problems  # noqa: PLC0415 - rare

        found = shape_problems(error, spelled, wrong, linear.LinearLifecycle)
        raise _refusal(source, found) from error
    if wrong:
        from fsm_orchestrator.lifecycle.shape import spelling_problems  # noqa: PLC0415 - rare

        raise _refusal(source, spelling_problems(wrong, data))
    _refuse_for(source, linear.linear_problems(short))
    return linear.expanded(short)


def _spelled_out(data: dict[str, Any]) -> tuple[dict[str, Any], list[Wrong]]:
    """Return the table with its durations and sizes spelled out, and the problems with them."""
    states = data.get("state")
    if not isinstance(states, list):
        return data, []
    spelled = [stage_spelled_out(one, ("state", index)) for index, one in enumerate(states)]
    wrong = [one for _, of_state in spelled for one in of_state]
    return {**data, "state": [one for one, _ in spelled]}, wrong


def _version_problem(data: Mapping[str, object]) -> str | None:
    """Return why a file of this schema version cannot be read, or None if it can or names none.

    Comes before all other checks: other versions may have other keys and values.
    """
    version = data.get("schema_version", SCHEMA_VERSION)
    if type(version) is int and version == SCHEMA_VERSION:
        return None
    return (
        f"key 'schema_version' is {described(version)};"
        f" this program reads version {SCHEMA_VERSION} only"
    )


def check(lifecycle: Lifecycle, source: str) -> None:
    """Refuse a lifecycle of the right shape that breaks a rule or a promise.

    Raises:
        LifecycleError: it breaks one; the message has a line for each problem and its place.
    """
    # A built-in lifecycle does not need these.
    from fsm_orchestrator.lifecycle.proof import violations  # noqa: PLC0415
    from fsm_orchestrator.lifecycle.rules import rule_problems  # noqa: PLC0415

    _refuse_for(source, map(str, rule_problems(lifecycle)))
    _refuse_for(source, map(str, violations(lifecycle)))


def _table(text: bytes, source: str) -> dict[str, Any]:
    """Return the file's table, with each `source` that is a single name made a list."""
    try:
        data = dict(lifecycle_names.table_in(text))
    except NotATableError as error:
        raise _refusal(source, [str(error)]) from error
    transitions = data.get("transition")
    if isinstance(transitions, list):
        data["transition"] = [_with_sources(one) for one in transitions]
    return data


def _with_exit_edges(data: dict[str, Any]) -> dict[str, Any]:
    states = data.get("state")
    if not (
        isinstance(states, list)
        and any(isinstance(one, dict) and "exit_codes" in one for one in states)
    ):
        return data
    from fsm_orchestrator.lifecycle.exit_edges import with_exit_edges  # noqa: PLC0415 - rare

    return dict(with_exit_edges(data))


def _with_sources(transition: Any) -> Any:
    is_single = isinstance(transition, dict) and isinstance(transition.get("source"), str)
    return {**transition, "source": [transition["source"]]} if is_single else transition


def _json(data: dict[str, Any], source: str) -> str:
    """Return the table as JSON, from which strict models read enums and tuples.

    A date or time, which JSON lacks, becomes a fraction: no key of a lifecycle takes one.
    """
    try:
        return json.dumps(data, default=lambda _: 0.5)
    except (RecursionError, ValueError) as error:
        raise _refusal(source, [TOO_DEEP_OR_LARGE]) from error


def _refuse_for(source: str, problems: Iterator[str]) -> None:
    """Raise the refusal if there is a problem."""
    first = next(problems, None)
    if first is not None:
        raise _refusal(source, chain([first], problems))


def _refusal(source: str, problems: Iterable[str]) -> LifecycleError:
    listed = list(islice(problems, _LISTED_MAX + 1))
    if len(listed) > _LISTED_MAX:
        listed[_LISTED_MAX:] = [f"there are more problems; only the first {_LISTED_MAX} are listed"]
    return LifecycleError(
        "\n".join(f"{copyable(source)}: {problem}" for problem in listed),
        remedy="correct the file, or choose another lifecycle",
    )


def _remedy() -> str:
    names = ", ".join(shipped_names())
    return f"name a built-in lifecycle ({names}), or a file by a path with a / or a ."
