"""Runs binaries as stages of a declared, gated state machine.

The Python interface: `run`, `resume`, `load_report`, `RunConfig`, `StageGiven`; `KeeperPool` for
programs that make many runs; `load_lifecycle`, `verify`, `diff`; and the errors of
`fsm_orchestrator.errors`. Loaded when first used: `--help` and `--version` need none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fsm_orchestrator.api import load_report, resume, run
    from fsm_orchestrator.config import RunConfig, StageGiven
    from fsm_orchestrator.keeper_pool import KeeperPool
    from fsm_orchestrator.lifecycle import load_lifecycle
    from fsm_orchestrator.lifecycle_diff import diff
    from fsm_orchestrator.lifecycle_model import Lifecycle
    from fsm_orchestrator.lifecycle_verify import verify
    from fsm_orchestrator.report import Report
    from fsm_orchestrator.vocabulary import __version__

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
    "KeeperPool": "keeper_pool",
    "Lifecycle": "lifecycle_model",
    "Report": "report",
    "RunConfig": "config",
    "StageGiven": "config",
    "__version__": "vocabulary",
    "diff": "lifecycle_diff",
    "load_lifecycle": "lifecycle",
    "load_report": "api",
    "resume": "api",
    "run": "api",
    "verify": "lifecycle_verify",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see the module's docstring

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
