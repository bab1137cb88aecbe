"""The environment of a stage: the operator's, the given pairs, the program's own, and PWD."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fsm_orchestrator.config.stage_settings import StageSettings

CYCLE_VARIABLE: Final = "ORCHESTRATOR_REWORK_CYCLE"
REPORT_VARIABLE: Final = "ORCHESTRATOR_REWORK_REPORT"
_NOT_INHERITED: Final = frozenset({CYCLE_VARIABLE, REPORT_VARIABLE, ""})
"""What an orchestrator around us says of its own stage; and without a name nothing can be passed
on."""


def environment_of(settings: StageSettings, ours: Mapping[str, str]) -> dict[str, str]:
    """Return the operator's environment, the stage's pairs over it, and `ours` over both.

    PWD is where the stage starts, as a shell would have set it.
    """
    given = {key: value for key, value in settings.variables.items() if value is not None}
    return {
        **{key: value for key, value in os.environ.items() if key not in _NOT_INHERITED},
        **given,
        "PWD": _name_of(settings.cwd),
        **ours,
    }


def _name_of(directory: str) -> str:
    """Return what PWD calls a directory: the operator's own name for it, if there is one."""
    by_operator = os.environ.get("PWD", "")
    if os.path.isabs(by_operator) and os.path.normpath(by_operator) == by_operator:
        with contextlib.suppress(OSError):
            if os.path.samefile(by_operator, directory):
                return by_operator
    # Behind a link `..` is not what it seems: no shell takes such a name.
    return os.path.realpath(directory) if os.pardir in Path(directory).parts else directory
