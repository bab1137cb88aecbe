"""The environment of a stage: the operator's, the given pairs, the program's own, and PWD."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.config.stage_settings import StageSettings

_DIRECTORY: Final = "PWD"


def environment_of(settings: StageSettings, ours: Mapping[str, str]) -> dict[str, str]:
    """Return the operator's environment, PWD over it, then the given pairs, then `ours`."""
    given = {key: value for key, value in settings.env.items() if value is not None}
    return {**os.environ, _DIRECTORY: _name_of(settings.cwd), **given, **ours}


def _name_of(directory: str) -> str:
    """Return what PWD may call a directory: the operator's name for it, if that is one."""
    operators = os.environ.get(_DIRECTORY, "")
    try:
        if os.path.isabs(operators) and os.path.samefile(operators, directory):
            return operators
    except OSError:
        return directory
    # Behind a link `..` is not what it seems: no shell takes such a name.
    return os.path.realpath(directory) if os.pardir in directory.split(os.sep) else directory
