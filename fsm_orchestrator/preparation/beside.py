"""Refuses stages that would run side by side and write the same artifacts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase as fnmatch

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.text.hidden import copyable


def refuse_shared_artifacts(lifecycle: Lifecycle, settings: Mapping[str, StageSettings]) -> None:
    """Refuse expected artifacts that two stages of a group would both write.

    Nobody could say which stage they belong to, and each would find them changed.

    Raises:
        UsageError: there are some.
    """
    for group in lifecycle.state:
        seen: dict[str, str] = {}
        for stage in group.stages or ():
            paths = settings[stage].artifact_paths if stage in settings else ()
            for path in {os.path.realpath(one): one for one in paths}.values():
                other = next((seen[one] for one in seen if _overlap(one, path)), None)
                if other is not None:
                    raise UsageError(
                        f"stages {other!r} and {stage!r} run side by side (group {group.name!r}),"
                        f" and both are expected to leave {copyable(path)}",
                        remedy="let each leave a file of its own, or run them one after another",
                    )
            seen |= dict.fromkeys(paths, stage)


def _overlap(one: str, other: str) -> bool:
    """Return whether two paths are the same, one is below the other, or a pattern fits."""
    first, second = os.path.realpath(one), os.path.realpath(other)
    if fnmatch(first, second) or fnmatch(second, first):
        return True
    return os.path.commonpath([first, second]) in {first, second}
