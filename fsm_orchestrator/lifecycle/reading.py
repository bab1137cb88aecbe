"""Reads lifecycles and refuses those that break what a lifecycle promises.

Three layers, each asked only when the one before found nothing: the shape of the file, the
rules for names, states and edges, and the proof over all walks. All that one layer finds is
reported together. The shape itself is lifecycle_model.py's; nothing here runs a lifecycle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle import source as lifecycle_names
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.proof import violations
from fsm_orchestrator.lifecycle.rules import rule_problems
from fsm_orchestrator.lifecycle.shape import shape_problems, version_problem
from fsm_orchestrator.text.phrases import described, suggestion
from fsm_orchestrator.text.toml import TOO_DEEP_OR_LARGE, NotATableError, table_of

shipped_names = lifecycle_names.shipped_names

_KNOWN_MAX: Final = 16
"""How many lifecycles are kept in mind, for a program that runs many."""
_LISTED_MAX: Final = 50
"""How many problems of a layer are listed: enough to work on, not a flood from a wrong file."""


def read(name_or_path: str, directory: Path) -> Lifecycle:
    """The lifecycle an operator asked for, of the right shape but not judged: never to be run.

    Found as `find` finds it, for those who ask what is wrong with it or what changed.

    Raises:
        LifecycleError: there is none, it cannot be read, or it has not the shape of one.
    """
    text, source = _found(name_or_path, directory)
    return _shaped(text, source)


def load_lifecycle(path: str | os.PathLike[str]) -> Lifecycle:
    """The lifecycle in a file, of the right shape but not judged: ask `verify` about it.

    Raises:
        LifecycleError: the file cannot be read, or has not the shape of a lifecycle.
    """
    return read(os.path.abspath(path), Path())


def find(name_or_path: str, directory: Path) -> Lifecycle:
    """The lifecycle an operator asked for.

    A value that is well formed as a name is a shipped lifecycle; anything else (it has a `/`, a
    `.`, a capital) is a path, relative to `directory`.

    Raises:
        LifecycleError: there is none, it cannot be read, or it is refused.
    """
    return parse(*_found(name_or_path, directory))


def shipped(name: str) -> Lifecycle:
    """A lifecycle that comes with the program.

    Raises:
        LifecycleError: none of that name ships.
    """
    return parse(*_shipped_text(name))


def load(path: Path) -> Lifecycle:
    """The lifecycle in a file.

    Raises:
        LifecycleError: the file cannot be read, or the lifecycle is refused.
    """
    return parse(*_file_text(path))


def _found(name_or_path: str, directory: Path) -> tuple[bytes, str]:
    """The text of a lifecycle, and what messages call it."""
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
            f"no lifecycle {described(name)} comes with the program{hint}", remedy=_remedy()
        ) from error
    return text, f"{name}.toml"


def _file_text(path: Path) -> tuple[bytes, str]:
    try:
        text = lifecycle_names.file_text(path)
    except OSError as error:
        raise LifecycleError(f"{path}: {files.reason(error)}", remedy=_remedy()) from error
    return text, str(path)


@lru_cache(maxsize=_KNOWN_MAX)
def parse(text: bytes, source: str) -> Lifecycle:
    """The lifecycle in a text; `source` is what messages call the text.

    The same text is understood and proved once: a lifecycle is frozen, so it can be shared.

    Raises:
        LifecycleError: the text is not TOML in UTF-8, or the lifecycle is refused.
    """
    lifecycle = _shaped(text, source)
    check(lifecycle, source)
    return lifecycle


def _shaped(text: bytes, source: str) -> Lifecycle:
    data = _table(text, source)
    if problem := version_problem(data):
        raise _refusal(source, [problem])
    try:
        return Lifecycle.model_validate_json(_json(data, source))
    except ValidationError as error:
        raise _refusal(source, shape_problems(error, data)) from error


def check(lifecycle: Lifecycle, source: str) -> None:
    """Refuse a lifecycle of the right shape that breaks a rule or a promise.

    Raises:
        LifecycleError: it does; the message says where, one line for each problem.
    """
    _refuse_for(source, map(str, rule_problems(lifecycle)))
    _refuse_for(source, map(str, violations(lifecycle)))


def _table(text: bytes, source: str) -> dict[str, Any]:
    """The file as TOML reads it, with a `source` that is one name made a list of one."""
    try:
        data = table_of(text)
    except NotATableError as error:
        raise _refusal(source, [str(error)]) from error
    transitions = data.get("transition")
    for transition in transitions if isinstance(transitions, list) else []:
        if isinstance(transition, dict) and isinstance(transition.get("source"), str):
            transition["source"] = [transition["source"]]
    return data


def _json(data: dict[str, Any], source: str) -> str:
    """The table as JSON, which strict models read enums and tuples from.

    A date or time, which JSON lacks, becomes a fraction: no key of a lifecycle takes one.
    """
    try:
        return json.dumps(data, default=lambda _: 0.5)
    except (RecursionError, ValueError) as error:
        raise _refusal(source, [TOO_DEEP_OR_LARGE]) from error


def _refuse_for(source: str, problems: Iterator[str]) -> None:
    """Raise the refusal if there is any problem."""
    first = next(problems, None)
    if first is not None:
        raise _refusal(source, chain([first], problems))


def _refusal(source: str, problems: Iterable[str]) -> LifecycleError:
    listed = list(islice(problems, _LISTED_MAX + 1))
    if len(listed) > _LISTED_MAX:
        listed[_LISTED_MAX:] = ["there is more that is wrong; only the first are listed"]
    return LifecycleError(
        "\n".join(f"{source}: {problem}" for problem in listed),
        remedy="correct the file, or choose another lifecycle",
    )


def _remedy() -> str:
    names = ", ".join(shipped_names())
    return f"name one that comes with the program ({names}), or a file by a path with a / or a ."
