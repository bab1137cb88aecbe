"""Removes the oldest archived runs once an invocation has ended, as `keep_archived` asks for."""

from __future__ import annotations

from pathlib import Path

from fsm_orchestrator.disk.archive import archived_run_ids


def trim(output: Path, keep: int) -> None:
    """Remove all archived runs except the latest `keep`. Any failure is left for `prune`."""
    if len(archived_run_ids(output)) <= keep:
        return
    from fsm_orchestrator.retention.pruning import Bounds, prune  # noqa: PLC0415 - only with too many

    try:
        prune((output,), Bounds(keep, None), is_dry_run=False)
    except Exception:  # noqa: BLE001 - the run has ended, and this decides nothing
        return
