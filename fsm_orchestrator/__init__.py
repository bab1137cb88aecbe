"""Runs binaries as stages of a declared, gated state machine.

The Python interface: `run`, `resume`, `load_report`, `RunConfig`, `StageGiven`; `KeeperPool` for
programs that make many runs; `load_lifecycle`, `verify`, `diff`; and the errors of
`fsm_orchestrator.errors`. Loaded when first used: `--help` and `--version` need none of it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in cli/isolation.py
if TYPE_CHECKING:
    from typing import Any, Final

    from fsm_orchestrator.api import load_report, resume, run
    from fsm_orchestrator.config.run_config import RunConfig, StageGiven
    from fsm_orchestrator.constants import __version__
    from fsm_orchestrator.lifecycle.diff import diff
    from fsm_orchestrator.lifecycle.model import Lifecycle
    from fsm_orchestrator.lifecycle.reading import load_lifecycle
    from fsm_orchestrator.lifecycle.verification import verify
    from fsm_orchestrator.processes.keeper_pool import KeeperPool
    from fsm_orchestrator.record.report import Report

__all__ = [
    "KeeperPool",
    "Lifecycle",
    "Report",
    "RunConfig",
    "StageGiven",
    "__version__",
    "diff",
    "load_lifecycle",
    "load_report",
    "resume",
    "run",
    "verify",
]

_HOMES: Final = {
    "KeeperPool": "processes.keeper_pool",
    "Lifecycle": "lifecycle.model",
    "Report": "record.report",
    "RunConfig": "config.run_config",
    "StageGiven": "config.run_config",
    "__version__": "constants",
    "diff": "lifecycle.diff",
    "load_lifecycle": "lifecycle.reading",
    "load_report": "api",
    "resume": "api",
    "run": "api",
    "verify": "lifecycle.verification",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see the module's docstring

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
