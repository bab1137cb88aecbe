"""The environment of a stage: the operator's, the given pairs, this program's own, and PWD."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fsm_orchestrator.config.given_types import Inherited
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import (
    EPOCH_VARIABLE,
    TRACE_PARENT_VARIABLE,
    TRACE_STATE_VARIABLE,
)
from fsm_orchestrator.model.option_kinds import INHERIT_ALL, INHERIT_MINIMAL

CYCLE_VARIABLE: Final = "ORCHESTRATOR_REWORK_CYCLE"
REPORT_VARIABLE: Final = "ORCHESTRATOR_REWORK_REPORT"
AGENT_VARIABLE: Final = "SSH_AUTH_SOCK"
"""The variable that leads to the keys of the user who started the run: a confined stage can sign
nothing with them."""
MINIMAL: Final = ("PATH", "HOME", "LANG", "TERM", "TZ", "USER", "TMPDIR")
METER_VARIABLE: Final = "ORCHESTRATOR_METER"
_NOT_INHERITED: Final = frozenset(
    {CYCLE_VARIABLE, REPORT_VARIABLE, METER_VARIABLE, EPOCH_VARIABLE, ""}
)
"""The variables of an orchestrator around this one about its own stage; and the empty name, with
which nothing can be passed on."""


def environment_of(settings: StageSettings, ours: Mapping[str, str]) -> dict[str, str]:
    """Return what a stage inherits, overridden by its pairs, and both overridden by `ours`.

    PWD is the directory in which the stage starts, as a shell would have set it.
    """
    given = {key: value for key, value in settings.variables.items() if value is not None}
    both = {**_inherited(settings.env_inherit), **given}
    if settings.confine is not None:
        both.pop(AGENT_VARIABLE, None)
    if TRACE_PARENT_VARIABLE in ours:
        both.pop(TRACE_STATE_VARIABLE, None)  # it belongs to another parent
    return {
        **both,
        "PWD": _name_of(settings.cwd),
        **ours,
    }


def _inherited(asked: Inherited) -> dict[str, str]:
    """Return what a stage inherits from the operator's environment."""
    names = MINIMAL if asked == INHERIT_MINIMAL else asked
    return {
        key: value
        for key, value in _of_the_operator().items()
        if key not in _NOT_INHERITED and (names == INHERIT_ALL or key in names)
    }


def _of_the_operator() -> dict[str, str]:
    """Return the environment of this process: read as bytes, in half the steps, and decoded."""
    how = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    there = os.environb
    return {key.decode(*how): there[key].decode(*how) for key in there}


def _name_of(directory: str) -> str:
    """Return the name of a directory for PWD: the operator's own name for it, if there is one."""
    by_operator = os.environ.get("PWD", "")
    if os.path.isabs(by_operator) and os.path.normpath(by_operator) == by_operator:
        if by_operator == directory:
            return directory
        with contextlib.suppress(OSError):
            if os.path.samefile(by_operator, directory):
                return by_operator
    # Behind a link, `..` is not what it seems: no shell accepts such a name.
    return os.path.realpath(directory) if os.pardir in Path(directory).parts else directory
