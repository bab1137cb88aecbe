"""`fleet --engine temporal`: hands the runs to a server, and follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.fleet.definition import Fleet
from fsm_orchestrator.fleet.fleet import FleetOptions
from fsm_orchestrator.fleet.observing import FleetObserver
from fsm_orchestrator.fleet.report import FleetReport
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.temporal.connecting import Connection, connected, server_of
from fsm_orchestrator.temporal.fleet import JOBS, Engine, run_fleet_on_engine
from fsm_orchestrator.temporal.submission import Wish

__all__ = ["JOBS", "on_temporal"]


def on_temporal(
    parameters: Mapping[str, Any],
) -> Callable[[Fleet, Path, FleetOptions, Interrupts, FleetObserver], FleetReport]:
    """Return a function that runs a fleet on the server that options name.

    Raises:
        UsageError: the extra is not installed, or an option cannot be used.
    """
    if parameters["state_key_file"] is not None:
        raise UsageError(
            "--state-key-file cannot be given to runs that are submitted",
            remedy="give it to the workers: temporal worker --state-key-file FILE",
        )
    server = server_of(Connection.of(parameters))
    heartbeat, wish = parameters["heartbeat_ms"], Wish()
    if heartbeat is not None:
        wish = wish._replace(heartbeat_seconds=heartbeat / 1000)

    def run(
        fleet: Fleet,
        directory: Path,
        options: FleetOptions,
        interrupts: Interrupts,
        observer: FleetObserver,
    ) -> FleetReport:
        async def all_of_it() -> FleetReport:
            engine = Engine(await connected(server), server, wish)
            return await run_fleet_on_engine(
                fleet, directory, options, engine, interrupts, observer
            )

        return asyncio.run(all_of_it())

    return run
