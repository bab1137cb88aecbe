"""Runs binaries as stages of a declared, gated state machine.

    from fsm_orchestrator import RunConfig, StageGiven, run

    report = run(
        RunConfig(
            output_directory="out/release",
            gates={"policy": "allow", "ci": "success", "review": "approved"},
            stages={
                "manager": StageGiven(bin="./plan.sh"),
                "executor": StageGiven(bin="./apply.sh"),
            },
        )
    )
    if not report.closure_ready:
        print(report.terminal_state, report.exit_code)

Run:
    RunConfig, StageGiven   what to run, and where
    run, resume             run it to its end, or resume it; both return the Report
    run_async, resume_async     the same under asyncio: cancelling the task ends the run
    Interrupts, Listener    end a run from elsewhere; receive every event
    KeeperPool              lends keepers to a program that makes many runs

Under an engine that hands runs from one machine to another:
    claim_epoch, Epoch      claim a run for one invocation: only the latest claim counts
    next_invocation         the number of a run's next invocation
    Lease                   ends a run when its engine stops responding
    StopReason              why a run was asked to end

Inspect:
    load_report, Report     the record of a run
    Outcome                 how it ended: done, blocked, failed or timeout
    list_runs, RunOverview  where the runs of a directory stand, one row per run
    Standing                where each stands: an Outcome, or working, waiting, interrupted …

Design:
    load_lifecycle, Lifecycle   a declared machine, read and proved
    verify, diff                what is proved about it; what changed between two of them

Errors:
    OrchestratorError       the base of all errors; its `remedy` says what to do
    UsageError, LifecycleError, BusyError, CheckpointError, ReportError, OperationError,
    RecordingError, InternalError, FencedError: see `fsm_orchestrator.errors`

`help()` describes each of them, for example `help(fsm_orchestrator.run)`. A name is loaded when it
is first used: `--help` and `--version` need none of them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in cli/isolation.py
if TYPE_CHECKING:
    from typing import Any, Final

    from fsm_orchestrator.api import list_runs, load_report, resume, run
    from fsm_orchestrator.config.run_config import RunConfig, StageGiven
    from fsm_orchestrator.constants import __version__
    from fsm_orchestrator.coroutines import resume_async, run_async
    from fsm_orchestrator.disk.epochs import Epoch, next_invocation
    from fsm_orchestrator.errors import (
        BusyError,
        CheckpointError,
        FencedError,
        InternalError,
        LifecycleError,
        OperationError,
        OrchestratorError,
        RecordingError,
        ReportError,
        UsageError,
    )
    from fsm_orchestrator.inspection.overview import RunOverview
    from fsm_orchestrator.lifecycle.diff import diff
    from fsm_orchestrator.lifecycle.model import Lifecycle
    from fsm_orchestrator.lifecycle.reading import load_lifecycle
    from fsm_orchestrator.lifecycle.verification import verify
    from fsm_orchestrator.processes.interrupts import Interrupts
    from fsm_orchestrator.processes.keeper_pool import KeeperPool
    from fsm_orchestrator.processes.lease import Lease
    from fsm_orchestrator.record.claiming import claim_epoch
    from fsm_orchestrator.record.event_log import Listener
    from fsm_orchestrator.record.report import Report
    from fsm_orchestrator.vocabulary import Outcome, Standing, StopReason

__all__ = [
    "BusyError",
    "CheckpointError",
    "Epoch",
    "FencedError",
    "InternalError",
    "Interrupts",
    "KeeperPool",
    "Lease",
    "Lifecycle",
    "LifecycleError",
    "Listener",
    "OperationError",
    "OrchestratorError",
    "Outcome",
    "RecordingError",
    "Report",
    "ReportError",
    "RunConfig",
    "RunOverview",
    "StageGiven",
    "Standing",
    "StopReason",
    "UsageError",
    "__version__",
    "claim_epoch",
    "diff",
    "list_runs",
    "load_lifecycle",
    "load_report",
    "next_invocation",
    "resume",
    "resume_async",
    "run",
    "run_async",
    "verify",
]

_HOMES: Final = {
    "BusyError": "errors",
    "CheckpointError": "errors",
    "Epoch": "disk.epochs",
    "FencedError": "errors",
    "InternalError": "errors",
    "Interrupts": "processes.interrupts",
    "KeeperPool": "processes.keeper_pool",
    "Lease": "processes.lease",
    "Lifecycle": "lifecycle.model",
    "LifecycleError": "errors",
    "Listener": "record.event_log",
    "OperationError": "errors",
    "OrchestratorError": "errors",
    "Outcome": "vocabulary",
    "RecordingError": "errors",
    "Report": "record.report",
    "ReportError": "errors",
    "RunConfig": "config.run_config",
    "RunOverview": "inspection.overview",
    "StageGiven": "config.run_config",
    "Standing": "vocabulary",
    "StopReason": "vocabulary",
    "UsageError": "errors",
    "__version__": "constants",
    "claim_epoch": "record.claiming",
    "diff": "lifecycle.diff",
    "list_runs": "api",
    "load_lifecycle": "lifecycle.reading",
    "load_report": "api",
    "next_invocation": "disk.epochs",
    "resume": "api",
    "resume_async": "coroutines",
    "run": "api",
    "run_async": "coroutines",
    "verify": "lifecycle.verification",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see the module's docstring

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names too, before they are loaded, for tab completion."""
    return sorted({*globals(), *__all__})
