"""The shape of a lifecycle file: keys and values, each file refused wrong in exactly one way."""

from __future__ import annotations

from operator import attrgetter
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from fsm_orchestrator import lifecycle_shape
from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle import parse
from fsm_orchestrator.lifecycle_model import Lifecycle, State, Transition
from fsm_orchestrator.lifecycle_names import shipped_text
from fsm_orchestrator.vocabulary import ExitCode

DEFAULT = shipped_text("governed_run").decode()
TITLE = 'title = "Gates first, then manager, then executor"'
NAME = "a name: lower-case letters, digits and _, a letter first, at most 64 characters"
LINE = "one line of 1 to 200 characters, none of them a control character"
MILLISECONDS = "a whole number of milliseconds from 1 to 2147483647"
FAILED = '["manager", "executor"]\ndest = "failed"'
STAGE_FAILED = "transition 8 (stage_failed from manager, executor)"
MANAGER = 'name = "manager"\nkind = "stage"'


class Case(NamedTuple):
    """A lifecycle that is refused, and all that is said of it, line by line."""

    name: str
    text: str
    problems: tuple[str, ...]


def edited(old: str, new: str) -> str:
    """The default lifecycle with `old`, found exactly once, made `new`."""
    assert DEFAULT.count(old) == 1, f"{old!r} is there {DEFAULT.count(old)} times"
    return DEFAULT.replace(old, new)


def refused(name: str, old: str, new: str, *problems: str) -> Case:
    """A case: the default lifecycle after one edit."""
    return Case(name, edited(old, new), problems)


KEYS = (
    refused("unknown key", TITLE, f"{TITLE}\nowner = 1",
        "unknown key 'owner'; known keys:"
        " schema_version, name, title, initial, gates_guard, state, transition"),
    refused("misspelt key", TITLE, f'{TITLE}\ngate_guard = "stages"',
        "unknown key 'gate_guard'; did you mean 'gates_guard'?"),
    refused("misspelt key of a state", MANAGER, f"{MANAGER}\ntimeout = 5",
        "state 'manager': unknown key 'timeout'; did you mean 'timeout_ms'?"),
    refused("misspelt key of a transition", 'guard = "stages"', 'guard = "stages"', "?"),
)
