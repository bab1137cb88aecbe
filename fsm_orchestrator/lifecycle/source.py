"""Finds the text of a lifecycle, and reads its declarations before it is validated.

Used for `--help` and the options of stages and gates, so it loads neither pydantic nor the machine.
Judges nothing: reading.py refuses lifecycles.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.constants import STATE_NAME_PATTERN
from fsm_orchestrator.disk.files import read_bounded
from fsm_orchestrator.lifecycle.judged import judged_table
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES, GateRule, declared_rule
from fsm_orchestrator.text.toml import NotATableError, table_of
from fsm_orchestrator.vocabulary import StateKind

LIFECYCLE_BYTES_MAX: Final = 1_048_576
NAME_CHARACTERS_MAX: Final = 64

_PACKAGE: Final = "fsm_orchestrator.states"
_SUFFIX: Final = ".toml"
_KNOWN_MAX: Final = 16


def is_name(value: object) -> bool:
    """Return whether a value is well formed as the name of a state or of a built-in lifecycle."""
    return (
        isinstance(value, str)
        and len(value) <= NAME_CHARACTERS_MAX
        and re.fullmatch(STATE_NAME_PATTERN, value) is not None
    )


@cache
def _checkout_folder() -> Path | None:
    """Return the directory of the built-in lifecycles in a checkout; None for an installed package.

    In a checkout `states` is next to the package, not in it, and whether an installed copy answers
    to its name there depends on how it was installed.
    """
    package = Path(__file__).parents[1]
    folder = package.with_name("states")
    in_checkout = not (package / "states").exists() and (folder / "__init__.py").exists()
    return folder if in_checkout else None


def shipped_names() -> tuple[str, ...]:
    """Return the names of the built-in lifecycles, sorted."""
    if (folder := _checkout_folder()) is not None:
        entries: Iterable[str] = os.listdir(folder)
    else:
        from importlib.resources import files as resource_files  # noqa: PLC0415 - slow, and rare

        entries = (entry.name for entry in resource_files(_PACKAGE).iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in entries if name.endswith(_SUFFIX)))


@lru_cache(maxsize=_KNOWN_MAX)
def shipped_text(name: str) -> bytes:
    """Return the text of a built-in lifecycle, as it was at the first call.

    It is a part of the program, of which a process has one version.

    Raises:
        FileNotFoundError: none has that name.
    """
    if not is_name(name):
        raise FileNotFoundError(2, "no built-in lifecycle of that name", name)
    return _shipped_file(name + _SUFFIX)


def _shipped_file(name: str) -> bytes:
    """Return the content of a file in the directory of the built-in lifecycles."""
    if (folder := _checkout_folder()) is not None:
        return (folder / name).read_bytes()
    package = import_module(_PACKAGE)
    loader = None if package.__spec__ is None else package.__spec__.loader
    if isinstance(loader, SourceFileLoader):  # avoids the import below at every start
        return loader.get_data(os.path.join(package.__path__[0], name))
    from importlib.resources import files as resource_files  # noqa: PLC0415 - in a zip file

    return resource_files(_PACKAGE).joinpath(name).read_bytes()


def file_text(path: Path) -> bytes:
    """Return the text of a lifecycle file.

    Raises:
        OSError: it cannot be read, is not a regular file, or is too large.
    """
    return read_bounded(path, LIFECYCLE_BYTES_MAX, is_link_good=True)


def text_of(name_or_path: str, directory: Path) -> bytes:
    """Return the text of the lifecycle that an operator named, found as `reading.find` does.

    Raises:
        OSError: it does not exist, or cannot be read.
    """
    if is_name(name_or_path):
        return shipped_text(name_or_path)
    return file_text(directory / name_or_path)


@lru_cache(maxsize=1)
def table_in(text: bytes) -> Mapping[str, Any]:
    """Return the table of a text; the options and the run are made from the same one.

    Raises:
        NotATableError: as `table_of`.
    """
    judged = judged_table(text, _shipped_file)
    return table_of(text) if judged is None else judged


def is_judged(text: bytes) -> bool:
    """Return whether a text is, byte for byte, one that was proved when the program was built."""
    return judged_table(text, _shipped_file) is not None


class Declared(NamedTuple):
    """The declarations of a lifecycle that have options of their own.

    Attributes:
        stages: the names of its stages, in file order.
        gates: the gates that it has in addition to those of every lifecycle, in file order.
    """

    stages: tuple[str, ...] = ()
    gates: tuple[GateRule, ...] = ()


def declared_in(text: bytes) -> Declared:
    """Return the declarations of a lifecycle; none if the text is not understood.

    Tolerant: a wrong lifecycle is refused with its reason when it is loaded; until then only the
    options of its stages and gates are missing.
    """
    try:
        return declared_by(table_in(text))
    except NotATableError:
        return Declared()


def declared_by(table: Mapping[str, Any]) -> Declared:
    """Return the declarations of a lifecycle that was read but not checked."""
    stages = _stages_in_a_row(table.get("stages")) if "stages" in table else table.get("state")
    return Declared(_stages_among(stages), _gates_among(table.get("gate")))


def _stages_in_a_row(stages: object) -> object:
    """Return the stages of the short form as the states that they stand for."""
    if not isinstance(stages, list):
        return None
    tables = [{"name": one} if isinstance(one, str) else one for one in stages]
    return [{**one, "kind": StateKind.STAGE} if isinstance(one, dict) else one for one in tables]


def _gates_among(gates: object) -> tuple[GateRule, ...]:
    if not isinstance(gates, list) or not all(isinstance(gate, dict) for gate in gates):
        return ()
    found = {}
    for gate in gates:
        name, values, title = (gate.get(key) for key in ("name", "values", "title"))
        is_good = is_name(name) and name not in MANDATORY_RULES and isinstance(values, list | tuple)
        if is_good and len(values) > 1 and all(map(is_name, values)):
            said = title if isinstance(title, str) else None
            found[name] = declared_rule(name, said, tuple(values), "")
    return tuple(found.values())


def _stages_among(states: object) -> tuple[str, ...]:
    if not isinstance(states, list) or not all(isinstance(state, dict) for state in states):
        return ()
    names = [state.get("name") for state in states if state.get("kind") == StateKind.STAGE]
    if not all(is_name(name) for name in names) or len(set(names)) != len(names):
        return ()
    return tuple(names)
